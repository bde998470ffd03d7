import { closeSync, constants, fchmodSync, fstatSync, fsyncSync, openSync, writeSync } from "node:fs";
import { errorCode } from "./file_reason.ts";
import { statIfThere } from "./read_file.ts";

/** What can't follow a link, open a FIFO, or take a file that is there: planted by another user, it only is in the way. */
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
/** Read, written and locked by its owner alone. */
const PRIVATE = 0o600;
/** What a file system says that has nothing to do to have a folder on the disk. */
const NOTHING_TO_SYNC = ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF"];

/** A file that this process has made, and nobody else has written to. Its rights are set on itself, not on its name. */
export class ExclusiveFile implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Makes a file where nothing is.
   *
   * @param mode Permission bits; the umask takes none away.
   * @throws What the file system says; `AlreadyExists` if anything is there, a link that leads nowhere as well.
   */
  static make(path: string, mode: number): ExclusiveFile {
    const fd = opened(path, FLAGS, mode);
    try {
      fchmodSync(fd, mode);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return new ExclusiveFile(fd);
  }

  /** @throws What the file system says. */
  write(bytes: Uint8Array): void {
    for (let written = 0; written < bytes.length;) {
      written += writeSync(this.#fd, bytes, written, bytes.length - written);
    }
  }

  /** Returns once all is on the disk. */
  sync(): void {
    fsyncSync(this.#fd);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/**
 * Returns once the names in a folder are on the disk: after a power failure, what was renamed into it is there. A file
 * system that knows no such thing has nothing to do.
 *
 * @throws What the file system says.
 */
export function syncFolder(path: string): void {
  const fd = opened(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    if (!NOTHING_TO_SYNC.includes(errorCode(error) ?? "")) throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * Takes away what others may do with a file of ours that an earlier version made: who can open it can lock it. One that
 * is another user's, a link, or not there is left alone; one that suits is not opened, as closing it would release the locks
 * that this process has on it.
 *
 * @throws What the file system says.
 */
export function keepPrivate(path: string): void {
  if (!isWide(statIfThere(path))) return;
  let fd: number;
  try {
    fd = opened(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return;
    throw error;
  }
  try {
    if (fstatSync(fd).isFile()) fchmodSync(fd, PRIVATE);
  } catch (error) {
    if (errorCode(error) !== "EPERM") throw error;
  } finally {
    closeSync(fd);
  }
}

function isWide(stat: Deno.FileInfo | undefined): boolean {
  return stat?.isFile === true && stat.mode !== null && (stat.mode & ~PRIVATE & 0o777) !== 0;
}

/** Makes an empty file that is its owner's alone, or sees to it that one which is there is: `keepPrivate()`. */
export function makePrivate(path: string): void {
  try {
    ExclusiveFile.make(path, PRIVATE)[Symbol.dispose]();
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    keepPrivate(path);
  }
}

/** Opens a file; says what is wrong as Deno does. */
function opened(path: string, flags: number, mode?: number): number {
  try {
    return openSync(path, flags, mode);
  } catch (error) {
    throw asDeno(error, path);
  }
}

function asDeno(error: unknown, path: string): unknown {
  const code = errorCode(error);
  const Reason = code === undefined ? undefined : REASONS[code];
  return Reason === undefined ? error : new Reason(path, { cause: error });
}

const REASONS: Readonly<Record<string, typeof Deno.errors.NotFound>> = {
  ENOENT: Deno.errors.NotFound,
  EEXIST: Deno.errors.AlreadyExists,
  EACCES: Deno.errors.PermissionDenied,
  EPERM: Deno.errors.PermissionDenied,
  ENOTDIR: Deno.errors.NotADirectory,
  EISDIR: Deno.errors.IsADirectory,
};
