import {
  type Address,
  AF_INET,
  AF_INET6,
  familyOf,
  formatAddress,
  formatPrefix,
  type Ipv4,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";

/** What an agent, flannel's or ours, says about this host's pods in `subnet.env`. */
export interface SubnetEnv {
  /** The cluster networks, those of the key of IPv4 first. */
  readonly networks: readonly Prefix[];
  /** This host's subnets, at most one of each key, that of IPv4 first. */
  readonly subnets: readonly Prefix[];
  /** The largest packet that a pod may send; absent if the file does not say. */
  readonly mtuBytes: number | undefined;
  /** Whether the agent masquerades; absent if the file does not say. */
  readonly isAgentMasquerading: boolean | undefined;
  /** The agent's backend; absent in flannel's files. */
  readonly backendType: string | undefined;
  /** The plugin that shall be the delegate; absent where the usual one is meant. */
  readonly delegateType: string | undefined;
}

const LARGEST_MTU_BYTES = 2 ** 32 - 1;
/** A longer text is no subnet file. */
const MAX_LENGTH = 64 * 1024;
/** A line of a subnet file that a person has written, as for a shell. */
const LINE = /^(?:export\s+)?(FLANNEL_[A-Z0-9_]+)\s*[=:](.*)$/;

/** Each family's keys, in the order of the file. */
const KEYS_OF_FAMILIES = [
  { family: AF_INET, network: "FLANNEL_NETWORK", subnet: "FLANNEL_SUBNET" },
  { family: AF_INET6, network: "FLANNEL_IPV6_NETWORK", subnet: "FLANNEL_IPV6_SUBNET" },
] as const;

const NETWORK_KEYS: readonly string[] = KEYS_OF_FAMILIES.map(({ network }) => network);
const SUBNET_KEYS: readonly string[] = KEYS_OF_FAMILIES.map(({ subnet }) => subnet);
const FLANNEL_KEYS: ReadonlySet<string> = new Set([
  ...NETWORK_KEYS,
  ...SUBNET_KEYS,
  "FLANNEL_MTU",
  "FLANNEL_IPMASQ",
]);
/** What flannel's plugin does not know, and skips. */
const OWN_KEYS: ReadonlySet<string> = new Set(["FLANNEL_BACKEND", "FLANNEL_DELEGATE"]);

/**
 * Reads `subnet.env` as flannel's plugin does: lines `KEY=VALUE` to the letter, the last of two counts, unknown ones are
 * skipped; host bits of prefixes are cleared, networks are a list with commas, and a prefix may be of either family,
 * whatever its key is called. A line that is wrong is one also where a later line has its key.
 *
 * @param path Where `text` is from, for the message.
 * @throws {CniError} If a line can't be read.
 */
export function readSubnetEnv(text: string, path: string): SubnetEnv {
  const found = { networks: new Map<string, Prefix[]>(), subnets: new Map<string, Prefix>() };
  const values = new Map<string, string>();
  // A carriage return ends a line where nothing else is behind it.
  for (const line of text.split("\n").map((line) => line.replace(/\r$/, ""))) {
    const at = line.indexOf("=");
    const key = at === -1 ? line : line.slice(0, at);
    const isFlannels = FLANNEL_KEYS.has(key);
    if (!isFlannels && !OWN_KEYS.has(key)) continue;
    if (at === -1 && !isFlannels) continue;
    if (at === -1) throw fault(path, `line ${JSON.stringify(line)} has no "="`);
    const value = line.slice(at + 1);
    if (NETWORK_KEYS.includes(key)) found.networks.set(key, networksOf(value, { key, path }));
    else if (SUBNET_KEYS.includes(key)) found.subnets.set(key, prefixOf(value, { key, path }));
    else values.set(key, key === "FLANNEL_MTU" ? String(mtuOf(value, path)) : value);
  }
  const mtu = values.get("FLANNEL_MTU");
  return {
    networks: NETWORK_KEYS.flatMap((key) => found.networks.get(key) ?? []),
    subnets: SUBNET_KEYS.flatMap((key) => found.subnets.get(key) ?? []),
    mtuBytes: mtu === undefined ? undefined : Number(mtu),
    isAgentMasquerading: values.has("FLANNEL_IPMASQ") ? values.get("FLANNEL_IPMASQ") === "true" : undefined,
    backendType: values.get("FLANNEL_BACKEND") || undefined,
    delegateType: values.get("FLANNEL_DELEGATE") || undefined,
  };
}

/**
 * Checks that the file says what a delegate needs, but for what `given` says already.
 *
 * @throws {CniError} That names all that is missing, in flannel's order and words.
 */
export function checkSubnetEnv(
  env: SubnetEnv,
  path: string,
  given: { readonly mtuBytes: number | undefined; readonly isMasquerading: boolean | undefined },
): void {
  const missing = [
    ...env.networks.length === 0 ? ["FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK"] : [],
    ...env.subnets.length === 0 ? ["FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET"] : [],
    ...env.mtuBytes === undefined && given.mtuBytes === undefined ? ["FLANNEL_MTU"] : [],
    ...env.isAgentMasquerading === undefined && given.isMasquerading === undefined ? ["FLANNEL_IPMASQ"] : [],
  ];
  if (missing.length > 0) throw fault(path, `is missing ${missing.join(", ")}`, undefined, " ");
}

function networksOf(list: string, where: { readonly key: string; readonly path: string }): Prefix[] {
  const networks = list.split(",").map((item) => prefixOf(item, where));
  return networks.filter((network, at) => networks.findIndex((other) => prefixEquals(other, network)) === at);
}

function prefixOf(text: string, { key, path }: { readonly key: string; readonly path: string }): Prefix {
  let prefix: Prefix;
  try {
    prefix = parsePrefix(text.replace(/\/0+(?=\d)/, "/"));
  } catch {
    throw fault(path, `${key}: invalid CIDR address: ${text.slice(0, 80)}`, hintOf(text));
  }
  return withoutMapping(prefix);
}

/** An IPv4 prefix that is written inside an IPv6 one, as Go takes it. */
function withoutMapping(prefix: Prefix): Prefix {
  const inner = mappedIpv4(prefix.address);
  return inner === undefined || prefix.length < 96 ? prefix : { address: inner, length: prefix.length - 96 };
}

/** The IPv4 address that an IPv6 one of `::ffff:0:0/96` stands for; absent in others. */
export function mappedIpv4(address: Address): Ipv4 | undefined {
  const isMapped = typeof address === "bigint" && address >> 32n === 0xffffn;
  return isMapped ? Number(address & 0xffff_ffffn) as Ipv4 : undefined;
}

/** What a person may have done to a line; absent where nothing shows. */
function hintOf(value: string): string | undefined {
  if (/^["']|["']$/.test(value)) return "it is in quotes, which are no part of a value here";
  if (/^\s|\s$/.test(value)) return "it has a blank beside it, which is a part of the value here";
  return undefined;
}

function mtuOf(text: string, path: string): number {
  if (!/^\d+$/.test(text) || Number(text) > LARGEST_MTU_BYTES) {
    throw fault(
      path,
      `FLANNEL_MTU: ${JSON.stringify(text.slice(0, 80))} is no number of bytes`,
      hintOf(text),
    );
  }
  return Number(text);
}

function fault(path: string, what: string, hint?: string, between = ": "): CniError {
  const remedy = "the agent on this host writes this file; remove it, and the agent writes it anew";
  return new CniError(
    CNI_CODE.badSubnetFile,
    `failed to load flannel 'subnet.env' file: ${path}${between}${what}`,
    hint === undefined ? remedy : `${hint}; ${remedy}`,
  );
}

/** What the agent tells the CNI plugin of this host. */
export interface OwnPods {
  /** The cluster networks, at most one of each family. */
  readonly networks: readonly Prefix[];
  /** The own lease: which subnets this host holds, and by which backend. */
  readonly lease: Lease;
  /** The largest packet that a pod may send. */
  readonly mtuBytes: number;
  /** Whether packets that leave the cluster network take the host's address. */
  readonly masquerade: boolean;
}

/**
 * Formats the file as flannel does, with `FLANNEL_BACKEND` behind the lines that flannel knows. The subnet is
 * written with its first host's address, which the plugin gives to the bridge.
 */
export function formatSubnetEnv(content: OwnPods): string {
  const lines: string[] = [];
  for (const { family, network, subnet } of KEYS_OF_FAMILIES) {
    const ofFamily = ({ address }: Prefix) => familyOf(address) === family;
    const held = content.lease.parts.map(({ subnet }) => subnet).find(ofFamily);
    const whole = content.networks.find(ofFamily);
    if (held === undefined || whole === undefined) continue;
    lines.push(
      `${network}=${formatPrefix(whole)}`,
      `${subnet}=${formatAddress(nextOf(held.address))}/${held.length}`,
    );
  }
  lines.push(`FLANNEL_MTU=${content.mtuBytes}`, `FLANNEL_IPMASQ=${content.masquerade}`);
  lines.push(`FLANNEL_BACKEND=${content.lease.backendType}`);
  return lines.map((line) => `${line}\n`).join("");
}

function nextOf(address: Address): Address {
  return (typeof address === "number" ? address + 1 : address + 1n) as Address;
}

/**
 * The subnets in a file that any program may have written, for what a host has had before: unknown lines are skipped,
 * the last of two lines counts, and a key that does not hold exactly one prefix is absent, as in flannel. Never throws.
 */
export function namedSubnets(text: string): readonly Prefix[] {
  const values = new Map<string, string>();
  if (text.length <= MAX_LENGTH) {
    for (const line of text.split(/\r?\n/)) {
      const match = LINE.exec(line.trim());
      if (match !== null) values.set(match[1]!, unquote(match[2]!.trim()));
    }
  }
  return KEYS_OF_FAMILIES.flatMap(({ family, subnet }) => onePrefix(values.get(subnet) ?? "", family) ?? []);
}

/** Takes off quotes and what is behind them, or a comment behind a value without quotes. */
function unquote(value: string): string {
  const quote = value[0];
  const end = quote === '"' || quote === "'" ? value.indexOf(quote, 1) : -1;
  if (end !== -1) return value.slice(1, end);
  const comment = value.search(/\s#/);
  return comment === -1 ? value : value.slice(0, comment).trim();
}

/** The one valid prefix in a list with commas. */
function onePrefix(list: string, family: number): Prefix | undefined {
  const valid = list.split(",").flatMap((item) => {
    try {
      const prefix = parsePrefix(item.trim());
      return familyOf(prefix.address) === family ? prefix : [];
    } catch {
      return [];
    }
  });
  return valid.length === 1 ? valid[0] : undefined;
}
