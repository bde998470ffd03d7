import {
  type Address,
  AF_INET,
  bitsOf,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
  maskAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
} from "../model/address.ts";

/** One family of the cluster network, and which subnets hosts may hold. */
export interface FamilyNetwork {
  readonly family: Family;
  readonly network: Prefix;
  /** Length in bits of each host's subnet. */
  readonly subnetLength: number;
  /** The first address of the first subnet that may be held. */
  readonly subnetMin: Address;
  /** The first address of the last subnet that may be held. */
  readonly subnetMax: Address;
}

/** What net-conf.json says about subnets; each is derived where it is absent. */
export interface SubnetKeys {
  readonly length: number | undefined;
  readonly minimum: Address | undefined;
  readonly maximum: Address | undefined;
}

/** What is wrong with which of the keys; `network` is the prefix itself. */
export interface SubnetFault {
  readonly key: keyof SubnetKeys | "network";
  readonly message: string;
}

/** Hosts share a network of at least four subnets, each with at least four addresses. */
const SPARE_BITS = 2;

/** What can be no pod's address, as the kernel or the protocol means something else by it. */
const RESERVED: readonly (readonly [prefix: Prefix, what: string])[] = ([
  ["0.0.0.0/8", "the addresses of no host"],
  ["127.0.0.0/8", "the loopback addresses"],
  ["169.254.0.0/16", "the link-local addresses"],
  ["224.0.0.0/4", "the multicast addresses"],
  ["255.255.255.255/32", "the broadcast address"],
  ["::/96", "the loopback address and those of no host"],
  ["::ffff:0:0/96", "the IPv4 addresses"],
  ["fe80::/10", "the link-local addresses"],
  ["ff00::/8", "the multicast addresses"],
] as const).map(([text, what]) => [parsePrefix(text), what]);

/** What a network has that no pod can have, one clause; `undefined` if it has nothing of the kind. */
function reservedIn(family: Family, network: Prefix): string | undefined {
  const all = family === AF_INET ? "0.0.0.0/0" : "::/0";
  if (network.length === 0) {
    return `must be the pods' own network, is ${all}: all there is, and no packet would ever be masqueraded`;
  }
  const taken = RESERVED.find(([prefix]) =>
    familyOf(prefix.address) === family &&
    (prefixContains(prefix, network.address) || prefixContains(network, prefix.address))
  );
  if (taken === undefined) return undefined;
  const [prefix, what] = taken;
  return `must not overlap ${formatPrefix(prefix)}, ${what}, is ${formatPrefix(network)}`;
}

/** The subnet length of a network that says none: /24 and /64, or a quarter of a small network. */
function defaultLength(family: Family, network: Prefix): number {
  const usual = family === AF_INET ? 24 : 64;
  return network.length <= usual - SPARE_BITS ? usual : network.length + SPARE_BITS;
}

function addressFrom(family: Family, value: bigint): Address {
  return (family === AF_INET ? Number(value) : value) as Address;
}

/**
 * Derives and checks the subnets of one family, by flannel's rules.
 *
 * The first subnet is left out unless `minimum` names it, the last one is used. Zero is absent, as in flannel.
 */
export function deriveSubnets(
  family: Family,
  network: Prefix,
  keys: SubnetKeys,
): FamilyNetwork | readonly SubnetFault[] {
  const reserved = reservedIn(family, network);
  if (reserved !== undefined) return [{ key: "network", message: reserved }];
  const longest = bitsOf(family) - SPARE_BITS;
  if (network.length + SPARE_BITS > longest) {
    const limit = longest - SPARE_BITS;
    const message = `must be /${limit} or shorter to hold four subnets, is ${formatPrefix(network)}`;
    return [{ key: "network", message }];
  }
  const subnetLength = keys.length || defaultLength(family, network);
  if (subnetLength < network.length + SPARE_BITS || subnetLength > longest) {
    const message = `must be ${network.length + SPARE_BITS} to ${longest} in ${formatPrefix(network)}`;
    return [{ key: "length", message: `${message}, is ${subnetLength}` }];
  }
  const size = 1n << BigInt(bitsOf(family) - subnetLength);
  const first = BigInt(network.address);
  const end = first + (1n << BigInt(bitsOf(family) - network.length));
  const subnetMin = keys.minimum || addressFrom(family, first + size);
  const subnetMax = keys.maximum || addressFrom(family, end - size);
  const faults = [
    ...boundFaults("minimum", subnetMin, network, subnetLength),
    ...boundFaults("maximum", subnetMax, network, subnetLength),
  ];
  // flannel takes such bounds, and has no subnet to give.
  if (faults.length === 0 && subnetMin > subnetMax) {
    const message = `must not be above the last subnet, ${formatAddress(subnetMax)}`;
    faults.push({ key: "minimum", message: `${message}, is ${formatAddress(subnetMin)}` });
  }
  return faults.length > 0 ? faults : { family, network, subnetLength, subnetMin, subnetMax };
}

/** What is known of the subnets of a family that the cluster gives, and which keys count for nothing. */
export interface GivenSubnets {
  readonly family: FamilyNetwork;
  /** Why `deriveSubnets()` would refuse them, key by key. */
  readonly unused: readonly SubnetFault[];
}

/**
 * The subnets of one family where hosts choose none, as Kubernetes gives each node its own. Keys that would be wrong
 * for hosts that choose count for nothing then, as with flannel: all of the network may be a pod's.
 */
export function givenSubnets(
  family: Family,
  network: Prefix,
  keys: SubnetKeys,
): GivenSubnets | readonly SubnetFault[] {
  const reserved = reservedIn(family, network);
  if (reserved !== undefined) return [{ key: "network", message: reserved }];
  const derived = deriveSubnets(family, network, keys);
  if ("family" in derived) return { family: derived, unused: [] };
  const bits = bitsOf(family);
  const length = keys.length || defaultLength(family, network);
  const subnetLength = length >= network.length && length <= bits ? length : network.length;
  const last = BigInt(network.address) + (1n << BigInt(bits - network.length)) -
    (1n << BigInt(bits - subnetLength));
  return {
    family: {
      family,
      network,
      subnetLength,
      subnetMin: network.address,
      subnetMax: addressFrom(family, last),
    },
    unused: derived,
  };
}

function boundFaults(key: keyof SubnetKeys, bound: Address, network: Prefix, length: number): SubnetFault[] {
  const is = formatAddress(bound);
  if (!prefixContains(network, bound)) {
    return [{ key, message: `must lie in ${formatPrefix(network)}, is ${is}` }];
  }
  const aligned = maskAddress(bound, length);
  if (aligned === bound) return [];
  return [{ key, message: `must be where a /${length} begins, as ${formatAddress(aligned)}, is ${is}` }];
}
