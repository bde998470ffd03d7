import type { Libc } from "./libc.ts";

// What few commands ask of the system, and no agent does: loaded and opened when it is asked.
const SYMBOLS = {
  // DIR *opendir(const char *name)
  opendir: { parameters: ["buffer"], result: "pointer" },
  // struct dirent *readdir(DIR *folder)
  readdir: { parameters: ["pointer"], result: "pointer" },
  // int closedir(DIR *folder)
  closedir: { parameters: ["pointer"], result: "i32" },
  // ssize_t readlink(const char *path, char *buffer, size_t length)
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
  // int adjtimex(struct timex *buffer)
  adjtimex: { parameters: ["buffer"], result: "i32" },
  // int statvfs(const char *path, struct statvfs *buffer), off the main thread: the file system may hang
  statvfs: { parameters: ["buffer", "buffer"], result: "i32", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

/** Where `struct dirent` has `d_name`. */
const NAME_OFFSET = 19;
/** Longer than any name in /proc/PID/ns. */
const LINK_BYTES = 64;
/** `sizeof(struct timex)` and the offset of `status`, where `long` has 64 bits: adjtimex(2). */
const TIMEX_BYTES = 208;
const TIMEX_STATUS = 40;
/** `STA_UNSYNC`. */
const UNSYNCHRONIZED = 0x40;
/** `sizeof(struct statvfs)` of glibc, where `long` has 64 bits: statvfs(3). */
const STATVFS_BYTES = 112;
/** `ST_RDONLY`. */
const READ_ONLY = 1n;
/** No more processes are looked at. */
const MOST_PROCESSES = 50_000;

/** A process: its number, and the first 15 letters of its program's name. */
export interface Process {
  readonly pid: number;
  readonly program: string;
  /** Whether it is in this process's network namespace; absent where that can't be seen. */
  readonly isHere?: boolean;
}

/** How much room a file system has. */
export interface FileSystemRoom {
  readonly isReadOnly: boolean;
  readonly freeBytes: number;
  /** Files that can still be made; absent where there is no such limit. */
  readonly freeFiles?: number;
}

/** Facts about the machine that neither netlink nor a file tells. The library is opened when one is asked for. */
export class SystemFacts implements Disposable {
  readonly #libc: Libc;
  #opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;
  /** Calls off the main thread that have not come back. */
  #waiting = 0;

  constructor(libc: Libc) {
    this.#libc = libc;
  }

  get #library(): Deno.DynamicLibrary<typeof SYMBOLS> {
    return this.#opened ??= Deno.dlopen("libc.so.6", SYMBOLS);
  }

  /** Whether the kernel holds the clock for synchronized; `undefined` where it does not say. */
  get isClockSynchronized(): boolean | undefined {
    const buffer = new Uint8Array(TIMEX_BYTES);
    // Without modes nothing is set.
    if (this.#library.symbols.adjtimex(buffer) < 0) return undefined;
    return (new DataView(buffer.buffer).getInt32(TIMEX_STATUS, true) & UNSYNCHRONIZED) === 0;
  }

  /** The processes whose program has one of these names. */
  processes(names: ReadonlySet<string>): Process[] {
    const own = this.#link("/proc/self/ns/net");
    return this.#namesIn("/proc").filter((name) => /^\d+$/.test(name)).slice(0, MOST_PROCESSES)
      .flatMap((pid): Process[] => {
        const program = this.#programOf(pid);
        if (program === undefined || !names.has(program)) return [];
        const netns = this.#link(`/proc/${pid}/ns/net`);
        const isKnown = own !== undefined && netns !== undefined;
        return [{ pid: Number(pid), program, ...isKnown && { isHere: netns === own } }];
      });
  }

  /** The room of the file system that a path is on; `undefined` if there is nothing at the path. */
  async roomAt(path: string): Promise<FileSystemRoom | undefined> {
    const buffer = new Uint8Array(STATVFS_BYTES);
    this.#waiting++;
    const result = await this.#library.symbols.statvfs(cString(path), buffer);
    this.#waiting--;
    if (result < 0) return undefined;
    const [, fragmentBytes, , , free, files, , freeFiles, , flags] = new BigUint64Array(buffer.buffer);
    return {
      isReadOnly: (flags! & READ_ONLY) !== 0n,
      freeBytes: Number(fragmentBytes! * free!),
      // btrfs and others have no inodes to run out of.
      ...files! > 0n && { freeFiles: Number(freeFiles!) },
    };
  }

  /** The library stays where a file system hangs: a thread still waits in it. */
  [Symbol.dispose](): void {
    if (this.#waiting === 0) this.#opened?.close();
    this.#opened = undefined;
  }

  #programOf(pid: string): string | undefined {
    try {
      return this.#libc.readSysctl(`/proc/${pid}/comm`);
    } catch {
      // It has ended.
      return undefined;
    }
  }

  #namesIn(folder: string): string[] {
    const { opendir, readdir, closedir } = this.#library.symbols;
    const handle = opendir(cString(folder));
    if (handle === null) return [];
    const names: string[] = [];
    for (let entry = readdir(handle); entry !== null; entry = readdir(handle)) {
      names.push(new Deno.UnsafePointerView(entry).getCString(NAME_OFFSET));
    }
    closedir(handle);
    return names;
  }

  #link(path: string): string | undefined {
    const buffer = new Uint8Array(LINK_BYTES);
    const length = this.#library.symbols.readlink(cString(path), buffer, BigInt(LINK_BYTES));
    return length < 0 ? undefined : new TextDecoder().decode(buffer.subarray(0, length));
  }
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
