import type { Log } from "../log/log.ts";
import type { RegistryContact } from "./registry.ts";

/** Who is told what. */
export interface ContactDeps {
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Called when the registry is heard again after it could not be followed. */
  readonly back?: () => void;
}

/** Keeps whether a registry answers, and says so once when that changes. */
export class Contact implements RegistryContact {
  readonly #deps: ContactDeps;
  #heardAtMs: number | undefined;
  #reason: string | undefined = "the registry is not followed yet";
  #isTold = false;

  constructor(deps: ContactDeps) {
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
    const wasLost = this.#isTold;
    this.#isTold = false;
    this.#reason = undefined;
    if (!wasLost) return;
    this.#deps.log.write("info", "registry followed again", {});
    this.#deps.back?.();
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
