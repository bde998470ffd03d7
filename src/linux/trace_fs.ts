import { EACCES, EBUSY, ENODEV, ENOENT, EPERM, errnoName } from "./errno.ts";
import { cString, type Libc } from "./libc.ts";

// The kernel's tracing, as Documentation/trace/ftrace.rst and events.rst of the kernel describe it.

/** Where tracefs is, unless another place was chosen for it. */
const PLACES = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] as const;
const OWN_PREFIX = "loden-";
const MOST_ATTEMPTS = 5;

const O_RDONLY_NONBLOCK = 0o2000000 | 0o4000;
const O_WRONLY = 0o2000001;
const O_DIRECTORY = 0o2200000;
const CLONE_NEWNS = 0x20000;
/** `MS_REC | MS_PRIVATE`: what is mounted from now on is this thread's alone. */
const MS_PRIVATE = 0x44000n;
/** `MS_NOSUID | MS_NODEV | MS_NOEXEC`. */
const MS_HARMLESS = 0xen;
/** Where `struct linux_dirent64` has its length and its name. */
const ENTRY_LENGTH_AT = 16;
const ENTRY_NAME_AT = 19;
const READ_BYTES = 64 * 1024;
/** A format with more text than this is cut: that of `kfree_skb` has 4 KiB. */
const FORMAT_BYTES = 64 * 1024;

/** The kernel's tracing can't be used, for a reason that a person can do something about. */
export class TraceError extends Error {
  override readonly name = "TraceError";
}

/**
 * A trace of this program alone: the kernel writes into it what was asked for, beside all that others trace. It ends with
 * {@link Symbol.dispose}; what a program that was killed has left behind is removed when the next one is opened.
 */
export class TraceInstance implements Disposable {
  readonly #libc: Libc;
  readonly #path: string;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(READ_BYTES);
  /** The line that was not whole yet. */
  #rest = "";
  /** One character for each byte, so that columns are the kernel's. */
  readonly #decoder = new TextDecoder("latin1");

  private constructor(libc: Libc, path: string, fd: number) {
    this.#libc = libc;
    this.#path = path;
    this.#fd = fd;
  }

  /**
   * Makes an instance in the tracefs of this host.
   *
   * @param options.mayMount Whether tracefs is mounted where it is not. This thread then has a mount namespace of its own
   * from there on, so that nobody else sees it: for a process that soon ends.
   * @throws {TraceError} If this process may not, or the kernel has no tracing.
   */
  static open(libc: Libc, options: { readonly mayMount: boolean }): TraceInstance {
    const folder = findTraceFs(libc) ?? (options.mayMount ? mountTraceFs(libc) : undefined);
    if (folder === undefined) throw new TraceError("tracefs is mounted nowhere on this host");
    for (const name of namesIn(libc, `${folder}/instances`)) {
      // That of a program that runs is in use, and stays.
      if (name.startsWith(OWN_PREFIX)) libc.call.rmdir(cString(`${folder}/instances/${name}`));
    }
    for (let attempt = 1;; attempt++) {
      const path = `${folder}/instances/${OWN_PREFIX}${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`;
      if (libc.call.mkdir(cString(path), 0o700) < 0) {
        throw refusal("make an instance of the trace", libc.errno);
      }
      const fd = libc.call.open(cString(`${path}/trace_pipe`), O_RDONLY_NONBLOCK);
      if (fd >= 0) return new TraceInstance(libc, path, fd);
      const { errno } = libc;
      libc.call.rmdir(cString(path));
      // Another one of this program took it for one that is left behind, before it was in use.
      const isTaken = errno === ENOENT || errno === ENODEV;
      if (!isTaken || attempt === MOST_ATTEMPTS) throw refusal("read the trace", errno);
    }
  }

  /**
   * The text that says which fields an event has, and how it is printed; `undefined` where the kernel has no such event.
   *
   * @param event `skb/kfree_skb`
   */
  format(event: string): string | undefined {
    const fd = this.#libc.call.open(cString(`${this.#path}/events/${event}/format`), O_RDONLY_NONBLOCK);
    if (fd < 0) return undefined;
    try {
      let text = "";
      while (text.length < FORMAT_BYTES) {
        const length = this.#libc.call.read(fd, this.#buffer, BigInt(this.#buffer.length));
        if (length <= 0) break;
        text += this.#decoder.decode(this.#buffer.subarray(0, length));
      }
      return text;
    } finally {
      this.#libc.call.close(fd);
    }
  }

