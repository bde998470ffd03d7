import type { Origin } from "../../model/lease.ts";
import { describeOrigin, isSameOrigin } from "../origin_text.ts";
import { ContestedError } from "../registry_error.ts";

/** A host that gave way asks again after this long, doubled each time: the other may be gone by then. */
const FIRST_YIELD_MS = 60_000;
const LAST_YIELD_MS = 30 * 60_000;

/**
 * Whose a node is, where two hosts say that they are it.
 *
 * A host writes over what its predecessor left. Where that comes back, the predecessor is alive and was there first:
 * then this host gives way. Where another host comes, this one was first, and writes its own again.
 */
export class NodeTenant {
  readonly #elapsedMs: () => number;
  /** What this host wrote last; `undefined` before the first time. */
  #own: Origin | undefined;
  #predecessor: Origin | undefined;
  #yieldMs = FIRST_YIELD_MS;
  #untilMs = 0;

  /** @param elapsedMs A monotonic clock. */
  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  /**
   * Looks at who has written to the node, before this host does.
   *
   * @throws {ContestedError} If this host has to give way.
   */
  check(node: string, there: Origin | undefined, own: Origin): void {
    if (this.#own === undefined || there === undefined || this.#predecessor === undefined) return;
    if (isSameOrigin(there, own) || isSameOrigin(there, this.#own)) return;
    if (isSameOrigin(there, this.#predecessor)) this.#giveWay(node, there);
  }

  /** This host has written to the node, over what was there. */
  wrote(there: Origin | undefined, own: Origin): void {
    if (this.#own === undefined && there !== undefined && !isSameOrigin(there, own)) {
      this.#predecessor = there;
    }
    this.#own = own;
  }

  #giveWay(node: string, there: Origin): void {
    const nowMs = this.#elapsedMs();
    const isDue = this.#untilMs > 0 && nowMs >= this.#untilMs;
    if (isDue) {
      // Written once more; if it comes back again, the pause is longer.
      this.#untilMs = 0;
      this.#yieldMs = Math.min(this.#yieldMs * 2, LAST_YIELD_MS);
      return;
    }
    if (this.#untilMs === 0) this.#untilMs = nowMs + this.#yieldMs;
    throw new ContestedError(
      `take the lease of node ${node}`,
      `${
        describeOrigin(there)
      } is alive, holds it and was there first; two hosts say NODE_NAME=${node}: give each the ` +
        "name of its own node",
    );
  }
}
