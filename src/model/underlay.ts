import type { Address, Family, Mac, Prefix } from "./address.ts";
import type { Reaches } from "./reach.ts";

/** How one family leaves this host. */
export interface UnderlayAddress {
  readonly family: Family;
  /** The address on the link that outer packets come from. */
  readonly address: Address;
  /** The address that others send to; differs from `address` behind NAT. */
  readonly advertised: Address;
  /** The smaller of the link's MTU and the MTU of the route that the family leaves by. */
  readonly mtuBytes: number;
  /** The MTU of the route that the family leaves by, kept while that route is away; absent where it says none. */
  readonly routeMtuBytes?: number;
  /** The prefixes of the link's own addresses. */
  readonly segments: readonly Prefix[];
  /** Where others are, as the kernel says. For an address that is not in it the prefixes above say that. */
  readonly reaches?: Reaches;
}

/** The link that carries the overlay, and this host's addresses on it. */
export interface Underlay {
  readonly linkIndex: number;
  readonly linkName: string;
  /** Absent where it is no Ethernet link. */
  readonly mac?: Mac;
  /** Whether the MAC is the link's own, so that it tells this host from others. */
  readonly hasOwnMac?: boolean;
  /** Whether the link does not find out who has an address, as a tunnel does not; it does if absent. */
  readonly resolvesNothing?: true;
  /** MTU of the link itself. */
  readonly mtuBytes: number;
  /** One for each family in use that can leave this host, IPv4 first; never empty. */
  readonly addresses: readonly UnderlayAddress[];
  /** What is to be known of a choice that there was no other for, as a sentence. */
  readonly caution?: string;
  /** Why the other families in use can't, one clause each; absent where there are none. */
  readonly shortfalls?: readonly string[];
  /** Whether a family is left out although it has an address: the shortfalls say why. */
  readonly isShort?: true;
  /** The way of the flags that led here: `-iface eth0`. */
  readonly chosenBy?: string;
  /** Why it was this choice, or became it: a clause. */
  readonly reason?: string;
}
