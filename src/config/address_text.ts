import {
  type Address,
  AF_INET,
  familyOf,
  type Ipv4,
  type Ipv6,
  maskAddress,
  parseAddress,
  parsePrefix,
  type Prefix,
} from "../model/address.ts";

/** `::ffff:0:0/96`, the IPv4 addresses as IPv6 text writes them (RFC 4291 section 2.5.5.2). */
const MAPPED = 0xffffn;
const MAPPED_BITS = 96;

function unmapped(address: Address): Address {
  if (typeof address === "number" || address >> 32n !== MAPPED) return address;
  return Number(address & 0xffff_ffffn) as Ipv4;
}

/**
 * Parses an address as Go's `net.ParseIP` does: IPv4-mapped text is an IPv4 address.
 *
 * @throws {SyntaxError} If `text` is neither an IPv4 nor an IPv6 address.
 */
export function parseAnyAddress(text: string): Address {
  return unmapped(parseAddress(text));
}

/**
 * Parses an IPv4 address, IPv4-mapped text too.
 *
 * @throws {SyntaxError} If `text` is anything else.
 */
export function parseIpv4Text(text: string): Ipv4 {
  const address = parseAnyAddress(text);
  if (typeof address === "number") return address;
  throw new SyntaxError(`Cannot parse IPv4 address "${text}"`);
}

/**
 * Parses an IPv6 address that is not an IPv4-mapped one.
 *
 * @throws {SyntaxError} If `text` is anything else.
 */
export function parseIpv6Text(text: string): Ipv6 {
  const address = parseAnyAddress(text);
  if (typeof address === "bigint") return address;
  throw new SyntaxError(`Cannot parse IPv6 address "${text}"`);
}

/**
 * Parses `ADDRESS/LENGTH` without host bits.
 *
 * @throws {SyntaxError} If `text` is anything else.
 */
export function parseExactPrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (parseAddress(text.split("/")[0]!) === prefix.address) return prefix;
  throw new SyntaxError(`Cannot parse prefix "${text}"`);
}

/**
 * Parses `ADDRESS/LENGTH`; host bits are cleared, and IPv4-mapped text is an IPv4 prefix.
 *
 * @throws {SyntaxError} If `text` is not a prefix.
 */
export function parseAnyPrefix(text: string): Prefix {
  const prefix = parsePrefix(text);
  const address = unmapped(prefix.address);
  if (familyOf(address) !== AF_INET || typeof prefix.address === "number") return prefix;
  if (prefix.length < MAPPED_BITS) return prefix;
  const length = prefix.length - MAPPED_BITS;
  return { address: maskAddress(address, length), length };
}
