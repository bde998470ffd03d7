import { formatAddress, type Prefix } from "../../model/address.ts";
import { parseAnyAddress, parseAnyPrefix } from "../../config/address_text.ts";

/** What was perhaps meant by a text of `-iface` that no link has as its name, as the end of a sentence; else empty. */
export function ifaceHint(text: string): string {
  const bare = text.trim().replace(/^(["'`])(.*)\1$/, "$2").trim();
  if (bare !== text) {
    return bare === ""
      ? "; it is nothing but blanks or quotes"
      : `; write it without blanks and quotes: -iface=${bare}`;
  }
  if (text.includes(",")) return "; it is one name or address: repeat -iface for each, first to last";
  const [name, parent] = text.split("@");
  if (parent !== undefined) {
    return `; what is behind the @ that "ip link" prints is no part of a name: -iface=${name}`;
  }
  const prefix = prefixOf(text);
  if (prefix !== undefined) {
    const address = parseAnyAddress(text.split("/")[0]!);
    return address === prefix.address && !isWhole(prefix)
      ? `; it is a prefix: name the link's own address, or a pattern with -iface-regex`
      : `; write the address without its prefix length: -iface=${formatAddress(address)}`;
  }
  const [, inside, link] = /^\[([^\]%]*)(?:%(.*))?\]$/.exec(text) ??
    /^([0-9A-Fa-f:]*:[0-9A-Fa-f:]*)%(.*)$/.exec(text) ?? [];
  if (link !== undefined) return `; name the link alone: -iface=${link}`;
  if (inside !== undefined) return `; write it without brackets: -iface=${inside}`;
  return /[*+?^$|()[\]\\]/.test(text) ? "; patterns are for -iface-regex" : "";
}

/** What was perhaps meant by a pattern of `-iface-regex` that nothing matches, as the end of a sentence; else empty. */
export function patternHint(text: string): string {
  const [, , inside] = /^\s*(["'`])(.*)\1\s*$/s.exec(text) ?? [];
  if (inside !== undefined) return `; the quotes are part of the pattern: -iface-regex=${inside}`;
  return text.includes("@") ? '; what is behind the @ that "ip link" prints is no part of a name' : "";
}

/** Whether a prefix is one address. */
function isWhole({ address, length }: Prefix): boolean {
  return length === (typeof address === "number" ? 32 : 128);
}

function prefixOf(text: string): Prefix | undefined {
  try {
    return parseAnyPrefix(text);
  } catch {
    return undefined;
  }
}
