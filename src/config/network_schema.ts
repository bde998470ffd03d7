import { array, custom, maxLength, object, optional, pipe, transform } from "zod/mini";
import {
  AF_INET,
  AF_INET6,
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatPrefix,
  type Prefix,
} from "../model/address.ts";
import { parseAnyPrefix, parseExactPrefix, parseIpv4Text, parseIpv6Text } from "./address_text.ts";
import { mustBe, numbers, parsed, truth } from "./schema_parts.ts";

/** Each costs an element of a set that every packet to the outside is looked up in. */
export const MAX_MASQUERADE_EXCLUDES = 256;

function prefixOf(family: Family, otherKey: string) {
  const parse = (text: string): Prefix => {
    const prefix = parseAnyPrefix(text);
    if (familyOf(prefix.address) !== family) throw new SyntaxError(`Cannot parse prefix "${text}"`);
    return prefix;
  };
  const hint = (text: string): string => {
    try {
      return `; write it as ${otherKey}: ${JSON.stringify(formatPrefix(parseAnyPrefix(text)))}`;
    } catch {
      return text.includes("/") ? "" : "; the prefix length is missing";
    }
  };
  const example = family === AF_INET ? "10.244.0.0/16" : "fd00:10:244::/48";
  return parsed(`an ${FAMILY_NAMES[family]} prefix as ${example}`, parse, hint);
}

/** What a prefix with host bits was meant to be. */
export function exactHint(text: string): string {
  try {
    return `; write ${JSON.stringify(formatPrefix(parseAnyPrefix(text)))}`;
  } catch {
    return text.includes("/") ? "" : "; the prefix length is missing";
  }
}

const ipv4 = parsed("an IPv4 address", parseIpv4Text);
const ipv6 = parsed("an IPv6 address", parseIpv6Text);

/** A length, which is judged where the network is known, and only if the family is in use. Zero is absent. */
function lengthUpTo(longest: number) {
  return custom<number>(
    (value) => Number.isSafeInteger(value) && value as number >= 0,
    { error: (issue) => mustBe(numbers(`0 to ${longest}`, issue.input), issue.input) },
  );
}

/**
 * The keys of `net-conf.json` but for `Backend`, in flannel's spelling on the left and ours on the right.
 *
 * Source: flannel Documentation/configuration.md.
 */
export const networkSchema = pipe(
  object({
    EnableIPv4: truth(true),
    EnableIPv6: truth(false),
    // Checked, and no more: rules are made with nftables also where it is false.
    EnableNFTables: truth(false),
    MasqueradeExclude: optional(
      array(parsed("a prefix as 192.0.2.0/24", parseExactPrefix, exactHint), {
        error: (issue) => mustBe("a list of prefixes", issue.input),
      }).check(maxLength(MAX_MASQUERADE_EXCLUDES, `must be at most ${MAX_MASQUERADE_EXCLUDES} prefixes`)),
    ),
    Network: optional(prefixOf(AF_INET, "IPv6Network")),
    SubnetLen: optional(lengthUpTo(30)),
    SubnetMin: optional(ipv4),
    SubnetMax: optional(ipv4),
    IPv6Network: optional(prefixOf(AF_INET6, "Network")),
    IPv6SubnetLen: optional(lengthUpTo(126)),
    IPv6SubnetMin: optional(ipv6),
    IPv6SubnetMax: optional(ipv6),
  }),
  transform((file) => ({
    masqueradeExclude: file.MasqueradeExclude,
    ipv4: {
      isEnabled: file.EnableIPv4,
      network: file.Network,
      length: file.SubnetLen,
      minimum: file.SubnetMin,
      maximum: file.SubnetMax,
    },
    ipv6: {
      isEnabled: file.EnableIPv6,
      network: file.IPv6Network,
      length: file.IPv6SubnetLen,
      minimum: file.IPv6SubnetMin,
      maximum: file.IPv6SubnetMax,
    },
  })),
);

/** The keys of `networkSchema`, and the one that is read apart. */
export const NETWORK_KEYS: readonly string[] = [...Object.keys(networkSchema.def.in.shape), "Backend"];
