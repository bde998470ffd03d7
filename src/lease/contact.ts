import type { Log } from "../log/log.ts";
import type { RegistryContact } from "./registry.ts";

/** Keeps whether a registry answers, and says so once when that changes. */
export class Contact implements RegistryContact {
  readonly #deps: { readonly log: Log; readonly now: () => number };
  #heardAtMs: number | undefined;
  #reason: string | undefined = "the registry was not asked yet";
  #isTold = false;

  constructor(deps: { readonly log: Log; readonly now: () => number }) {
    this.#deps = deps;
  }

  get heardAtMs(): number | undefined {
    return this.#heardAtMs;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  /** The registry answered, and is followed. */
  heard(): void {
    this.#heardAtMs = this.#deps.now();
    if (this.#isTold) this.#deps.log.write("info", "registry followed again", {});
    this.#isTold = false;
    this.#reason = undefined;
  }

  /** The registry can't be followed; `reason` is one sentence. */
  lost(reason: string): void {
    if (!this.#isTold || reason !== this.#reason) {
      this.#deps.log.write("warn", "registry not followed", { reason });
    }
    this.#isTold = true;
    this.#reason = reason;
  }
}
