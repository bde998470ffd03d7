import { prefixCovers } from "../core/prefix.ts";
import {
  type Address,
  bitsOf,
  familyOf,
  formatPrefix,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import { compareAddresses, firstNotBefore } from "../model/ordered.ts";

/** What packets of this host go to by other ways than the overlay: an address, or a segment that it is on. */
export interface GroundFact {
  /** Of the family's full length where it is an address. */
  readonly prefix: Prefix;
  /** What is there, a noun: `the gateway 192.0.2.254 of eth0`. */
  readonly what: string;
  /** Whether it is on a link that may be there for the host's own pods, as their bridge. */
  readonly isForPods?: true;
}

/**
 * What of `ground` a subnet would take from this host: addresses in it, and segments that are no larger. A segment that
 * is larger than the subnet loses a part; hosts that have their pods' network inside a large private one live with it.
 */
export function coveredBy(subnet: Prefix, ground: readonly GroundFact[]): GroundFact | undefined {
  return ground.find(({ prefix }) => prefixCovers(subnet, prefix));
}

/** The facts that a subnet of one of `networks` could cover: hardly ever one. */
export function groundWithin(
  networks: readonly Prefix[],
  ground: readonly GroundFact[],
): readonly GroundFact[] {
  return ground.filter(({ prefix }) => networks.some((network) => prefixCovers(network, prefix)));
}

/** An address as a fact. */
export function addressFact(address: Prefix["address"], what: string): GroundFact {
  return { prefix: { address, length: bitsOf(familyOf(address)) }, what };
}

/** Why a subnet can't be used: a clause. */
export function coverReason(subnet: Prefix, { what }: GroundFact): string {
  return `its subnet ${formatPrefix(subnet)} covers ${what}`;
}

/** Facts in the order of addresses, to be asked for those inside of many subnets. */
export class GroundIndex {
  readonly #ordered: readonly GroundFact[];

  constructor(facts: readonly GroundFact[]) {
    this.#ordered = facts.toSorted((a, b) => compareAddresses(addressOf(a), addressOf(b)));
  }

  /** The facts that a subnet covers, as `coveredBy()` has it. */
  *coveredBy(subnet: Prefix): Generator<GroundFact, void, undefined> {
    for (let at = firstNotBefore(this.#ordered, subnet.address, addressOf); at < this.#ordered.length; at++) {
      const fact = this.#ordered[at]!;
      if (!prefixContains(subnet, fact.prefix.address)) return;
      if (subnet.length <= fact.prefix.length) yield fact;
    }
  }
}

function addressOf({ prefix }: GroundFact): Address {
  return prefix.address;
}
