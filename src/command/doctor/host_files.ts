import { join } from "node:path";
import { PatientFiles } from "../../agent/patient_files.ts";
import { credentialReader } from "../../agent/read_credential.ts";
import type { Libc } from "../../linux/libc.ts";

/** A file takes no longer to be read; what takes longer hangs. */
const FILE_MS = 1500;
/** A larger file is none that is looked at here. */
const MAX_FILE_BYTES = 1 << 20;
/** More names are not read of one folder. */
const MOST_NAMES = 1000;

/** The files of a host, any of which may be on a file system that hangs. */
export class HostFiles {
  readonly #files: PatientFiles;

  /** @param root Where the host's own files are: `/`, or where a test has them. */
  constructor(libc: Libc, readonly root: string) {
    this.#files = new PatientFiles(libc, FILE_MS);
  }

  /** Reads a key, token, certificate or kubeconfig. */
  get readCredential(): (path: string) => Promise<string> {
    return credentialReader(this.#files);
  }

  /** What files that a flag names are read with. */
  get patient(): PatientFiles {
    return this.#files;
  }

  /**
   * A file of the host; `undefined` if there is none.
   *
   * @throws What the file system says, or that it says nothing.
   */
  async file(path: string): Promise<string | undefined> {
    return await this.named(join(this.root, path));
  }

  /** The same of a file that a flag names. */
  async named(path: string): Promise<string | undefined> {
    try {
      return await this.#files.read(path, MAX_FILE_BYTES);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw error;
    }
  }

  /** The names in a folder of the host, sorted; `undefined` if there is no such folder. */
  async names(path: string): Promise<readonly string[] | undefined> {
    return await this.namesIn(join(this.root, path));
  }

  /** The same of a folder that a flag names. */
  async namesIn(folder: string): Promise<readonly string[] | undefined> {
    try {
      // Of a file system that hangs this is what another thread waits for.
      await Deno.stat(folder);
      const names: string[] = [];
      for await (const { name } of Deno.readDir(folder)) if (names.push(name) >= MOST_NAMES) break;
      return names.sort();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
        return undefined;
      }
      throw error;
    }
  }
}
