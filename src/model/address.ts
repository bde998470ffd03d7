declare const ipv4Brand: unique symbol;
declare const ipv6Brand: unique symbol;
declare const macBrand: unique symbol;

/** An IPv4 address as an unsigned 32-bit number: 10.244.1.0 is `0x0af40100`. */
export type Ipv4 = number & { readonly [ipv4Brand]: true };

/** An IPv6 address as an unsigned 128-bit integer: `::1` is `1n`. */
export type Ipv6 = bigint & { readonly [ipv6Brand]: true };

/** An address of either family; `typeof` tells which. */
export type Address = Ipv4 | Ipv6;

/** An Ethernet address as an unsigned 48-bit number: 0e:2a:00:00:00:01 is `0x0e2a00000001`. */
export type Mac = number & { readonly [macBrand]: true };

/** `AF_INET` and `AF_INET6`, as the kernel numbers them on Linux. */
export type Family = 2 | 10;

export const AF_INET = 2 satisfies Family;
export const AF_INET6 = 10 satisfies Family;
/** Both, IPv4 first. */
export const FAMILIES: readonly Family[] = [AF_INET, AF_INET6];
/** What people call them. */
export const FAMILY_NAMES: Readonly<Record<Family, string>> = { [AF_INET]: "IPv4", [AF_INET6]: "IPv6" };

/** The addresses that share `length` leading bits. Host bits are zero. */
export interface Prefix<A extends Address = Address> {
  readonly address: A;
  /** Prefix length in bits, 0 to 32 or 0 to 128. */
  readonly length: number;
}

/** The family that `address` belongs to. */
export function familyOf(address: Address): Family {
  return typeof address === "number" ? AF_INET : AF_INET6;
}

/** Bits in an address of `family`: 32 or 128. */
export function bitsOf(family: Family): 32 | 128 {
  return family === AF_INET ? 32 : 128;
}

const DOTTED_QUAD = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;
const HEXTET = /^[0-9a-fA-F]{1,4}$/;
const MAC_TEXT = /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/;

/**
 * Parses dotted-quad text, and nothing looser: `inet_aton(3)` shorthands, leading zeros and blanks are refused.
 *
 * @throws {SyntaxError} If `text` is not four decimal octets of 0 to 255.
 */
export function parseIpv4(text: string): Ipv4 {
  const address = ipv4Of(text);
  if (address === undefined) throw new SyntaxError(`Cannot parse IPv4 address "${text}"`);
  return address;
}

function ipv4Of(text: string): Ipv4 | undefined {
  const octets = DOTTED_QUAD.exec(text)?.slice(1).map(Number);
  if (octets === undefined || octets.some((octet) => octet > 255)) return undefined;
  return octets.reduce((sum, octet) => sum * 256 + octet, 0) as Ipv4;
}

/**
 * Parses IPv6 text in the forms of RFC 4291 section 2.2; a zone (`%eth0`) is refused.
 *
 * @throws {SyntaxError} If `text` is not an IPv6 address.
 */
export function parseIpv6(text: string): Ipv6 {
  const fault = () => new SyntaxError(`Cannot parse IPv6 address "${text}"`);
  const halves = text.split("::");
  if (halves.length > 2) throw fault();
  const [head = [], tail] = halves.map((half) => half === "" ? [] : half.split(":"));
  const last = (tail ?? head).at(-1);
  if (last?.includes(".")) {
    const quad = ipv4Of(last);
    if (quad === undefined) throw fault();
    (tail ?? head).splice(-1, 1, (quad >>> 16).toString(16), (quad & 0xffff).toString(16));
  }
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) throw fault();
  const hextets = [...head, ...Array<string>(tail === undefined ? 0 : missing).fill("0"), ...(tail ?? [])];
  if (!hextets.every((hextet) => HEXTET.test(hextet))) throw fault();
  return BigInt(`0x${hextets.map((hextet) => hextet.padStart(4, "0")).join("")}`) as Ipv6;
}

/**
 * Parses an address of either family.
 *
 * @throws {SyntaxError} If `text` is neither an IPv4 nor an IPv6 address.
 */
export function parseAddress(text: string): Address {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/**
 * Formats as dotted quad, or in the text form of RFC 5952: compressed lower-case hexadecimal. An IPv4 address inside
 * an IPv6 one is written as hexadecimal too: `::ffff:c000:201`.
 */
export function formatAddress(address: Address): string {
  if (typeof address === "number") {
    return `${address >>> 24}.${address >>> 16 & 255}.${address >>> 8 & 255}.${address & 255}`;
  }
  const hextets = address.toString(16).padStart(32, "0").match(/.{4}/g)!
    .map((hextet) => hextet.replace(/^0{1,3}/, ""));
  let best = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (hextets[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return hextets.join(":");
  const head = hextets.slice(0, best.start).join(":");
  return `${head}::${hextets.slice(best.start + best.length).join(":")}`;
}

/** Clears the bits of `address` after the first `length`. */
export function maskAddress(address: Address, length: number): Address {
  if (typeof address === "number") {
    return (length === 0 ? 0 : (address & (-1 << (32 - length))) >>> 0) as Ipv4;
  }
  const hostBits = BigInt(128 - length);
  return (address >> hostBits << hostBits) as Ipv6;
}

/**
 * Parses `ADDRESS/LENGTH`; host bits are cleared, as flannel does.
 *
 * @throws {SyntaxError} If either part is malformed, or the length is longer than the address.
 */
export function parsePrefix(text: string): Prefix {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) throw new SyntaxError(`Cannot parse prefix "${text}"`);
  const address = parseAddress(match[1]!);
  const length = Number(match[2]);
  if (length > bitsOf(familyOf(address))) throw new SyntaxError(`Cannot parse prefix "${text}"`);
  return { address: maskAddress(address, length), length };
}

/** Formats as `ADDRESS/LENGTH`. */
export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix.address)}/${prefix.length}`;
}

/** Reports whether `address` lies in `prefix`; never across families. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  return typeof prefix.address === typeof address && maskAddress(address, prefix.length) === prefix.address;
}

/** Reports whether two prefixes have an address in common. */
export function isOverlapping(a: Prefix, b: Prefix): boolean {
  return a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);
}

/** Reports whether two prefixes are the same. */
export function prefixEquals(a: Prefix, b: Prefix): boolean {
  return a.address === b.address && a.length === b.length;
}

/**
 * Parses six hexadecimal octets with colons.
 *
 * @throws {SyntaxError} If `text` has any other form.
 */
export function parseMac(text: string): Mac {
  if (!MAC_TEXT.test(text)) throw new SyntaxError(`Cannot parse MAC address "${text}"`);
  return Number.parseInt(text.replaceAll(":", ""), 16) as Mac;
}

/** Formats in lower case with colons. */
export function formatMac(mac: Mac): string {
  return mac.toString(16).padStart(12, "0").match(/../g)!.join(":");
}

/** Reports whether `mac` can be the address of one station: neither multicast, broadcast nor all zero. */
export function isUnicastMac(mac: Mac): boolean {
  return mac !== 0 && Math.floor(mac / 2 ** 40) % 2 === 0;
}
