import { bitsOf, familyOf, formatPrefix, type Prefix, prefixContains } from "../model/address.ts";

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
  return ground.find(({ prefix }) =>
    subnet.length <= prefix.length && prefixContains(subnet, prefix.address)
  );
}

/** The facts that a subnet of one of `networks` could cover: hardly ever one. */
export function groundWithin(
  networks: readonly Prefix[],
  ground: readonly GroundFact[],
): readonly GroundFact[] {
  return ground.filter(({ prefix }) =>
    networks.some((network) => network.length <= prefix.length && prefixContains(network, prefix.address))
  );
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
  /** How many are of IPv4: they come first. */
  readonly #ipv4: number;

  constructor(facts: readonly GroundFact[]) {
    this.#ordered = facts.toSorted((a, b) => {
      const [x, y] = [a.prefix.address, b.prefix.address];
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      return x < y ? -1 : x > y ? 1 : 0;
    });
    this.#ipv4 = facts.filter(({ prefix }) => typeof prefix.address === "number").length;
  }

  /** The facts that a subnet covers, as `coveredBy()` has it. */
  *coveredBy(subnet: Prefix): Generator<GroundFact, void, undefined> {
    const isIpv4 = typeof subnet.address === "number";
    let low = isIpv4 ? 0 : this.#ipv4;
    const end = isIpv4 ? this.#ipv4 : this.#ordered.length;
    for (let high = end; low < high;) {
      const middle = low + high >> 1;
      if (this.#ordered[middle]!.prefix.address < subnet.address) low = middle + 1;
      else high = middle;
    }
    for (; low < end; low++) {
      const fact = this.#ordered[low]!;
      if (!prefixContains(subnet, fact.prefix.address)) return;
      if (subnet.length <= fact.prefix.length) yield fact;
    }
  }
}
