import { writeSubnetFile } from "../pods/subnet_file.ts";
import type { FileFights } from "./file_fights.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "../log/error_text.ts";

/** Keeps the subnet file as it must be: written when the host can forward, and again if it disappears. */
export class SubnetFileKeeper {
  readonly #path: string;
  readonly #fights: FileFights;
  readonly #log: Log;
  #fault: string | undefined = "the subnet file is not written yet";

  constructor(path: string, deps: { readonly fights: FileFights; readonly log: Log }) {
    this.#path = path;
    this.#fights = deps.fights;
    this.#log = deps.log;
  }

  /** Why there is no good subnet file, as a sentence; `undefined` while there is one. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Sees to it that the file says `text`. A failure is a fault, and tried again by the next pass. */
  keep(text: string): void {
    try {
      const isWritten = this.#fights.keep(this.#path, text, () => writeSubnetFile(this.#path, text));
      this.#fault = undefined;
      if (isWritten) this.#log.write("info", "subnet file written", { path: this.#path });
    } catch (error) {
      this.#fault = errorText(error);
    }
  }
}
