import { fileReason } from "../file/file_reason.ts";
import type { Condition } from "../model/condition.ts";

/** A file that the agent writes for its next start, or for the CNI plugin. That it can't be written stops nothing. */
export class KeptFile {
  readonly #name: string;
  #conditions: readonly Condition[] = [];

  /** @param name What it is, and where: `the lease cache /run/flannel/leases.json`. */
  constructor(name: string) {
    this.#name = name;
  }

  /** That the last attempt to write it failed, if so. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Reports whether `write` has done it; else it is to be tried again. */
  write(write: () => void): boolean {
    try {
      write();
      this.#conditions = [];
    } catch (error) {
      const sentence = `${this.#name} can't be written: ${fileReason(error)}`;
      this.#conditions = [{ code: "state-not-written", sentence }];
    }
    return this.#conditions.length === 0;
  }
}
