import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";

/** What an agent, flannel's or ours, says about this host's pods in `subnet.env`. */
export interface SubnetEnv {
  /** The cluster networks, IPv4's first. */
  readonly networks: readonly Prefix[];
  /** This host's subnets, at most one of each family, IPv4's first. */
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

const KEYS: ReadonlySet<string> = new Set([
  "FLANNEL_NETWORK",
  "FLANNEL_SUBNET",
  "FLANNEL_IPV6_NETWORK",
  "FLANNEL_IPV6_SUBNET",
  "FLANNEL_MTU",
  "FLANNEL_IPMASQ",
  "FLANNEL_BACKEND",
  "FLANNEL_DELEGATE",
]);

/**
 * Reads `subnet.env` as flannel's plugin does: lines `KEY=VALUE`, the last of two counts, unknown ones are skipped;
 * host bits of prefixes are cleared, and networks are a list with commas.
 *
 * @param path Where `text` is from, for the message.
 * @throws {CniError} If a line can't be read.
 */
export function readSubnetEnv(text: string, path: string): SubnetEnv {
  const values = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf("=");
    const key = at === -1 ? line : line.slice(0, at);
    if (!KEYS.has(key)) continue;
    if (at === -1) throw fault(path, `line ${JSON.stringify(line)} has no "="`);
    values.set(key, line.slice(at + 1));
  }
  const prefixes = (key: string, family: Family): Prefix[] =>
    (values.get(key) ?? "").split(",").filter((item) => item !== "")
      .map((item) => prefixOf(item, { key, family, path }));
  const subnets = KEYS_OF_FAMILIES.flatMap(({ family, subnet }) => prefixes(subnet, family).slice(0, 1));
  const networks = KEYS_OF_FAMILIES.flatMap(({ family, network }) => prefixes(network, family));
  return {
    networks: networks.filter((prefix, at) =>
      networks.findIndex((other) => prefixEquals(other, prefix)) === at
    ),
    subnets,
    mtuBytes: mtuOf(values.get("FLANNEL_MTU"), path),
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
  if (missing.length > 0) throw fault(path, `is missing ${missing.join(", ")}`, " ");
}

function prefixOf(
  text: string,
  { key, family, path }: { readonly key: string; readonly family: Family; readonly path: string },
): Prefix {
  let prefix: Prefix<Address>;
  try {
    prefix = parsePrefix(text);
  } catch {
    throw fault(path, `${key}: invalid CIDR address: ${text.slice(0, 80)}`);
  }
  if (familyOf(prefix.address) !== family) {
    throw fault(path, `${key}: ${text} is of the other family`);
  }
  return prefix;
}

function mtuOf(text: string | undefined, path: string): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,10}$/.test(text) || Number(text) > LARGEST_MTU_BYTES) {
    throw fault(path, `FLANNEL_MTU: ${JSON.stringify(text.slice(0, 80))} is no number of bytes`);
  }
  return Number(text);
}

function fault(path: string, what: string, between = ": "): CniError {
  return new CniError(
    CNI_CODE.badSubnetFile,
    `failed to load flannel 'subnet.env' file: ${path}${between}${what}`,
    "the agent on this host writes this file; remove it, and the agent writes it anew",
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
