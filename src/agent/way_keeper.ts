import {
  type Address,
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatAddress,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { Lease } from "../model/lease.ts";
import type { Reach } from "../model/reach.ts";
import type { Underlay } from "../model/underlay.ts";
import { NetlinkError } from "../linux/errno.ts";
import { reachBy, whyNoWay } from "../overlay/underlay/reach.ts";
import type { AskWay } from "./segment_keeper.ts";

/** What it needs of the agent. */
export interface WayDeps {
  readonly ask: AskWay;
  /** Others' leases. Keeps its identity while nothing changes. */
  readonly peers: () => readonly Lease[];
  /** What leases of this host's backend say: the others are not asked for. */
  readonly leaseType: string;
  readonly underlay: () => Underlay;
  /** Whether no link carries the overlay now, which is told of by itself. */
  readonly isLost: () => boolean;
  /** Whether a link is one of the overlay's own. */
  readonly isOverlay: (linkIndex: number) => boolean;
}

/**
 * Sees whether the kernel has a way to any of the other hosts' addresses in the underlay: without one no packet of the
 * overlay leaves. One that has a way is enough, and is asked for first the next time: a look costs one question a family.
 */
export class WayKeeper {
  readonly #deps: WayDeps;
  /** One that had a way, of the peers of then, by family. */
  readonly #witnesses = new Map<Family, { readonly peers: readonly Lease[]; readonly address: Address }>();
  #conditions: readonly Condition[] = [];
  #cutFamilies: ReadonlySet<Family> = new Set();

  constructor(deps: WayDeps) {
    this.#deps = deps;
  }

  /** What must be known: of each family in which no host is reached, one sentence. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** The families in which no host is reached, as the conditions say. */
  get cutFamilies(): ReadonlySet<Family> {
    return this.#cutFamilies;
  }

  /** Reports whether a route to the addresses in a prefix, come or gone, may have changed the conditions. */
  concerns(prefix: Prefix): boolean {
    return this.#conditions.length > 0 ||
      [...this.#witnesses.values()].some(({ address }) =>
        typeof address === typeof prefix.address && prefixContains(prefix, address)
      );
  }

  /** Looks once more, after a pass. */
  passed(): void {
    const { underlay, isLost } = this.#deps;
    if (isLost()) {
      this.#conditions = [];
      this.#cutFamilies = new Set();
      return;
    }
    const families = [...new Set(underlay().addresses.map(({ family }) => family))];
    try {
      const cut = new Set<Family>();
      this.#conditions = families.flatMap((family) => {
        const sentence = this.#look(family);
        if (sentence !== undefined) cut.add(family);
        const where = families.length > 1 ? ` in ${FAMILY_NAMES[family]}` : "";
        return sentence === undefined ? [] : [{
          code: "host-cut-off" as const,
          sentence:
            `this host reaches none of the other hosts${where}, so that its pods are cut off from theirs: ${sentence}`,
        }];
      });
      this.#cutFamilies = cut;
    } catch (error) {
      // What was found last stands until the kernel answers again.
      if (!(error instanceof NetlinkError)) throw error;
    }
  }

  /** Why no host of a family is reached; `undefined` where one is, or there is none. */
  #look(family: Family): string | undefined {
    const peers = this.#deps.peers();
    const witness = this.#witnesses.get(family);
    if (witness?.peers !== peers) this.#witnesses.delete(family);
    else if (this.#whyNot(witness.address) === undefined) return undefined;
    let first: string | undefined;
    let count = 0;
    for (const { host, backendType, parts } of peers) {
      const address = parts.find((part) => familyOf(part.underlayAddress) === family)?.underlayAddress;
      if (address === undefined || backendType !== this.#deps.leaseType) continue;
      const why = this.#whyNot(address);
      if (why === undefined) {
        this.#witnesses.set(family, { peers, address });
        return undefined;
      }
      // This host's own address, or one of no host, is told of elsewhere.
      if (why === NOBODY) continue;
      count++;
      first ??= `${host} is at ${formatAddress(address)}, and ${why}; see "ip route get ${
        formatAddress(address)
      }"`;
    }
    return first === undefined || count === 1 ? first : `${first}; the ${count - 1} others likewise`;
  }

  #whyNot(address: Address): string | typeof NOBODY | undefined {
    const way = this.#deps.ask(address, 0);
    if (reachBy(way, this.#deps.underlay()).place === NOBODY) return NOBODY;
    return whyNoWay(way, this.#deps.isOverlay);
  }
}

const NOBODY = "nobody" satisfies Reach["place"];
