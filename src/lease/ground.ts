import { bitsOf, familyOf, formatPrefix, type Prefix, prefixContains } from "../model/address.ts";

/** What packets of this host go to by other ways than the overlay: an address, or a segment that it is on. */
export interface GroundFact {
  /** Of the family's full length where it is an address. */
  readonly prefix: Prefix;
  /** What is there, a noun: `the gateway 192.0.2.254 of eth0`. */
  readonly what: string;
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
