import {
  type Address,
  AF_INET,
  type Family,
  familyOf,
  formatAddress,
  isOverlapping,
  maskAddress,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../model/address.ts";

/** An address on the bridge. */
export interface BridgeAddress {
  readonly address: Address;
  /** Prefix length in bits. */
  readonly length: number;
}

/** What is known of the bridge that pods are on. */
export interface BridgeFacts {
  /** Its addresses in the kernel's order, of both families. */
  readonly addresses: readonly BridgeAddress[];
  /** The subnets of this host, at most one of each family. */
  readonly own: readonly Prefix[];
  /** Reports whether an address is a gateway that this host's pods had earlier, and that is to be seen to. */
  readonly isOldGateway: (address: BridgeAddress) => boolean;
  /** Reports whether pods still use the gateway of a subnet that this host had earlier, and no other host has it. */
  readonly isKept: (subnet: Prefix) => boolean;
  /** Reports whether a gateway that is missing is to be put back, though none of an earlier subnet is there. */
  readonly isOwed: (gateway: BridgeAddress) => boolean;
  /** Reports whether a gateway that is missing is left to who takes it away. */
  readonly isLeft: (gateway: BridgeAddress) => boolean;
}

/** One change of the bridge's addresses. */
export interface BridgeStep extends BridgeAddress {
  readonly kind: "add" | "remove";
}

/** What must be changed, and what is in the way and is not ours. */
export interface BridgePlan {
  readonly steps: readonly BridgeStep[];
  /** For each of these the plugin refuses new pods, and Loden can't help it. */
  readonly inTheWay: readonly { readonly found: BridgeAddress; readonly gateway: BridgeAddress }[];
}

/** The address that `host-local` and the plugin `bridge` make the gateway of a subnet: its first. */
export function gatewayOf({ address, length }: Prefix): BridgeAddress {
  const first = typeof address === "number" ? address + 1 : address + 1n;
  return { address: first as Address, length };
}

/** The subnet that an address on a link says. */
export function subnetOf({ address, length }: BridgeAddress): Prefix {
  return { address: maskAddress(address, length), length };
}

/** `10.244.1.1/24`. */
export function formatBridgeAddress({ address, length }: BridgeAddress): string {
  return `${formatAddress(address)}/${length}`;
}

/** What says that this host had a subnet earlier. */
export interface Past {
  readonly own: readonly Prefix[];
  /**
   * Subnets that agents of this host have held: this one; one before it, as it has written down; the one that
   * wrote the subnet file that was there when this one was started.
   */
  readonly held: readonly Prefix[];
  /** Addresses outside of its subnets that `host-local` has given to its pods. */
  readonly reserved: readonly Address[];
}

/**
 * Reports whether an address on the bridge is the gateway of a subnet that this host is known to have had: the first of
 * one that its agents have held; or of one as long as the own one in which its pods have addresses. Anything else is
 * not ours, also the first of a subnet of the cluster's network: that may be another host's, and nothing says that it
 * was this one's.
 */
export function isOldGateway(found: BridgeAddress, { own, held, reserved }: Past): boolean {
  const subnet = subnetOf(found);
  if (gatewayOf(subnet).address !== found.address) return false;
  const isSame = (other: Prefix) => prefixEquals(other, subnet);
  if (own.some(isSame)) return false;
  if (held.some(isSame)) return true;
  const isAsLong = own.some(({ address, length }) =>
    familyOf(address) === familyOf(found.address) && length === found.length
  );
  return isAsLong && reserved.some((address) => prefixContains(subnet, address));
}

/** What a bridge that lacks a gateway is known by. */
export interface Signs {
  readonly own: readonly Prefix[];
  readonly addresses: readonly BridgeAddress[];
  /** Whether it had the gateway of this host's subnet in this family before. */
  readonly hadGateway: boolean;
  /** Whether ports of pods are on it, and the conflist says that they are this host's. */
  readonly hasPods: () => boolean;
}

/**
 * Reports whether a bridge is to be given a gateway that it lacks: it had that of its family before, or pods are on it
 * and it has the other family's, or nothing. With nothing and no pods the plugin gives it one; with something else
 * alone it is not ours.
 */
export function isOwed({ own, addresses, hadGateway, hasPods }: Signs): boolean {
  if (hadGateway) return true;
  const others = addresses.filter(({ address }) => !isLinkLocal(address));
  const isOwn = (one: BridgeAddress) => own.some((subnet) => isEqual(gatewayOf(subnet), one));
  return (others.length === 0 || others.some(isOwn)) && hasPods();
}

/** The subnet of another host whose pods this host does not reach while the bridge has an address; absent if none. */
export function shadowedBy(found: BridgeAddress, others: readonly Prefix[]): Prefix | undefined {
  return others.find((other) => other.length <= found.length && prefixContains(other, found.address));
}

/**
 * Plans how the bridge gets the gateways of this host's subnets, where it has those of earlier ones or has lost them.
 * A bridge without either is left to the plugin, which gives it its address with the first pod, or to whom it belongs.
 *
 * The plugin goes through the addresses in the kernel's order. It is content with the first that is the gateway, and
 * refuses the pod if it comes upon another IPv4 address, or one of an IPv6 subnet that overlaps, before. The kernel
 * puts a new IPv4 address behind the others and a new IPv6 address before them; so an old IPv4 gateway that is kept
 * is taken away and put back behind the new one.
 *
 * Source: containernetworking/plugins, plugins/main/bridge/bridge.go, ensureAddr(); Linux net/ipv4/devinet.c,
 * __inet_insert_ifa(); net/ipv6/addrconf.c, ipv6_link_dev_addr().
 */
export function planBridge(facts: BridgeFacts): BridgePlan {
  const plans = ([AF_INET, 10] as const).map((family) => planFamily(facts, family));
  return {
    steps: plans.flatMap(({ steps }) => steps),
    inTheWay: plans.flatMap(({ inTheWay }) => inTheWay),
  };
}

function planFamily(facts: BridgeFacts, family: Family): BridgePlan {
  const isIpv4 = family === AF_INET;
  let list = facts.addresses.filter(({ address }) => familyOf(address) === family);
  const subnet = facts.own.find(({ address }) => familyOf(address) === family);
  const gateway = subnet && gatewayOf(subnet);
  const steps: BridgeStep[] = [];
  const remove = (one: BridgeAddress) => {
    steps.push({ kind: "remove", address: one.address, length: one.length });
    list = list.filter((other) => other !== one);
  };
  const add = (one: BridgeAddress) => {
    steps.push({ kind: "add", address: one.address, length: one.length });
    list = isIpv4 ? [...list, one] : [one, ...list];
  };
  const isGateway = (one: BridgeAddress) => gateway !== undefined && isEqual(one, gateway);
  // With the first address of an IPv4 subnet the kernel takes away the others of it, which are not ours.
  const isAlone = (one: BridgeAddress) =>
    !isIpv4 || !list.some((other) => other !== one && prefixEquals(subnetOf(other), subnetOf(one)));
  const old = list.filter((one) => !isGateway(one) && facts.isOldGateway(one) && isAlone(one));
  const isRefusedFor = (one: BridgeAddress) =>
    isIpv4 || subnet !== undefined && isOverlapping(subnetOf(one), subnet);

  if (gateway !== undefined && !list.some(isGateway) && !facts.isLeft(gateway)) {
    // IPv6 has an address once, with one prefix length.
    const twin = isIpv4 ? undefined : list.find(({ address }) => address === gateway.address);
    const isTaken = twin !== undefined && !old.includes(twin);
    if (!isTaken && (old.length > 0 || facts.isOwed(gateway))) {
      if (twin !== undefined) remove(twin);
      add(gateway);
    }
  }
  for (const one of old) {
    if (!list.includes(one)) continue;
    const isBefore = gateway !== undefined && isRefusedFor(one) &&
      list.indexOf(one) < list.findIndex(isGateway);
    const isKept = facts.isKept(subnetOf(one)) && (isIpv4 || !isBefore);
    if (isKept && !isBefore) continue;
    remove(one);
    if (isKept) add(one);
  }
  if (gateway === undefined) return { steps, inTheWay: [] };
  const at = list.findIndex(isGateway);
  const before = (at === -1 ? list : list.slice(0, at)).filter(isRefusedFor);
  return { steps, inTheWay: before.map((found) => ({ found, gateway })) };
}

/** Reports whether an address is in fe80::/10, where each link has one by itself. */
function isLinkLocal(address: Address): boolean {
  return typeof address === "bigint" && address >> 118n === 0x3fan;
}

/** Reports whether two addresses are one, with its length. */
export function isEqual(a: BridgeAddress, b: BridgeAddress): boolean {
  return a.address === b.address && a.length === b.length;
}
