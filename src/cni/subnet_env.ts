import {
  type Address,
  type Family,
  familyOf,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import { AF_INET, AF_INET6 } from "../model/address.ts";
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
  const subnets = [
    ...prefixes("FLANNEL_SUBNET", AF_INET).slice(0, 1),
    ...prefixes("FLANNEL_IPV6_SUBNET", AF_INET6).slice(0, 1),
  ];
  const networks = [...prefixes("FLANNEL_NETWORK", AF_INET), ...prefixes("FLANNEL_IPV6_NETWORK", AF_INET6)];
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
