import { dirname } from "node:path";
import { descriptorLimit } from "../../linux/descriptor_limit.ts";
import type { FileSystemRoom } from "../../linux/system_facts.ts";
import { dumpNeighbourAddresses } from "../../rtnetlink/neighbour.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, wrong } from "./finding.ts";
import type { DoctorPlace } from "./place.ts";

/** With less room a file of the agent may not be written whole. */
const LEAST_BYTES = 1 << 20;
const LEAST_FILES = 16;
/** From here on a table is nearly full. */
const NEARLY = 0.9;
/** An agent with some thousand hosts has fewer. */
const LEAST_DESCRIPTORS = 256;
/** An agent watches with one instance; other programs of root have others. */
const LEAST_INSTANCES = 16;
const IN_CLOEXEC = 0o2000000;
/** A clock that was set back leaves files from the future; so much is no sign of it. */
const AHEAD_MS = 60_000;

/** What may be full, read only, or too small. */
export const LIMIT_CHECKS: readonly Check[] = [
  check("disks", readDisks, judgeDisks),
  check("descriptors", readDescriptors, judgeDescriptors),
  check("inotify", readInotify, judgeInotify),
  check("neighbour-table", readNeighbours, judgeNeighbours),
  check("conntrack", (place) => {
    const read = (name: string) => numberOf(place.kernelFile(`/proc/sys/net/netfilter/nf_conntrack_${name}`));
    return { count: read("count"), max: read("max") };
  }, judgeConntrack),
  check("clock", readClock, judgeClock),
];

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || text === "" ? undefined : Number(text);
}

/** A folder that the agent writes to. */
export interface FoundDisk {
  readonly folder: string;
  /** `undefined` where it is not there yet, nor any folder above it that could be asked. */
  readonly room: FileSystemRoom | undefined;
}

async function readDisks(place: DoctorPlace): Promise<readonly FoundDisk[]> {
  const { subnetFilePath, conflist, pluginFolder, leaseCachePath, registry } = place.options;
  const folders = [
    dirname(subnetFilePath),
    ...conflist === undefined ? [] : [dirname(conflist.path)],
    ...pluginFolder === undefined ? [] : [pluginFolder],
    ...leaseCachePath === undefined ? [] : [dirname(leaseCachePath)],
    ...registry.kind === "local" ? [dirname(registry.path)] : [],
  ];
  return await Promise.all([...new Set(folders)].map(async (folder) => {
    let room: FileSystemRoom | undefined;
    for (let above = folder; room === undefined; above = dirname(above)) {
      room = await place.system.roomAt(above);
      if (above === dirname(above)) break;
    }
    return { folder, room };
  }));
}

export function judgeDisks(disks: readonly FoundDisk[]): readonly Said[] {
  const said = disks.flatMap(({ folder, room }): Said[] => {
    if (room === undefined) return [];
    if (room.isReadOnly) {
      return [wrong(`${folder} is read only, and the agent writes there`, "mount it anew to be written to")];
    }
    if (room.freeBytes < LEAST_BYTES) {
      return [wrong(`${folder} is full: ${room.freeBytes} bytes are free`, "make room there")];
    }
    if (room.freeFiles !== undefined && room.freeFiles < LEAST_FILES) {
      return [wrong(`${folder} has room for ${room.freeFiles} more files`, "remove files there")];
    }
    return [];
  });
  return said.length > 0 ? said : [ok(`${disks.map(({ folder }) => folder).join(", ")} can be written to`)];
}

/** Descriptors in use and to be had. */
export interface FoundDescriptors {
  /** Of this process, and so of an agent that is started from here. */
  readonly hard: number;
  readonly used: number | undefined;
  /** Of the whole machine. */
  readonly max: number | undefined;
}

function readDescriptors(place: DoctorPlace): FoundDescriptors {
  const [used, , max] = (place.kernelFile("/proc/sys/fs/file-nr") ?? "").split(/\s+/).map(Number);
  return { hard: Number(descriptorLimit(place.libc).hard), used, max };
}

export function judgeDescriptors({ hard, used, max }: FoundDescriptors): Said {
  if (used !== undefined && max !== undefined && used >= NEARLY * max) {
    return wrong(
      `${used} files of ${max} are open on this machine: soon none can be opened`,
      "find who has them (`lsof`), or raise fs.file-max",
    );
  }
  return hard < LEAST_DESCRIPTORS
    ? doubtful(
      `a process may have ${hard} descriptors, and an agent needs up to ${LEAST_DESCRIPTORS}`,
      "raise LimitNOFILE, or `ulimit -Hn`",
    )
    : ok(`a process may have ${hard > 2 ** 31 ? "any number of" : hard} descriptors`);
}

