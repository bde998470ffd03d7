import type { RegistryContact } from "./registry.ts";

/** Who is told what. */
export interface ContactDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Called when the registry is heard again after it could not be followed. */
  readonly back?: () => void;
}

/** Keeps whether a registry answers. */
export class Contact implements RegistryContact {
  readonly #deps: ContactDeps;
  #heardAtMs: number | undefined;
  #reason: string | undefined = "the registry is not followed yet";
  #isLost = false;
  #reconnects = 0;

  constructor(deps: ContactDeps) {
    this.#deps = deps;
  }

  get heardAtMs(): number | undefined {
    return this.#heardAtMs;
  }

  get reason(): string | undefined {
    return this.#reason;
  }

  /** Whether it could be followed, and can't be now. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  /** The registry answered, and is followed. */
  heard(): void {
    this.#heardAtMs = this.#deps.now();
    this.#reason = undefined;
    if (!this.#isLost) return;
    this.#isLost = false;
    this.#reconnects++;
    this.#deps.back?.();
  }

  /** The registry can't be followed; `reason` is one sentence. */
  lost(reason: string): void {
    this.#isLost = true;
    this.#reason = reason;
  }
}
