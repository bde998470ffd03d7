import { isOverlapping } from "../lease/overlap.ts";
import {
  type Address,
  AF_INET,
  type Family,
  familyOf,
  formatAddress,
  maskAddress,
} from "../model/address.ts";
import { type Prefix, prefixContains, prefixEquals } from "../model/address.ts";

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
  /** Reports whether an address is a gateway that this host's pods had earlier. */
  readonly isOldGateway: (address: BridgeAddress) => boolean;
  /** Reports whether the gateway of a subnet that this host had earlier is still somebody's, and no other host's. */
  readonly isKept: (subnet: Prefix) => boolean;
}

/** One change of the bridge's addresses. */
export interface BridgeStep extends BridgeAddress {
  readonly kind: "add" | "remove";
}

/** What must be changed, and what is in the way and is not ours. */
export interface BridgePlan {
  readonly steps: readonly BridgeStep[];
  /** For each of these the plugin refuses new pods, whatever we do. */
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
  /** The networks of the cluster. */
  readonly networks: readonly Prefix[];
  /** Subnets that this host is known to have had. */
  readonly held: readonly Prefix[];
  /** Addresses outside of its subnets that `host-local` has given to its pods. */
  readonly reserved: readonly Address[];
}

/**
 * Reports whether an address on the bridge is the gateway of a subnet that this host had earlier: the first of a
 * subnet that is known to have been its own; or of one as long as those are, in the cluster's network or with
 * addresses of pods in it. Anything else is somebody else's.
 */
export function isOldGateway(found: BridgeAddress, { own, networks, held, reserved }: Past): boolean {
  const subnet = subnetOf(found);
  if (gatewayOf(subnet).address !== found.address) return false;
  const isSame = (other: Prefix) => prefixEquals(other, subnet);
  if (own.some(isSame)) return false;
  if (held.some(isSame)) return true;
  const isAsLong = own.some(({ address, length }) =>
    familyOf(address) === familyOf(found.address) && length === found.length
  );
  if (!isAsLong) return false;
  const isInNetwork = networks.some((network) =>
    network.length < subnet.length && prefixContains(network, subnet.address)
  );
  return isInNetwork || reserved.some((address) => prefixContains(subnet, address));
}

/**
 * Plans how the bridge gets the gateways of this host's subnets, where it has those of earlier ones. A bridge that has
 * none of both is left to the plugin, which gives it its address with the first pod, or to whom it belongs.
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
  // With the first address of an IPv4 subnet the kernel takes away the others of it, which are somebody's.
  const isAlone = (one: BridgeAddress) =>
    !isIpv4 || !list.some((other) => other !== one && prefixEquals(subnetOf(other), subnetOf(one)));
  const old = list.filter((one) => !isGateway(one) && facts.isOldGateway(one) && isAlone(one));
  const isRefusedFor = (one: BridgeAddress) =>
    isIpv4 || subnet !== undefined && isOverlapping(subnetOf(one), subnet);

  if (gateway !== undefined && old.length > 0 && !list.some(isGateway)) {
    // IPv6 has an address once, whatever its length.
    const twin = isIpv4 ? undefined : old.find(({ address }) => address === gateway.address);
    if (twin !== undefined) remove(twin);
    add(gateway);
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

function isEqual(a: BridgeAddress, b: BridgeAddress): boolean {
  return a.address === b.address && a.length === b.length;
}
