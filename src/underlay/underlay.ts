import { type Address, AF_INET, AF_INET6, type Family, familyOf, formatAddress } from "../model/address.ts";
import type { Ipv4, Ipv6 } from "../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../model/state.ts";
import type { Underlay, UnderlayAddress } from "../model/underlay.ts";
import { parseAnyAddress } from "../config/address_text.ts";
import { FAMILIES, formatCandidates, segmentsOf, usableAddresses } from "./addresses.ts";
import { compileInterfaceRegex } from "./interface_regex.ts";

/** A route to everywhere, of the main table. */
export interface DefaultRoute {
  readonly family: Family;
  /** 0 where the route has more than one next hop. */
  readonly linkIndex: number;
  readonly metric: number;
  /** The route's own MTU, 0 for none. */
  readonly mtuBytes: number;
}

/** Where the kernel would send a packet. */
export interface ReachedBy {
  readonly linkIndex: number;
  /** The address that the packet would come from. */
  readonly source: Address | undefined;
  /** The route's own MTU, 0 for none. */
  readonly mtuBytes: number;
}

/** What is known about this host's network. Lists are in the kernel's order. */
export interface HostNetwork {
  readonly links: readonly ObservedLink[];
  readonly addresses: readonly ObservedAddress[];
  readonly defaultRoutes: readonly DefaultRoute[];
  /** Asks the kernel for its route to an address; absent where it has none. */
  readonly reach?: (address: Address) => ReachedBy | undefined;
}

/** What a person asks for. */
export interface UnderlayOptions {
  /** Link names and addresses, tried in order. */
  readonly iface: readonly string[];
  /** Tried after `iface`. */
  readonly ifaceRegex: readonly string[];
  /** Tried last. */
  readonly ifaceCanReach?: Address;
  readonly publicIp?: Ipv4;
  readonly publicIpv6?: Ipv6;
  /** The families in use; never empty. */
  readonly families: readonly Family[];
}

/** No link can carry the overlay as asked. Says what was tried and what there is. */
export class UnderlayError extends Error {
  override readonly name = "UnderlayError";
}

/** A link, and the addresses and route MTUs that were settled while it was found. */
interface Choice {
  readonly link: ObservedLink;
  readonly addresses: readonly Address[];
  readonly reachMtu?: { readonly family: Family; readonly mtuBytes: number };
}

/** Why one way to choose a link led nowhere: a phrase of the error's message. */
class NoChoice extends Error {}

/**
 * Chooses the link, the addresses and the MTU that carry the overlay, by flannel's rules: each `iface`, each
 * `ifaceRegex`, `ifaceCanReach`; without any, the link of the public address, else that of the default route.
 *
 * Families that `options` does not name are ignored, a public address of theirs too. One family that can't leave by
 * the link is a shortfall; flannel does not start then.
 *
 * @throws {UnderlayError} If nothing fits.
 * @throws {UsageError} If a regular expression is not one.
 */
export function chooseUnderlay(host: HostNetwork, options: UnderlayOptions): Underlay {
  const regexes = options.ifaceRegex.map((source) => [source, compileInterfaceRegex(source)] as const);
  const { ifaceCanReach } = options;
  const ways: (readonly [what: string, choose: () => Choice])[] = [
    ...options.iface.map((text) => [`-iface ${text}`, () => byText(host, options, text)] as const),
    ...regexes.map(([text, regex]) =>
      [`-iface-regex ${text}`, () => byRegex(host, options, text, regex)] as const
    ),
  ];
  if (ifaceCanReach !== undefined) {
    ways.push([`-iface-can-reach ${formatAddress(ifaceCanReach)}`, () => byReach(host, ifaceCanReach)]);
  }
  if (ways.length === 0) ways.push(["no -iface is given", () => byPublicAddress(host, options)]);
  const reasons: string[] = [];
  for (const [what, choose] of ways) {
    try {
      return fill(host, options, choose());
    } catch (error) {
      if (!(error instanceof NoChoice)) throw error;
      reasons.push(`${what}: ${error.message}`);
    }
  }
  const candidates = formatCandidates(host.links, host.addresses);
  throw new UnderlayError(`Cannot choose the underlay link: ${reasons.join("; ")}; ${candidates}`);
}

function linkWith(host: HostNetwork, address: Address): ObservedLink | undefined {
  const carriers = new Set(
    host.addresses.filter((entry) => entry.address === address).map((entry) => entry.linkIndex),
  );
  return host.links.find((link) => carriers.has(link.linkIndex));
}

/** The public address of `family`, if that family is in use. */
function publicAddress(options: UnderlayOptions, family: Family): Address | undefined {
  if (!options.families.includes(family)) return undefined;
  return family === AF_INET ? options.publicIp : options.publicIpv6;
}

function byText(host: HostNetwork, options: UnderlayOptions, text: string): Choice {
  // As in flannel, `-iface=` with nothing behind it asks for the default route.
  if (text === "") return byDefaultRoute(host, options);
  let address: Address;
  try {
    address = parseAnyAddress(text);
  } catch {
    const link = host.links.find(({ name }) => name === text);
    if (link === undefined) throw new NoChoice("no link has that name");
    return { link, addresses: [] };
  }
  const link = linkWith(host, address);
  if (link === undefined) throw new NoChoice("no link has that address");
  return withPublicIpv6(host, options, { link, addresses: [address] });
}

