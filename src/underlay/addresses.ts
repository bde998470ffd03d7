import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  maskAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../model/state.ts";

// Source: linux/if_addr.h. For IPv4 the kernel calls the first one IFA_F_SECONDARY.
const IFA_F_TEMPORARY = 0x01;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;

/** In the order of every list that has one entry a family. */
export const FAMILIES: readonly Family[] = [AF_INET, AF_INET6];

const LINK_LOCAL = ["169.254.0.0/16", "fe80::/10"].map(parsePrefix);
/** What is neither a global nor a link-local unicast address, as Go's `net.IP` has it. */
const NOT_UNICAST = [
  "0.0.0.0/32",
  "127.0.0.0/8",
  "224.0.0.0/4",
  "255.255.255.255/32",
  "::/128",
  "::1/128",
  "ff00::/8",
]
  .map(parsePrefix);

function isIn(prefixes: typeof LINK_LOCAL, address: Address): boolean {
  return prefixes.some((prefix) => prefixContains(prefix, address));
}

/** 0 is best; each mark is worth more than all after it. */
function rank({ address, flags }: ObservedAddress): number {
  return (isIn(LINK_LOCAL, address) ? 4 : 0) + (flags & IFA_F_PERMANENT ? 0 : 2) +
    (flags & IFA_F_TEMPORARY ? 1 : 0);
}

/**
 * The addresses of one family that outer packets can come from, best first: global before link-local, permanent
 * before dynamic, not temporary before temporary, else as the kernel lists them.
 *
 * Deprecated addresses are left out, as in flannel; so are duplicates of another host's, which flannel takes.
 */
export function usableAddresses(
  addresses: readonly ObservedAddress[],
  link: ObservedLink,
  family: Family,
): Address[] {
  return addresses
    .filter((entry) => entry.linkIndex === link.linkIndex && entry.family === family)
    .filter(({ flags }) => (flags & (IFA_F_DEPRECATED | IFA_F_DADFAILED)) === 0)
    .filter(({ address }) => !isIn(NOT_UNICAST, address))
    .toSorted((a, b) => rank(a) - rank(b))
    .map(({ address }) => address);
}

/** Reports whether the address is this host's alone, as far as is known, and no longer looked for duplicates of. */
export function isConfirmed({ flags }: ObservedAddress): boolean {
  return (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0;
}

/** What `link` reaches in one family without a gateway: the prefixes of its addresses, each once. */
export function segmentsOf(
  addresses: readonly ObservedAddress[],
  link: ObservedLink,
  family: Family,
): Prefix[] {
  const segments: Prefix[] = [];
  for (const entry of addresses) {
    if (entry.linkIndex !== link.linkIndex || entry.family !== family) continue;
    const segment = { address: maskAddress(entry.address, entry.length), length: entry.length };
    if (!segments.some((known) => prefixEquals(known, segment))) segments.push(segment);
  }
  return segments;
}

/** More links than this only hide the one that matters. */
const MAX_CANDIDATES = 16;

/** The links that could carry the overlay, for a message: `eth0: [192.0.2.1], eth1: [198.51.100.1]`. */
export function formatCandidates(
  links: readonly ObservedLink[],
  addresses: readonly ObservedAddress[],
): string {
  const candidates = links
    .map((link) => ({
      name: link.name,
      addresses: FAMILIES.flatMap((family) => usableAddresses(addresses, link, family)),
    }))
    .filter((candidate) => candidate.addresses.length > 0)
    .map(({ name, addresses }) => `${name}: [${addresses.map(formatAddress).join(", ")}]`);
  if (candidates.length === 0) return "no link has an address";
  const more = candidates.length - MAX_CANDIDATES;
  return `the links are ${candidates.slice(0, MAX_CANDIDATES).join(", ")}${
    more > 0 ? ` and ${more} more` : ""
  }`;
}
