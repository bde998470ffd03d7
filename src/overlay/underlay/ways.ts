import { parseAnyAddress } from "../../config/address_text.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  FAMILIES,
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatAddress,
  type Ipv4,
  type Ipv6,
} from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { DefaultRoute } from "../../rtnetlink/route_lookup.ts";
import { usableAddresses } from "./addresses.ts";
import { ifaceHint, patternHint } from "./iface_hint.ts";
import { compileInterfaceRegex } from "./interface_regex.ts";
import type { CarryingHost } from "./ours.ts";

/** What a person asks for. */
export interface UnderlayFlags {
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

/** Why one way to choose a link led nowhere: a phrase of the error's message. */
export class NoChoice extends Error {}

/** A link that one way leads to, and what the way says of its addresses. */
export interface Candidate {
  readonly link: ObservedLink;
  /** The way's own words for it, where they say more than its name. */
  readonly reason?: string;
  /** Addresses that are asked for by name, at most one of each family: no other will do. */
  readonly named?: readonly Address[];
  /** Addresses that the kernel would take by itself. */
  readonly preferred?: readonly Address[];
  /** Whether an address will do; all do if absent. */
  readonly admits?: (address: Address) => boolean;
  /** The MTU of the route by which the link was found, 0 for none; absent if it is not known now. */
  readonly reachMtu?: { readonly family: Family; readonly mtuBytes: number };
}

/** One way to choose a link. */
export interface Way {
  /** As in an error's message: `-iface eth0`. No other way has the same name. */
  readonly name: string;
  /** The links that it leads to now, best first. Throws `NoChoice` if there are none. */
  readonly candidates: () => readonly Candidate[];
  /** Where what is in use may stay although this way would lead elsewhere now. */
  readonly keeps: () => readonly Candidate[];
}

/**
 * The ways to choose a link that the flags name, first to last, by flannel's rules: each `iface`, each `ifaceRegex`,
 * `ifaceCanReach`; without any, the link of a public address, then that of the default route.
 *
 * @throws {UsageError} If a regular expression is not one.
 */
export function waysOf(host: CarryingHost, flags: UnderlayFlags): readonly Way[] {
  const ways: Way[] = [
    ...flags.iface.map((text) => byText(host, flags, text)),
    ...flags.ifaceRegex.map((text) => byRegex(host, flags, text)),
  ];
  if (flags.ifaceCanReach !== undefined) ways.push(byReach(host, flags, flags.ifaceCanReach));
  if (ways.length > 0) return ways;
  for (const family of FAMILIES) {
    const address = publicAddress(flags, family);
    // An address of a NAT in front of the host is on no link. flannel 0.8 advertised it, later versions exit.
    if (address !== undefined && linksWith(host, address).length > 0) {
      const name = family === AF_INET ? "-public-ip" : "-public-ipv6";
      ways.push(byAddress(host, flags, `${name} ${formatAddress(address)}`, address));
    }
  }
  return [...ways, byDefaultRoute(host, flags, "no -iface is given")];
}

function whole(name: string, candidates: () => readonly Candidate[]): Way {
  return { name, candidates, keeps: candidates };
}

function linksWith({ network }: CarryingHost, address: Address): readonly ObservedLink[] {
  const carriers = new Set(
    network.addresses.filter((entry) => entry.address === address).map(({ linkIndex }) => linkIndex),
  );
  return network.links.filter(({ linkIndex }) => carriers.has(linkIndex));
}

/** The public address of `family`, if that family is in use. */
export function publicAddress(flags: UnderlayFlags, family: Family): Address | undefined {
  if (!flags.families.includes(family)) return undefined;
  return family === AF_INET ? flags.publicIp : flags.publicIpv6;
}

function byText(host: CarryingHost, flags: UnderlayFlags, text: string): Way {
  const name = `-iface ${text}`;
  // As in flannel, `-iface=` with nothing behind it asks for the default route.
  if (text === "") return byDefaultRoute(host, flags, name);
  let address: Address;
  try {
    address = parseAnyAddress(text);
  } catch {
    return whole(name, () => {
      const link = host.all.links.find(({ name }) => name === text);
      if (link === undefined) throw new NoChoice(`no link has that name${ifaceHint(text)}`);
      return [{ link: carrying(host, link) }];
    });
  }
  return byAddress(host, flags, name, address);
}

/** The link, if it is none of the overlay's own. */
function carrying(host: CarryingHost, link: ObservedLink, prefix = ""): ObservedLink {
  const why = host.whyNotLink(link);
  if (why !== undefined) throw new NoChoice(`${prefix}${why}`);
  return link;
}

function byAddress(host: CarryingHost, flags: UnderlayFlags, name: string, address: Address): Way {
  return whole(name, () => {
    const why = host.whyNotAddress(address);
    if (why !== undefined) throw new NoChoice(why);
    const links = linksWith(host, address);
    if (links.length === 0) {
      const entry = host.all.addresses.find((entry) => entry.address === address);
      const own = entry && host.all.links.find(({ linkIndex }) => linkIndex === entry.linkIndex);
      throw new NoChoice((own && host.whyNotLink(own)) ?? "no link has that address");
    }
    return links.map((link) => withPublicIpv6(host, flags, { link, named: [address] }));
  });
}

/** With two families, an IPv4 address that names the link and a public IPv6 address must agree on it. */
function withPublicIpv6(
  host: CarryingHost,
  flags: UnderlayFlags,
  candidate: Candidate & { readonly named: readonly Address[] },
): Candidate {
  const address = publicAddress(flags, AF_INET6);
  if (address === undefined || candidate.named.some((known) => familyOf(known) === AF_INET6)) {
    return candidate;
  }
  // flannel fails where no link carries it.
  const links = linksWith(host, address);
  if (links.length === 0) return candidate;
  if (!links.some(({ linkIndex }) => linkIndex === candidate.link.linkIndex)) {
    const where = `is on ${links[0]!.name}, not on ${candidate.link.name}`;
    throw new NoChoice(`-public-ipv6 ${formatAddress(address)} ${where}`);
  }
  return { ...candidate, named: [...candidate.named, address] };
}

function byRegex(host: CarryingHost, flags: UnderlayFlags, text: string): Way {
  const name = `-iface-regex ${text}`;
  const regex = compileInterfaceRegex(text);
  if (text === "") return byDefaultRoute(host, flags, name);
  const matches = (address: Address) => regex.test(formatAddress(address));
  return whole(name, () => {
    const { links, addresses } = host.network;
    // One link that matches in each family is best. flannel keeps an IPv4 address from one link while it looks at
    // the next.
    const full: Candidate[] = [];
    const partial: Candidate[] = [];
    for (const link of links) {
      const families = flags.families.filter((family) =>
        usableAddresses(addresses, link, family).some(({ entry }) => matches(entry.address))
      );
      if (families.length === 0) continue;
      const admits = (address: Address) => !families.includes(familyOf(address)) || matches(address);
      (families.length === flags.families.length ? full : partial).push({ link, admits });
    }
    const named = links.filter(({ name }) => regex.test(name)).map((link) => ({ link }));
    const candidates = [...full, ...named, ...partial];
    if (candidates.length > 0) return candidates;
    const own = host.all.links.map((link) => ({ link, why: whyNotMatch(host, link, regex) }))
      .find(({ why }) => why !== undefined);
    throw new NoChoice(own?.why ?? `no address or name matches${patternHint(text)}`);
  });
}

/** Why a link is none although its name or an address matches. */
function whyNotMatch(host: CarryingHost, link: ObservedLink, regex: RegExp): string | undefined {
  const inside = host.all.addresses.find(({ linkIndex, address }) =>
    linkIndex === link.linkIndex && regex.test(formatAddress(address))
  );
  if (inside === undefined && !regex.test(link.name)) return undefined;
  return host.whyNotLink(link) ?? (inside && host.whyNotAddress(inside.address));
}

function byReach(host: CarryingHost, flags: UnderlayFlags, address: Address): Way {
  const name = `-iface-can-reach ${formatAddress(address)}`;
  const candidates = (): Candidate[] => {
    const route = host.network.reach?.(address);
    if (route === undefined) throw new NoChoice("there is no route to it");
    const link = host.all.links.find(({ linkIndex }) => linkIndex === route.linkIndex);
    if (link === undefined) throw new NoChoice("its route has no link");
    return [{
      link: carrying(host, link, "its route is not the underlay's: "),
      ...route.source !== undefined && { preferred: [route.source] },
      ...!route.isMtuLearnt && { reachMtu: { family: familyOf(address), mtuBytes: route.mtuBytes } },
    }];
  };
  const keeps = () => {
    let reached: Candidate[] = [];
    try {
      reached = candidates();
    } catch (error) {
      if (!(error instanceof NoChoice)) throw error;
    }
    return [...reached, ...linksWithDefaultRoute(host, flags)];
  };
  return { name, candidates, keeps };
}

/** The default routes of a family, that of the lowest metric first: flannel takes the first listed. */
export function defaultRoutesOf({ all }: CarryingHost, family: Family): DefaultRoute[] {
  return all.defaultRoutes.filter((route) => route.family === family).toSorted((a, b) => a.metric - b.metric);
}

/** Reports whether a route leaves by a link, alone or beside others. */
export function leavesBy({ linkIndex, hops = [] }: DefaultRoute, link: ObservedLink): boolean {
  return linkIndex === link.linkIndex || hops.some((hop) => hop.linkIndex === link.linkIndex);
}

function linksWithDefaultRoute(host: CarryingHost, { families }: UnderlayFlags): Candidate[] {
  const routes = families.flatMap((family) => defaultRoutesOf(host, family));
  return host.network.links.filter((link) => routes.some((route) => leavesBy(route, link)))
    .map((link) => ({ link }));
}

function byDefaultRoute(host: CarryingHost, flags: UnderlayFlags, name: string): Way {
  const candidates = (): Candidate[] => {
    const found: { readonly family: Family; readonly link: ObservedLink }[] = [];
    let own: string | undefined;
    for (const family of flags.families) {
      const [route] = defaultRoutesOf(host, family).filter((route) => {
        const link = host.all.links.find(({ linkIndex }) => linkIndex === route.linkIndex);
        const why = link && host.whyNotLink(link);
        own ??= why && `the ${FAMILY_NAMES[family]} default route is not the underlay's: ${why}`;
        return why === undefined;
      });
      if (route === undefined) continue;
      const link = host.all.links.find(({ linkIndex }) => linkIndex === route.linkIndex);
      if (link === undefined) {
        throw new NoChoice(
          `the ${FAMILY_NAMES[family]} default route has no single link; name one with -iface`,
        );
      }
      found.push({ family, link });
    }
    const [first] = found;
    if (first === undefined) {
      const names = flags.families.map((family) => FAMILY_NAMES[family]).join(" or ");
      throw new NoChoice(`${own ?? `there is no ${names} default route`}; name a link with -iface`);
    }
    // One family's route is enough: the other may have addresses on the same link.
    const other = found.find(({ link }) => link.linkIndex !== first.link.linkIndex);
    if (other !== undefined) {
      const where = `${first.link.name} and ${other.link.name}`;
      throw new NoChoice(`the IPv4 and IPv6 default routes leave by ${where}; name a link with -iface`);
    }
    const reason = `the ${FAMILY_NAMES[first.family]} default route with the lowest metric`;
    return [{ link: first.link, reason }];
  };
  return { name, candidates, keeps: () => linksWithDefaultRoute(host, flags) };
}