/** With two families, an IPv4 address that names the link and a public IPv6 address must agree on it. */
function withPublicIpv6(host: HostNetwork, options: UnderlayOptions, choice: Choice): Choice {
  const address = publicAddress(options, AF_INET6);
  if (address === undefined || choice.addresses.some((known) => familyOf(known) === AF_INET6)) return choice;
  // flannel fails where no link carries it.
  const link = linkWith(host, address);
  if (link === undefined) return choice;
  if (link.linkIndex !== choice.link.linkIndex) {
    const where = `is on ${link.name}, not on ${choice.link.name}`;
    throw new NoChoice(`-public-ipv6 ${formatAddress(address)} ${where}`);
  }
  return { ...choice, addresses: [...choice.addresses, address] };
}

function byRegex(host: HostNetwork, options: UnderlayOptions, text: string, regex: RegExp): Choice {
  if (text === "") return byDefaultRoute(host, options);
  let partial: Choice | undefined;
  for (const link of host.links) {
    // One link that matches in each family is best. flannel keeps an IPv4 address from one link while it looks at
    // the next.
    const addresses = options.families.map((family) =>
      usableAddresses(host.addresses, link, family).find((address) => regex.test(formatAddress(address)))
    ).filter((address) => address !== undefined);
    if (addresses.length === options.families.length) return { link, addresses };
    if (addresses.length > 0) partial ??= { link, addresses };
  }
  const link = host.links.find(({ name }) => regex.test(name));
  if (link !== undefined) return { link, addresses: [] };
  if (partial !== undefined) return partial;
  throw new NoChoice("no address or name matches");
}

function byReach(host: HostNetwork, address: Address): Choice {
  const route = host.reach?.(address);
  if (route === undefined) throw new NoChoice("there is no route to it");
  const link = host.links.find(({ linkIndex }) => linkIndex === route.linkIndex);
  if (link === undefined) throw new NoChoice("its route has no link");
  const reachMtu = { family: familyOf(address), mtuBytes: route.mtuBytes };
  return { link, addresses: route.source === undefined ? [] : [route.source], reachMtu };
}

function byPublicAddress(host: HostNetwork, options: UnderlayOptions): Choice {
  for (const family of FAMILIES) {
    const address = publicAddress(options, family);
    const link = address && linkWith(host, address);
    if (link) return withPublicIpv6(host, options, { link, addresses: [address] });
  }
  // An address of a NAT in front of the host is on no link. flannel 0.8 advertised it, later versions exit.
  return byDefaultRoute(host, options);
}

/** The route that packets to everywhere take: flannel takes the first listed, whatever its metric. */
function defaultRoute(host: HostNetwork, family: Family, linkIndex?: number): DefaultRoute | undefined {
  return host.defaultRoutes
    .filter((route) => route.family === family && (linkIndex === undefined || route.linkIndex === linkIndex))
    .toSorted((a, b) => a.metric - b.metric)[0];
}

function byDefaultRoute(host: HostNetwork, options: UnderlayOptions): Choice {
  const links = options.families.flatMap((family) => {
    const route = defaultRoute(host, family);
    if (route === undefined) return [];
    const link = host.links.find(({ linkIndex }) => linkIndex === route.linkIndex);
    if (link !== undefined) return link;
    throw new NoChoice(`the ${nameOf(family)} default route has no single link; name one with -iface`);
  });
  if (links.length === 0) {
    const names = options.families.map(nameOf).join(" or ");
    throw new NoChoice(`there is no ${names} default route; name a link with -iface`);
  }
  // One family's route is enough: the other may have addresses on the same link.
  const other = links.find((link) => link.linkIndex !== links[0]!.linkIndex);
  if (other === undefined) return { link: links[0]!, addresses: [] };
  const where = `${links[0]!.name} and ${other.name}`;
  throw new NoChoice(`the IPv4 and IPv6 default routes leave by ${where}; name a link with -iface`);
}

function nameOf(family: Family): string {
  return family === AF_INET ? "IPv4" : "IPv6";
}

/** Settles the address and the MTU of each family; one that has none does not keep the other from its own. */
function fill(host: HostNetwork, options: UnderlayOptions, { link, addresses, reachMtu }: Choice): Underlay {
  if (link.mtuBytes === 0) throw new NoChoice(`link ${link.name} has no MTU`);
  const settled: UnderlayAddress[] = [];
  const shortfalls: string[] = [];
  for (const family of FAMILIES.filter((family) => options.families.includes(family))) {
    const address = addresses.find((address) => familyOf(address) === family) ??
      usableAddresses(host.addresses, link, family)[0];
    if (address === undefined) {
      shortfalls.push(`link ${link.name} has no usable ${nameOf(family)} address`);
      continue;
    }
    const routeMtu = reachMtu?.family === family
      ? reachMtu.mtuBytes
      : defaultRoute(host, family, link.linkIndex)?.mtuBytes;
    settled.push({
      family,
      address,
      advertised: publicAddress(options, family) ?? address,
      // flannel knows the link's MTU only.
      mtuBytes: Math.min(link.mtuBytes, routeMtu || link.mtuBytes),
      segments: segmentsOf(host.addresses, link, family),
    });
  }
  if (settled.length === 0) throw new NoChoice(shortfalls.join(", "));
  return {
    linkIndex: link.linkIndex,
    linkName: link.name,
    ...link.mac !== undefined && { mac: link.mac },
    mtuBytes: link.mtuBytes,
    addresses: settled,
    ...shortfalls.length > 0 && { shortfalls },
  };
}
