import { type Address, AF_INET, AF_INET6, type Family, type Prefix } from "../model/address.ts";
import type { BackendOverride } from "./backend_overrides.ts";
import { mergeBackend } from "./merge_backend.ts";
import { ConfigError, type ConfigFault } from "./config_error.ts";
import { JsonSyntaxError, type JsonValue, parseJson } from "./json.ts";
import { foldKeys, isObject } from "./fold_keys.ts";
import { BACKEND_KEYS, type BackendConfig, backendSchema } from "./backend_schema.ts";
import { NETWORK_KEYS, networkSchema } from "./network_schema.ts";
import { mustBe } from "./schema_parts.ts";
import {
  deriveSubnets,
  type FamilyNetwork,
  type GivenSubnets,
  givenSubnets,
  type SubnetFault,
} from "./subnets.ts";

/** What net-conf.json says about the overlay, the same on every host. */
export interface NetworkConfig {
  /** One for each family in use, IPv4 first; never empty. */
  readonly families: readonly FamilyNetwork[];
  readonly backend: BackendConfig;
  /** Packets from pods to these keep their source: they are never masqueraded. */
  readonly masqueradeExclude: readonly Prefix[];
}

/** A configuration, and what to say about it. */
export interface NetworkReading {
  readonly config: NetworkConfig;
  /** Each one line for the log. */
  readonly warnings: readonly string[];
  /** Where each key of `Backend` comes from: the file's name, `-vxlan-vni`, `FLANNELD_MTU`, `default`. */
  readonly origins: ReadonlyMap<string, string>;
}

/** A larger file is not a network configuration. */
export const MAX_TEXT_BYTES = 64 * 1024;

/**
 * Reads net-conf.json as flannel does, with keys in any case.
 *
 * A missing `Backend` is vxlan, as flannel documents it; flannel's code makes it udp.
 *
 * @param options.source The file's name, for messages.
 * @param options.overrides What flags and variables say of `Backend`, weakest first.
 * @param options.masqueradeExclude What stands in for the file's; the file's counts where absent.
 * @param options.areSubnetsGiven Whether the cluster gives each host its subnets, so that what the file says of them is
 * only doubted, and never refused.
 * @throws {ConfigError} With every fault, if there is any.
 */
export function parseNetworkConfig(
  text: string,
  options: {
    readonly source: string;
    readonly overrides?: readonly BackendOverride[];
    readonly masqueradeExclude?: readonly Prefix[] | undefined;
    readonly areSubnetsGiven?: boolean;
  },
): NetworkReading {
  const { source, overrides = [], areSubnetsGiven = false } = options;
  const file = foldKeys(parseFile(text, source), NETWORK_KEYS);
  const network = networkSchema.safeParse(withoutNulls(file.members));
  const faults = (network.error?.issues ?? []).map(({ path, message }): ConfigFault => ({
    where: source,
    path: path.join("."),
    message,
  }));
  const hasIpv6 = file.members["EnableIPv6"] === true;
  const backend = mergeBackend(file.members["Backend"], { source, overrides });
  const chosen = backendSchema(backend.type, { hasIpv6 }).safeParse(backend.members);
  for (const { path, message } of chosen.error?.issues ?? []) {
    const where = backend.origins.get(String(path[0])) ?? source;
    backend.faults.push({ where, path: `Backend.${path.join(".")}`, message });
  }
  const { families, unused } = network.success
    ? familiesOf(network.data, { source, areSubnetsGiven, faults })
    : { families: [], unused: [] };
  faults.push(...backend.faults);
  if (faults.length > 0 || !network.success || !chosen.success) {
    // A key that was mistyped may be the one that is missing.
    const typos = file.typos.map(({ key, near }) => ({
      where: source,
      path: key,
      message: `is not a key; did you mean ${near}?`,
    }));
    throw new ConfigError([...faults, ...typos]);
  }
  const origins = new Map(
    BACKEND_KEYS[backend.type].map((key) => [key, backend.origins.get(key) ?? "default"]),
  );
  return {
    config: {
      families,
      backend: chosen.data,
      masqueradeExclude: options.masqueradeExclude ?? network.data.masqueradeExclude ?? [],
    },
    warnings: [
      ...file.typos.map(({ key, near }) => `${source}: ${key} is ignored: did you mean ${near}?`),
      ...unused,
      ...backend.warnings,
    ],
    origins,
  };
}