/** Watches of files. */
export interface FoundInotify {
  /** The errno of a try to have one; 0 for none. */
  readonly errno: number;
  readonly instances: number | undefined;
}

function readInotify(place: DoctorPlace): FoundInotify {
  const { libc } = place;
  const fd = libc.call.inotify_init1(IN_CLOEXEC);
  const errno = fd < 0 ? libc.errno : 0;
  if (fd >= 0) libc.call.close(fd);
  return { errno, instances: numberOf(place.kernelFile("/proc/sys/fs/inotify/max_user_instances")) };
}

export function judgeInotify({ errno, instances }: FoundInotify): Said {
  const remedy = "raise fs.inotify.max_user_instances, as to 8192";
  if (errno !== 0) {
    return doubtful("the kernel gives no more watches of files: changes of files are seen late", remedy);
  }
  if (instances === undefined) return ok("files can be watched");
  return instances < LEAST_INSTANCES
    ? doubtful(`a user may have ${instances} watches of files: the agent may get none`, remedy)
    : ok(`a user may have ${instances} watches of files`);
}

/** How full the neighbour tables are. */
export interface FoundNeighbours {
  readonly entries: number;
  /** `gc_thresh3`, of the smaller of the two; `undefined` where it is not to be seen, as in a network namespace. */
  readonly most: number | undefined;
}

function readNeighbours(place: DoctorPlace): FoundNeighbours {
  const limits = ["ipv4", "ipv6"].flatMap((family) =>
    numberOf(place.kernelFile(`/proc/sys/net/${family}/neigh/default/gc_thresh3`)) ?? []
  );
  return {
    entries: dumpNeighbourAddresses(place.client).size,
    most: limits.length === 0 ? undefined : Math.min(...limits),
  };
}

export function judgeNeighbours({ entries, most }: FoundNeighbours): Said {
  if (most === undefined) return ok(`${entries} neighbours are known`);
  return entries >= NEARLY * most
    ? doubtful(
      `${entries} neighbours are known, and the table has room for ${most}: soon no new host or pod is found`,
      "raise net.ipv4.neigh.default.gc_thresh3 and net.ipv6.neigh.default.gc_thresh3, as to 16384, and gc_thresh2 to half",
    )
    : ok(`${entries} neighbours are known, of ${most}`);
}

export function judgeConntrack(
  { count, max }: { readonly count: number | undefined; readonly max: number | undefined },
): Said {
  if (count === undefined || max === undefined) return ok("connections are not tracked");
  const text = `${count} of ${max} connections are tracked`;
  const remedy = "raise net.netfilter.nf_conntrack_max, or find who opens them (`conntrack -L`)";
  if (count >= max) return wrong(`${text}: new ones are dropped`, remedy);
  return count >= NEARLY * max ? doubtful(`${text}: soon new ones are dropped`, remedy) : ok(text);
}

/** What the clock is like. */
export interface FoundClock {
  readonly isSynchronized: boolean | undefined;
  /** By how much a file that the agent has written is from the future, in milliseconds; 0 for none. */
  readonly aheadMs: number;
  readonly file: string;
}

async function readClock(place: DoctorPlace): Promise<FoundClock> {
  const file = place.options.subnetFilePath;
  const writtenMs = await Deno.stat(file).then(({ mtime }) => mtime?.getTime() ?? 0, () => 0);
  return {
    isSynchronized: place.system.isClockSynchronized,
    aheadMs: Math.max(writtenMs - Date.now(), 0),
    file,
  };
}

export function judgeClock({ isSynchronized, aheadMs, file }: FoundClock): readonly Said[] {
  const said: Said[] = [];
  if (aheadMs > AHEAD_MS) {
    said.push(doubtful(
      `${file} was written ${Math.round(aheadMs / 1000)} s in the future: the clock was set back since`,
      "see that only one program sets the clock",
    ));
  }
  if (isSynchronized === false) {
    said.push(doubtful(
      "the kernel's clock is not synchronized: certificates and leases depend on it",
      "run chronyd, ntpd or systemd-timesyncd",
    ));
  }
  if (said.length > 0) return said;
  return [
    ok(isSynchronized ? "the clock is synchronized" : "the clock has not jumped, as far as files tell"),
  ];
}
