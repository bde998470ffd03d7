import { join } from "node:path";
import { effectiveUser } from "../linux/effective_user.ts";
import { OddFileError, readText } from "../file/read_text.ts";
import { syncFolder } from "../file/exclusive_file.ts";
import { makeFolder } from "../file/make_folder.ts";
import { removeIfAbandoned, replaceFile } from "../file/replace_file.ts";
import { removeIfThere, statIfThere } from "../file/read_file.ts";

/** What the plugin remembers of one attachment: the configuration that its delegate was given. */
export interface AttachmentState {
  readonly containerId: string;
  /** The link in the pod; absent in a file that flannel's plugin wrote, which does not say. */
  readonly ifname: string | undefined;
  /** The delegate's configuration, as JSON text. */
  readonly text: string;
}

/** Where an attachment's state is looked for. */
export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** What lies where state should be is none: another kind of file, one of another user, or a larger one. */
export class OddStateError extends Error {
  override readonly name = "OddStateError";
}

/** A larger file is none of ours. */
const MAX_STATE_BYTES = 1 << 20;
/** A longer name can't be that of a file. */
const MAX_NAME_BYTES = 255;
const ROOT_UID = 0;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** What state is written into before it has its name; versions up to 0.1 had no UUID in it. */
const UNFINISHED = /^\.[^.@][^@]*@/;

/**
 * The state files of one data folder, which DEL finds its way back with.
 *
 * `CONTAINER@IFNAME` holds the delegate's configuration. `CONTAINER` is the name under which flannel's plugin keeps
 * it, for one attachment alone: here a symbolic link to the first attachment's file, so that either plugin can
 * detach what the other attached. A file of that name that is no link was written by flannel's.
 */
export class StateFolder {
  constructor(readonly path: string, readonly ownUser: () => number = effectiveUser) {}

  /** Reports whether there is a state file of exactly this attachment. */
  has(attachment: Attachment): boolean {
    return this.#statIfThere(this.#own(attachment))?.isFile === true;
  }

  /**
   * Writes the state of an attachment. When this returns it is on the disk.
   *
   * @throws What the file system says.
   */
  write(attachment: Attachment, text: string): void {
    makeFolder(this.path, FOLDER_MODE);
    replaceFile(this.#own(attachment), [text], FILE_MODE, { isCrowded: true });
    const alias = join(this.path, attachment.containerId);
    if (statIfThere(alias) !== undefined) return;
    try {
      Deno.symlinkSync(nameOf(attachment), alias);
      syncFolder(this.path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }

  /**
   * The state of an attachment, or what flannel's plugin kept for its container.
   *
   * @throws {OddStateError} If something else is there.
   * @throws What the file system says, unless there is no such file.
   */
  read(attachment: Attachment): AttachmentState | undefined {
    const { containerId, ifname } = attachment;
    const own = this.#readFile(nameOf(attachment));
    if (own !== undefined) return { containerId, ifname, text: own };
    const text = this.#readFile(containerId, { isLinkSkipped: true });
    return text === undefined ? undefined : { containerId, ifname: undefined, text };
  }

  /** Forgets what {@linkcode StateFolder.read} has returned. */
  remove({ containerId, ifname }: Pick<AttachmentState, "containerId" | "ifname">): void {
    const alias = join(this.path, containerId);
    if (ifname === undefined) return removeIfThere(alias);
    const name = nameOf({ containerId, ifname });
    if (statIfThere(alias)?.isSymlink && Deno.readLinkSync(alias) === name) removeIfThere(alias);
    removeIfThere(join(this.path, `.${name}`));
    removeIfThere(join(this.path, name));
  }

  /**
   * Removes what plugins that were killed while they wrote state have left: the agent's work, as thousands of names would have
   * to be read for each attachment. Never throws.
   */
  sweep(): void {
    try {
      for (const { name, isFile } of Deno.readDirSync(this.path)) {
        if (isFile && UNFINISHED.test(name)) removeIfAbandoned(join(this.path, name));
      }
    } catch {
      // There may be no folder yet; whoever reads state from one that can't be read says so.
    }
  }

  /** All attachments that there is state of, in no order; none if there is no folder. */
  list(): { readonly containerId: string; readonly ifname: string | undefined }[] {
    let entries: Deno.DirEntry[];
    try {
      entries = [...Deno.readDirSync(this.path)];
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
      throw error;
    }
    return entries.filter(({ name, isFile }) => isFile && !name.startsWith(".")).map(({ name }) => {
      const at = name.indexOf("@");
      return at === -1
        ? { containerId: name, ifname: undefined }
        : { containerId: name.slice(0, at), ifname: name.slice(at + 1) };
    });
  }

  #own(attachment: Attachment): string {
    return join(this.path, nameOf(attachment));
  }

  /** @param options.isLinkSkipped Whether a symbolic link is nothing, as the one to the first attachment's file. */
  #readFile(name: string, options?: { readonly isLinkSkipped: boolean }): string | undefined {
    if (name.length > MAX_NAME_BYTES) return undefined;
    const path = join(this.path, name);
    const stat = this.#statIfThere(path);
    if (stat === undefined || stat.isSymlink && options?.isLinkSkipped) return undefined;
    if (stat.isSymlink) throw new OddStateError(`${path} is no state: it is a symbolic link; remove it`);
    if (!this.#isTrusted(stat)) {
      throw new OddStateError(`${path} is no state: it belongs to the user ${stat.uid}; remove it`);
    }
    try {
      return readText(path, MAX_STATE_BYTES, stat);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return undefined;
      if (error instanceof OddFileError) {
        throw new OddStateError(`${path} is no state: ${error.what}; remove it`);
      }
      throw error;
    }
  }

  /** What lies at a path; nothing does where the folder is no folder. */
  #statIfThere(path: string): Deno.FileInfo | undefined {
    try {
      return statIfThere(path);
    } catch (error) {
      if (error instanceof Deno.errors.NotADirectory) return undefined;
      throw error;
    }
  }

  /** Who writes state says which program is started with what; a folder's owner may put in it what it likes. */
  #isTrusted({ uid }: Deno.FileInfo): boolean {
    return uid === ROOT_UID || uid === null || uid === Deno.statSync(this.path).uid || uid === this.ownUser();
  }
}

function nameOf({ containerId, ifname }: Attachment): string {
  return `${containerId}@${ifname}`;
}