function parseFile(text: string, source: string): Readonly<Record<string, JsonValue>> {
  const refuse = (path: string, message: string) => new ConfigError([{ where: source, path, message }]);
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > MAX_TEXT_BYTES) throw refuse("", `must be at most ${MAX_TEXT_BYTES} bytes, is ${bytes}`);
  let value: JsonValue;
  try {
    // Editors on Windows begin a file with a byte order mark, which JSON does not allow.
    value = parseJson(text.replace(/^\ufeff/, ""));
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw refuse(`line ${error.line} column ${error.column}`, error.reason);
  }
  if (!isObject(value)) throw refuse("", mustBe("a JSON object", value));
  return value;
}

/** `null` is an absent key, as in Go; flannel refuses it for some keys. */
function withoutNulls(members: Readonly<Record<string, JsonValue>>): Record<string, JsonValue> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

interface FamilyKeys {
  readonly isEnabled: boolean;
  readonly network: Prefix | undefined;
  readonly length: number | undefined;
  readonly minimum: Address | undefined;
  readonly maximum: Address | undefined;
}

/** How flannel calls what `deriveSubnets()` calls otherwise. */
const SPELLINGS = { network: "Network", length: "SubnetLen", minimum: "SubnetMin", maximum: "SubnetMax" };

/** Derives the families in use; what is wrong goes to `faults`, what counts for nothing is said in `unused`. */
function familiesOf(
  file: { readonly ipv4: FamilyKeys; readonly ipv6: FamilyKeys },
  options: {
    readonly source: string;
    readonly areSubnetsGiven: boolean;
    readonly faults: ConfigFault[];
  },
): { readonly families: FamilyNetwork[]; readonly unused: string[] } {
  const { source, areSubnetsGiven, faults } = options;
  const parts: readonly (readonly [Family, FamilyKeys, prefix: string])[] = [
    [AF_INET, file.ipv4, ""],
    [AF_INET6, file.ipv6, "IPv6"],
  ];
  if (!file.ipv4.isEnabled && !file.ipv6.isEnabled) {
    faults.push({ where: source, path: "EnableIPv4", message: "must be true unless EnableIPv6 is" });
  }
  const families: FamilyNetwork[] = [];
  const unused: string[] = [];
  for (const [family, keys, prefix] of parts) {
    if (!keys.isEnabled) continue;
    if (keys.network === undefined) {
      const because = prefix === "" ? "EnableIPv4 is not false" : "EnableIPv6 is true";
      faults.push({ where: source, path: `${prefix}Network`, message: `is missing, and ${because}` });
      continue;
    }
    const read = areSubnetsGiven
      ? givenSubnets(family, keys.network, keys)
      : inUse(deriveSubnets(family, keys.network, keys));
    if ("unused" in read) {
      families.push(read.family);
      unused.push(
        ...read.unused.map(({ key, message }) =>
          `${source}: ${prefix}${
            SPELLINGS[key]
          } counts for nothing, as each node's podCIDR is its subnet; in etcd it ` +
          message
        ),
      );
    } else {
      for (const { key, message } of read) {
        faults.push({ where: source, path: `${prefix}${SPELLINGS[key]}`, message });
      }
    }
  }
  return { families, unused };
}

function inUse(derived: FamilyNetwork | readonly SubnetFault[]): GivenSubnets | readonly SubnetFault[] {
  return "family" in derived ? { family: derived, unused: [] } : derived;
}
