import { _default, boolean, custom, NEVER, object, optional, pipe, string, transform } from "zod/mini";
import { AF_INET, AF_INET6, type Family, formatPrefix, isUnicastMac, type Mac } from "../model/address.ts";
import { familyOf, type Prefix } from "../model/address.ts";
import { parseAnyPrefix, parseIpv4Text, parseIpv6Text } from "./address_text.ts";

/** A sentence about a value: what it must be, and what it is. */
export function mustBe(what: string, value: unknown): string {
  const text = JSON.stringify(value) ?? "missing";
  return `must be ${what}, is ${text.length > 60 ? `${text.slice(0, 60)}…` : text}`;
}

/** Text that `parse` understands; `hint` may add to the sentence what else it could be. */
function parsed<T>(what: string, parse: (text: string) => T, hint: (text: string) => string = () => "") {
  return pipe(
    string({ error: (issue) => mustBe(what, issue.input) }),
    transform((text, context): T => {
      try {
        return parse(text);
      } catch {
        context.issues.push({ code: "custom", message: mustBe(what, text) + hint(text), input: text });
        return NEVER;
      }
    }),
  );
}

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
  return parsed(`an ${family === AF_INET ? "IPv4" : "IPv6"} prefix as ${example}`, parse, hint);
}

/** A range, and for what is no number that it is one of numbers. */
function numbers(range: string, value: unknown): string {
  return typeof value === "number" ? range : `a number, ${range}`;
}

function integer(minimum: number, maximum: number) {
  return custom<number>(
    (value) => Number.isInteger(value) && value as number >= minimum && value as number <= maximum,
    { error: (issue) => mustBe(numbers(`${minimum} to ${maximum}`, issue.input), issue.input) },
  );
}

function truth(absent: boolean) {
  return _default(boolean({ error: (issue) => mustBe("true or false", issue.input) }), absent);
}

const ipv4 = parsed("an IPv4 address", parseIpv4Text);
const ipv6 = parsed("an IPv6 address", parseIpv6Text);

/**
 * The keys of `net-conf.json` but for `Backend`, in flannel's spelling on the left and ours on the right.
 *
 * Source: flannel Documentation/configuration.md.
 */
export const networkSchema = pipe(
  object({
    EnableIPv4: truth(true),
    EnableIPv6: truth(false),
    EnableNFTables: truth(false),
    Network: optional(prefixOf(AF_INET, "IPv6Network")),
    SubnetLen: optional(integer(0, 30)),
    SubnetMin: optional(ipv4),
    SubnetMax: optional(ipv4),
    IPv6Network: optional(prefixOf(AF_INET6, "Network")),
    IPv6SubnetLen: optional(integer(0, 126)),
    IPv6SubnetMin: optional(ipv6),
    IPv6SubnetMax: optional(ipv6),
  }),
  transform((file) => ({
    enableNftables: file.EnableNFTables,
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

/** How VTEPs are made (`Backend` of type `vxlan`). */
export interface VxlanConfig {
  readonly type: "vxlan";
  /** VXLAN network identifier, 24 bits. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  /** Largest outer packet; absent where the underlay's MTU says it. */
  readonly mtuBytes: number | undefined;
  /** Whether the group policy extension is on. */
  readonly gbp: boolean;
  /** Whether the VTEP learns remote MACs from traffic. */
  readonly learning: boolean;
  /** Whether hosts on the same underlay segment are reached without encapsulation. */
  readonly directRouting: boolean;
  /** The first 16 bits of the VTEP's MAC: `0E-2A` is `0x0e2a`. Absent where any will do. */
  readonly macPrefix?: number;
}

/** What Linux uses where `Port` is 0; IANA's 4789 came later. */
const LINUX_VXLAN_PORT = 8472;
/** Every IPv4 host takes packets of this size (RFC 791). */
const MIN_MTU_BYTES = 576;
/** Room for the smallest IPv6 MTU (RFC 8200), and for VXLAN in IPv6 around it. */
const MIN_MTU_BYTES_IPV6 = 1280 + 70;
const MAC_PREFIX = /^[0-9a-fA-F]{2}[-:][0-9a-fA-F]{2}$/;

function parseMacPrefix(text: string): number {
  const octets = Number.parseInt(text.replace(/[-:]/, ""), 16);
  if (!MAC_PREFIX.test(text) || !isUnicastMac(octets * 2 ** 32 + 1 as Mac)) {
    throw new SyntaxError(`Cannot parse MAC prefix "${text}"`);
  }
  return octets;
}

function mtu(minimum: number) {
  const isMtu = (value: unknown) => value === 0 || value as number >= minimum && value as number <= 65535;
  const why = minimum > MIN_MTU_BYTES ? " (an IPv6 overlay needs them)" : "";
  return custom<number>(
    (value) => Number.isInteger(value) && isMtu(value),
    { error: (issue) => mustBe(numbers(`0 or ${minimum} to 65535${why}`, issue.input), issue.input) },
  );
}

function vxlanOf(minimumMtuBytes: number) {
  return pipe(
    object({
      VNI: _default(integer(1, 0xff_ffff), 1),
      Port: _default(integer(0, 65535), 0),
      MTU: _default(mtu(minimumMtuBytes), 0),
      GBP: truth(false),
      Learning: truth(false),
      DirectRouting: truth(false),
      MacPrefix: optional(parsed("two hexadecimal octets of a unicast MAC as 0e-2a", parseMacPrefix)),
    }),
    transform((file): VxlanConfig => ({
      type: "vxlan",
      vni: file.VNI,
      port: file.Port || LINUX_VXLAN_PORT,
      mtuBytes: file.MTU || undefined,
      gbp: file.GBP,
      learning: file.Learning,
      directRouting: file.DirectRouting,
      ...file.MacPrefix !== undefined && { macPrefix: file.MacPrefix },
    })),
  );
}

/**
 * `Backend` of type `vxlan`, in flannel's spelling on the left and ours on the right.
 *
 * Source: flannel Documentation/backends.md.
 */
export const vxlanSchema = vxlanOf(MIN_MTU_BYTES);

/** `vxlanSchema` for an overlay that has IPv6. */
export const vxlanIpv6Schema = vxlanOf(MIN_MTU_BYTES_IPV6);

/** The keys of `vxlanSchema`. */
export const VXLAN_KEYS: readonly string[] = Object.keys(vxlanSchema.def.in.shape);
