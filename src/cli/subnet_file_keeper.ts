import { writeSubnetFile } from "../cni/subnet_file.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "./keep_running.ts";

/** Keeps the subnet file as it must be: written when the host can forward, and again if it disappears. */
export class SubnetFileKeeper {
  readonly #path: string;
  readonly #log: Log;
  #fault: string | undefined = "the subnet file is not written yet";

  constructor(path: string, deps: { readonly log: Log }) {
    this.#path = path;
    this.#log = deps.log;
  }

  /** Why there is no good subnet file, as a sentence; `undefined` while there is one. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** Sees to it that the file says `text`. A failure is a fault, and tried again by the next pass. */
  keep(text: string): void {
    try {
      const isWritten = writeSubnetFile(this.#path, text);
      this.#fault = undefined;
      if (isWritten) this.#log.write("info", "subnet file written", { path: this.#path });
    } catch (error) {
      const fault = errorText(error);
      if (fault !== this.#fault) this.#log.write("warn", "subnet file not written", { reason: fault });
      this.#fault = fault;
    }
  }
}
