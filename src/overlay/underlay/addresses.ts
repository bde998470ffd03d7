import {
  type Address,
  bitsOf,
  FAMILIES,
  type Family,
  formatAddress,
  maskAddress,
  parsePrefix,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../../model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../model/state.ts";

// Source: linux/if_addr.h. For IPv4 the kernel calls the first one IFA_F_SECONDARY.
const IFA_F_TEMPORARY = 0x01;
const IFA_F_OPTIMISTIC = 0x04;
const IFA_F_DADFAILED = 0x08;
const IFA_F_DEPRECATED = 0x20;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_PERMANENT = 0x80;

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

function isIn(prefixes: readonly Prefix[], address: Address): boolean {
  return prefixes.some((prefix) => prefixContains(prefix, address));
}

/** Reports whether an address is of its link alone. */
export function isLinkLocal(address: Address): boolean {
  return isIn(LINK_LOCAL, address);
}

/** Reports whether an address has no prefix: it makes its link a part of nothing, as a virtual IP (VRRP). */
export function isAlone({ family, length }: Pick<ObservedAddress, "family" | "length">): boolean {
  return length === bitsOf(family);
}

/** Why outer packets can't come from an address, as a clause; `undefined` if they can. */
export function whyUnusable({ address, flags }: ObservedAddress): string | undefined {
  if ((flags & IFA_F_DADFAILED) !== 0) return "is another host's too";
  if ((flags & IFA_F_DEPRECATED) !== 0) return "is deprecated";
  if ((flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC)) === IFA_F_TENTATIVE) return "is tentative";
  return isIn(NOT_UNICAST, address) ? "is no unicast address" : undefined;
}

/** Reports whether packets may come from an address that a person has named: a deprecated one is as good. */
export function isNameable(entry: ObservedAddress): boolean {
  return whyUnusable({ ...entry, flags: entry.flags & ~IFA_F_DEPRECATED }) === undefined;
}

/** How an address compares with others of its link and family. */
export interface UsableAddress {
  readonly entry: ObservedAddress;
  /** 0 for one to stay with, 1 for one without prefix beside others with one, 2 for a link-local one. */
  readonly grade: 0 | 1 | 2;
}

/**
 * The addresses of one family that outer packets can come from, best first: global before link-local; those that the
 * cluster knows this host by; those with a prefix before those without; not secondary (IPv4) or temporary (IPv6)
 * before those; permanent before dynamic; else as the kernel lists them.
 *
 * Deprecated addresses are left out, as in flannel; so are duplicates of another host's and those that may be, which
 * flannel takes.
 *
 * @param nodeAddresses What the cluster knows this host by.
 */
export function usableAddresses(
  addresses: readonly ObservedAddress[],
  link: ObservedLink,
  family: Family,
  nodeAddresses: readonly Address[] = [],
): UsableAddress[] {
  const entries = addresses.filter((entry) =>
    entry.linkIndex === link.linkIndex && entry.family === family && whyUnusable(entry) === undefined
  );
  const hasPrefix = entries.some((entry) => !isLinkLocal(entry.address) && !isAlone(entry));
  const gradeOf = (entry: ObservedAddress, isNode: boolean) => {
    if (isLinkLocal(entry.address)) return 2;
    return hasPrefix && isAlone(entry) && !isNode ? 1 : 0;
  };
  return entries
    .map((entry) => {
      const isNode = nodeAddresses.includes(entry.address);
      const grade = gradeOf(entry, isNode);
      // Each mark is worth more than all after it.
      const rank = grade * 8 + (isNode && grade === 0 ? 0 : 4) + (entry.flags & IFA_F_TEMPORARY ? 2 : 0) +
        (entry.flags & IFA_F_PERMANENT ? 0 : 1);
      return { entry, grade, rank } as const;
    })
    .toSorted((a, b) => a.rank - b.rank);
}

/** Reports whether the address is this host's alone, as far as is known, and no longer looked for duplicates of. */
export function isConfirmed({ flags }: ObservedAddress): boolean {
  return (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0;
}

/**
 * What `link` reaches in one family without a gateway: the prefixes of its addresses, each once. An address without
 * one reaches nothing, so that a virtual IP that comes or goes changes nothing here.
 */
export function segmentsOf(
  addresses: readonly ObservedAddress[],
  link: ObservedLink,
  family: Family,
): Prefix[] {
  const segments: Prefix[] = [];
  for (const entry of addresses) {
    if (entry.linkIndex !== link.linkIndex || entry.family !== family || isAlone(entry)) continue;
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
    .map(({ name, addresses }) =>
      `${name}: [${addresses.map(({ entry }) => formatAddress(entry.address)).join(", ")}]`
    );
  if (candidates.length === 0) return "no link has an address";
  const more = candidates.length - MAX_CANDIDATES;
  return `the links are ${candidates.slice(0, MAX_CANDIDATES).join(", ")}${
    more > 0 ? ` and ${more} more` : ""
  }`;
}
