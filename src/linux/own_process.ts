import type { Libc } from "./libc.ts";
import { folderNames } from "./socket_owner.ts";

/** `sysconf(_SC_CLK_TCK)`: the ticks of proc_pid_stat(5) on every Linux that Deno is built for. */
const TICKS_PER_SECOND = 100;
const KIBIBYTE = 1024;

/** What a process costs. */
export interface ProcessCost {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Memory that belongs to no file. */
  readonly anonymousBytes: number;
  readonly virtualBytes: number;
  readonly openDescriptors: number;
  readonly mostDescriptors: number;
  readonly threads: number;
  /** When it was started, in seconds since 1970. */
  readonly startedAtSeconds: number;
}

/**
 * What this process costs, as proc(5) says; `undefined` where that is not mounted or not readable. Deno's own door to
 * these files is closed for a process that has given up a permission.
 */
export function ownProcess(libc: Libc): ProcessCost | undefined {
  try {
    const limits = libc.readSysctl("/proc/self/limits");
    return costOf({
      stat: libc.readSysctl("/proc/self/stat"),
      status: libc.readSysctl("/proc/self/status"),
      // Without "." and "..", and the one that the folder is read by.
      openDescriptors: folderNames("/proc/self/fd").length - 3,
      mostDescriptors: Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? NaN),
    });
  } catch {
    return undefined;
  }
}

/** The text of proc(5)'s files, as figures. */
export function costOf(
  { stat, status, openDescriptors, mostDescriptors }: {
    readonly stat: string;
    readonly status: string;
    readonly openDescriptors: number;
    readonly mostDescriptors: number;
  },
): ProcessCost {
  // The program's name may have blanks and brackets in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  const kibibytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? NaN);
  return {
    cpuSeconds: (fields[11]! + fields[12]!) / TICKS_PER_SECOND,
    residentBytes: kibibytes("VmRSS") * KIBIBYTE,
    anonymousBytes: kibibytes("RssAnon") * KIBIBYTE,
    virtualBytes: fields[20]!,
    openDescriptors,
    mostDescriptors,
    threads: fields[17]!,
    startedAtSeconds: performance.timeOrigin / 1000,
  };
}