  /**
   * Has an event written from now on, where `filter` is true of its fields.
   *
   * @throws {TraceError} If the kernel does not know the event, or does not understand the filter.
   */
  enable(event: string, filter?: string): void {
    if (filter !== undefined) this.#write(`events/${event}/filter`, filter);
    this.#write(`events/${event}/enable`, "1");
  }

  /** Writes a line of this program's into the trace. Letters and digits only. */
  mark(text: string): void {
    this.#write("trace_marker", text);
  }

  /** The whole lines that were written since the last call. Does not wait. */
  lines(): string[] {
    for (;;) {
      const length = this.#libc.call.read(this.#fd, this.#buffer, BigInt(this.#buffer.length));
      if (length <= 0) break;
      this.#rest += this.#decoder.decode(this.#buffer.subarray(0, length));
    }
    const lines = this.#rest.split("\n");
    this.#rest = lines.pop()!;
    return lines;
  }

  #write(file: string, text: string): void {
    const { call } = this.#libc;
    const fd = call.open(cString(`${this.#path}/${file}`), O_WRONLY);
    if (fd < 0) throw refusal(`open ${file} of the trace`, this.#libc.errno);
    const bytes = new TextEncoder().encode(text);
    const written = call.write(fd, bytes, BigInt(bytes.length));
    const { errno } = this.#libc;
    call.close(fd);
    if (written < 0) throw refusal(`write ${text} to ${file} of the trace`, errno);
  }

  [Symbol.dispose](): void {
    this.#libc.call.close(this.#fd);
    this.#libc.call.rmdir(cString(this.#path));
  }
}

function refusal(action: string, errno: number): TraceError {
  if (errno === EBUSY) {
    return new TraceError(`cannot ${action}: another program reads it; try again when that has ended`);
  }
  const why = errno === EPERM || errno === EACCES ? "; run it as root, with CAP_SYS_ADMIN" : "";
  return new TraceError(`cannot ${action}: ${errnoName(errno)}${why}`);
}

function findTraceFs(libc: Libc): string | undefined {
  return PLACES.find((place) => isFolder(libc, `${place}/instances`));
}

function isFolder(libc: Libc, path: string): boolean {
  const fd = libc.call.open(cString(path), O_DIRECTORY);
  if (fd < 0) return false;
  libc.call.close(fd);
  return true;
}

/** Mounts tracefs for this thread alone, where it is by custom. */
function mountTraceFs(libc: Libc): string {
  const { call } = libc;
  const [place] = PLACES;
  if (!isFolder(libc, place)) throw new TraceError(`this kernel has no tracing: there is no ${place}`);
  if (call.unshare(CLONE_NEWNS) < 0) throw refusal("have mounts of its own", libc.errno);
  if (call.mount(cString("none"), cString("/"), null, MS_PRIVATE, null) < 0) {
    throw refusal("keep mounts to itself", libc.errno);
  }
  const result = call.mount(cString("tracefs"), cString(place), cString("tracefs"), MS_HARMLESS, null);
  // Somebody was faster, before this thread had mounts of its own.
  if (result < 0 && libc.errno !== EBUSY) {
    throw libc.errno === ENOENT
      ? new TraceError("this kernel has no tracing")
      : refusal("mount tracefs", libc.errno);
  }
  return place;
}

/** The names in a folder that Deno does not open. */
function namesIn(libc: Libc, path: string): string[] {
  const fd = libc.call.open(cString(path), O_DIRECTORY);
  if (fd < 0) return [];
  const names: string[] = [];
  const buffer = new Uint8Array(32 * 1024);
  const view = new DataView(buffer.buffer);
  try {
    for (;;) {
      const length = libc.call.getdents64(fd, buffer, BigInt(buffer.length));
      if (length <= 0) return names;
      for (let at = 0; at < length;) {
        const end = at + view.getUint16(at + ENTRY_LENGTH_AT, true);
        const bytes = buffer.subarray(at + ENTRY_NAME_AT, end);
        names.push(new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0))));
        at = end;
      }
    }
  } finally {
    libc.call.close(fd);
  }
}
