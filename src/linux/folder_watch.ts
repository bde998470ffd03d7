import { dirname, join, resolve } from "node:path";
import { EACCES, EAGAIN, ENOENT, ENOTDIR, NetlinkError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";
import { ReadableWait } from "./poll.ts";

const IN_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const IN_MODIFY = 0x2;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_DELETE_SELF = 0x400;
const IN_MOVE_SELF = 0x800;
const IN_UNMOUNT = 0x2000;
const IN_Q_OVERFLOW = 0x4000;
const IN_IGNORED = 0x8000;
const IN_ONLYDIR = 0x0100_0000;
const IN_DONT_FOLLOW = 0x0200_0000;
const IN_MASK_ADD = 0x2000_0000;
const GOING = IN_MOVED_FROM | IN_DELETE;
const NAMES = GOING | IN_MOVED_TO | IN_CREATE;
const CHANGES = IN_MODIFY | NAMES;
const SELF = IN_DELETE_SELF | IN_MOVE_SELF;
const GONE = SELF | IN_UNMOUNT | IN_IGNORED;

/** `sizeof(struct inotify_event)` without its name. */
const EVENT_HEADER_BYTES = 16;
const RECEIVE_BYTES = 16 * 1024;
/** As many symbolic links as the kernel follows in one path. */
const MOST_LINKS = 40;
const MOST_WALKS = 10;
/** What a cluster swaps when the files that it has mounted change: they are links through this one. */
const CLUSTER_LINK = "..data";

/** A folder that is to be watched, wherever its path leads. */
interface Watch {
  readonly folder: string;
  readonly prefix: string;
  readonly changed: () => void;
  /** What the path led to when it was armed; `undefined` for nothing. */
  place: string | undefined;
}

/** What an inotify watch is there for. */
interface Sight {
  readonly watch: Watch;
  /** Of the files in the folder itself; of one name on the way there; of nothing but that it stays. */
  readonly of: "files" | "self" | { readonly name: string };
}

/**
 * Hears of changes to files, and opens none of them. That is why `Deno.watchFs` will not do: it opens and closes the
 * files that change, and closing any descriptor of a file drops the locks that this process holds on it, such as
 * SQLite's on a database (fcntl(2)).
 *
 * A folder may come later, be removed and made again, be moved, or be another one behind a symbolic link: each folder on
 * the way is watched for that it stays, and the last one that is there for the name that is missing.
 *
 * Source: inotify(7).
 */
export class FolderWatch implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #readable: ReadableWait;
  readonly #resources: AsyncDisposableStack;
  readonly #watches = new Set<Watch>();
  /** Those whose paths are looked at by other threads. */
  readonly #looked = new Set<Watch>();
  /** By the number of the inotify watch. */
  readonly #sights = new Map<number, Sight[]>();

  private constructor(libc: Libc, fd: number, readable: ReadableWait, resources: AsyncDisposableStack) {
    this.#libc = libc;
    this.#fd = fd;
    this.#readable = readable;
    this.#resources = resources;
  }

  /**
   * Opens the watch, or nothing.
   *
   * @throws {NetlinkError} If the system has no more watches to give (`max_user_instances`).
   */
  static open(libc: Libc): FolderWatch {
    const fd = libc.checked("open a watch for files", libc.call.inotify_init1(IN_CLOEXEC_NONBLOCK));
    const resources = new AsyncDisposableStack();
    resources.defer(() => void libc.call.close(fd));
    return new FolderWatch(libc, fd, resources.use(new ReadableWait(libc, fd)), resources);
  }

  /**
   * Calls `changed` when a file in `folder` whose name begins with `prefix` is written, made, moved or removed, or may
   * have been, as the folder is another one.
   *
   * @throws {NetlinkError} If there are too many watches (`max_user_watches`), or the folder may not be read.
   */
  add(folder: string, prefix: string, changed: () => void): Disposable {
    const watch: Watch = { folder: resolve(folder), prefix, changed, place: undefined };
    this.#arm(watch);
    this.#watches.add(watch);
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        this.#disarm(watch);
      },
    };
  }

  /**
   * Looks whether each path leads where it did: the kernel does not tell of what is mounted over a folder. That may be a file
   * system that hangs, which other threads wait for, one for each path.
   */
  async recheck(): Promise<void> {
    await Promise.all(
      [...this.#watches].filter((watch) => !this.#looked.has(watch)).map(async (watch) => {
        this.#looked.add(watch);
        const place = await placeAside(watch.folder);
        this.#looked.delete(watch);
        if (place !== watch.place && this.#watches.has(watch)) this.#arm(watch, { isToTell: true });
      }),
    );
  }

  /** Tells of changes until `signal` aborts. */
  async run(options: { signal: AbortSignal }): Promise<void> {
    const { signal } = options;
    const buffer = new Uint8Array(RECEIVE_BYTES);
    while (!signal.aborted) {
      try {
        await this.#readable.wait({ signal });
      } catch (error) {
        if (signal.aborted) return;
        throw error;
      }
      const length = this.#libc.call.read(this.#fd, buffer, BigInt(buffer.length));
      if (length < 0 && this.#libc.errno !== EAGAIN) {
        throw new NetlinkError("hear of changes to files", this.#libc.errno);
      }
      const { touched, moved } = this.#concerned(buffer, length);
      for (const watch of moved) if (this.#watches.has(watch)) this.#arm(watch, { isToTell: true });
      for (const watch of touched) if (!moved.has(watch)) watch.changed();
    }
  }

  /** The watches whose files the events in a buffer are about, and those whose paths may lead elsewhere. */
  #concerned(
    buffer: Uint8Array<ArrayBuffer>,
    length: number,
  ): { readonly touched: ReadonlySet<Watch>; readonly moved: ReadonlySet<Watch> } {
    const view = new DataView(buffer.buffer);
    const [touched, moved] = [new Set<Watch>(), new Set<Watch>()];
    for (let at = 0; at + EVENT_HEADER_BYTES <= length;) {
      const id = view.getInt32(at, LITTLE_ENDIAN);
      const mask = view.getUint32(at + 4, LITTLE_ENDIAN);
      const end = at + EVENT_HEADER_BYTES + view.getUint32(at + 12, LITTLE_ENDIAN);
      const bytes = buffer.subarray(at + EVENT_HEADER_BYTES, end);
      const name = new TextDecoder().decode(bytes).replace(/\0+$/, "");
      at = end;
      if (mask & IN_Q_OVERFLOW) { for (const watch of this.#watches) moved.add(watch); }
      for (const { watch, of } of this.#sights.get(id) ?? []) {
        if (mask & GONE) moved.add(watch);
        else if (of === "files") {
          if (name.startsWith(watch.prefix) || name === CLUSTER_LINK) touched.add(watch);
        } else if (of !== "self" && of.name === name) moved.add(watch);
      }
      if (mask & IN_IGNORED) this.#sights.delete(id);
    }
    return { touched, moved };
  }

  /** Watches what a path leads to now, and each step that may lead it elsewhere. */
  #arm(watch: Watch, { isToTell = false } = {}): void {
    const before = watch.place;
    let end: "folder" | "lost" | undefined = "lost";
    // Where folders come and go at this moment the way is walked again.
    for (let walk = 0; walk < MOST_WALKS && end === "lost"; walk++) {
      this.#disarm(watch);
      end = this.#follow(watch);
    }
    watch.place = end === "folder" ? placeOf(watch.folder) : undefined;
    if (isToTell && (before ?? watch.place) !== undefined) watch.changed();
  }

  /** Where a path leads; `undefined` where it breaks off, and "lost" if a folder went away on the way. */
  #follow(watch: Watch): "folder" | "lost" | undefined {
    let at = "/";
    let names = namesIn(watch.folder);
    for (let links = 0; names.length > 0 && links <= MOST_LINKS;) {
      const name = names[0]!;
      const path = join(at, name);
      if (!this.#see(at, SELF, { watch, of: "self" })) return "lost";
      // A folder does not say that it was removed while a file in it is open.
      if (names.length === 1) this.#see(at, GOING, { watch, of: { name } });
      let found = name === ".." ? "folder" as const : look(path);
      if (found !== "folder") {
        if (!this.#see(at, NAMES, { watch, of: { name } })) return "lost";
        // It may have come meanwhile.
        found = look(path);
      }
      if (found === undefined) return undefined;
      names = names.slice(1);
      if (found === "folder") at = name === ".." ? dirname(at) : path;
      else {
        if (found.target.startsWith("/")) at = "/";
        names = [...namesIn(found.target), ...names];
        links++;
      }
    }
    if (names.length > 0) return undefined;
    return this.#see(at, SELF | CHANGES, { watch, of: "files" }) ? "folder" : "lost";
  }

  /**
   * Has the kernel tell of a folder. Reports whether it is there; one on the way that may not be read is left out.
   *
   * @throws {NetlinkError} If there are too many watches, or the files may not be looked at.
   */
  #see(folder: string, mask: number, sight: Sight): boolean {
    const path = new TextEncoder().encode(`${folder}\0`);
    const flags = mask | IN_ONLYDIR | IN_DONT_FOLLOW | IN_MASK_ADD;
    const id = this.#libc.call.inotify_add_watch(this.#fd, path, flags);
    if (id < 0 && (this.#libc.errno === ENOENT || this.#libc.errno === ENOTDIR)) return false;
    if (id < 0 && this.#libc.errno === EACCES && (mask & IN_MODIFY) === 0) return true;
    this.#libc.checked(`watch ${folder}`, id);
    this.#sights.set(id, [...this.#sights.get(id) ?? [], sight]);
    return true;
  }

  #disarm(watch: Watch): void {
    for (const [id, sights] of [...this.#sights]) {
      const others = sights.filter((sight) => sight.watch !== watch);
      if (others.length === sights.length) continue;
      if (others.length > 0) this.#sights.set(id, others);
      else {
        this.#sights.delete(id);
        this.#libc.call.inotify_rm_watch(this.#fd, id);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

function namesIn(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** What a path is: a folder, a symbolic link to somewhere, or nothing that leads on. */
function look(path: string): "folder" | { readonly target: string } | undefined {
  try {
    const { isDirectory, isSymlink } = Deno.lstatSync(path);
    if (isSymlink) return { target: Deno.readLinkSync(path) };
    return isDirectory ? "folder" : undefined;
  } catch {
    return undefined;
  }
}

/** What makes a folder the same as another; `undefined` where there is none. */
function placeOf(folder: string): string | undefined {
  try {
    return placeIn(Deno.statSync(folder));
  } catch {
    return undefined;
  }
}

/** The same, asked by another thread. */
async function placeAside(folder: string): Promise<string | undefined> {
  return await Deno.stat(folder).then(placeIn, () => undefined);
}

function placeIn({ dev, ino, isDirectory }: Deno.FileInfo): string | undefined {
  return isDirectory ? `${dev}:${ino}` : undefined;
}
