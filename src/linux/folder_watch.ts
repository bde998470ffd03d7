import { EAGAIN, NetlinkError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";
import { ReadableWait } from "./poll.ts";

const IN_CLOEXEC_NONBLOCK = 0o2000000 | 0o4000;
const IN_MODIFY = 0x2;
const IN_MOVED_FROM = 0x40;
const IN_MOVED_TO = 0x80;
const IN_CREATE = 0x100;
const IN_DELETE = 0x200;
const IN_Q_OVERFLOW = 0x4000;
const CHANGES = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE;

/** `sizeof(struct inotify_event)` without its name. */
const EVENT_HEADER_BYTES = 16;
const RECEIVE_BYTES = 16 * 1024;

/**
 * Hears of changes to files, and opens none of them. That is why `Deno.watchFs` will not do: it opens and closes the
 * files that change, and closing any descriptor of a file drops the locks that this process holds on it, such as
 * SQLite's on a database (fcntl(2)).
 *
 * Source: inotify(7).
 */
export class FolderWatch implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #readable: ReadableWait;
  readonly #resources: AsyncDisposableStack;
  readonly #watches = new Set<
    { readonly id: number; readonly prefix: string; readonly changed: () => void }
  >();

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
   * Calls `changed` when a file in `folder` whose name begins with `prefix` is written, made, moved or removed.
   *
   * @throws {NetlinkError} If the folder is not there, or there are too many watches (`max_user_watches`).
   */
  add(folder: string, prefix: string, changed: () => void): Disposable {
    const path = new TextEncoder().encode(`${folder}\0`);
    const added = this.#libc.call.inotify_add_watch(this.#fd, path, CHANGES);
    const watch = { id: this.#libc.checked(`watch ${folder}`, added), prefix, changed };
    this.#watches.add(watch);
    return { [Symbol.dispose]: () => void this.#watches.delete(watch) };
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
      for (const watch of this.#concerned(buffer, length)) watch.changed();
    }
  }

  /** The watches that the events in a buffer are about. */
  #concerned(buffer: Uint8Array<ArrayBuffer>, length: number) {
    const view = new DataView(buffer.buffer);
    const concerned = new Set<{ readonly changed: () => void }>();
    for (let at = 0; at + EVENT_HEADER_BYTES <= length;) {
      const id = view.getInt32(at, LITTLE_ENDIAN);
      const isOverflow = (view.getUint32(at + 4, LITTLE_ENDIAN) & IN_Q_OVERFLOW) !== 0;
      const end = at + EVENT_HEADER_BYTES + view.getUint32(at + 12, LITTLE_ENDIAN);
      const name = new TextDecoder().decode(buffer.subarray(at + EVENT_HEADER_BYTES, end)).replace(
        /\0+$/,
        "",
      );
      for (const watch of this.#watches) {
        if (isOverflow || (watch.id === id && name.startsWith(watch.prefix))) concerned.add(watch);
      }
      at = end;
    }
    return concerned;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
