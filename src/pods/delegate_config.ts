import { formatAddress, formatPrefix, parseAddress } from "../model/address.ts";
import { KNOWN_BACKEND_TYPES } from "../config/backend_types.ts";
import type { JsonValue } from "../config/json.ts";
import { CNI_CODE, CniError } from "./cni_error.ts";
import { goJson, sortedEntries, structOf } from "./go_json.ts";
import { isObject, type JsonObject, type NetConf } from "./net_conf.ts";
import { type Settings, subnetFileOf } from "./settings.ts";
import { checkSubnetEnv, mappedIpv4, type SubnetEnv } from "./subnet_env.ts";

const DEFAULT_DELEGATE = "bridge";
const DEFAULT_IPAM = "host-local";
/** The keys of a route, in the order of flannel's plugin. */
const ROUTE_SHAPE = {
  dst: "text",
  gw: "text",
  mtu: "number",
  advmss: "number",
  priority: "number",
  table: "number",
  scope: "number",
} as const;
/** Those that are numbers; a zero is left out of some, where the plugins mean that none is given. */
const ROUTE_NUMBERS = [
  { key: "mtu", isZeroKept: false },
  { key: "advmss", isZeroKept: false },
  { key: "priority", isZeroKept: false },
  { key: "table", isZeroKept: true },
  { key: "scope", isZeroKept: true },
] as const;

/** A delegate's configuration: the one that flannel's plugin would make, where nothing new is asked for. */
export interface DelegateConfig extends JsonObject {
  readonly name: string;
  readonly type: string;
  readonly ipam: JsonObject & { readonly type: string; readonly routes: readonly JsonObject[] };
}

/**
 * Makes the delegate's configuration. Each value is the first that is given of: a key in the conflist, a variable
 * of the plugin, the subnet file, a default. Keys are sorted, so that equal configurations are equal text.
 *
 * @throws {CniError} If they contradict each other, or something is missing.
 */
export function delegateConfig(conf: NetConf, settings: Settings, env: SubnetEnv): DelegateConfig {
  const path = subnetFileOf(conf, settings);
  checkSubnetEnv(env, path, settings);
  checkBackend(conf, settings, env, path);
  const { delegate } = conf;
  const type = (delegate.type as string | undefined) ?? settings.delegateType ?? env.delegateType ??
    DEFAULT_DELEGATE;
  if (type === "" || type.includes("/")) {
    throw new CniError(CNI_CODE.invalidConfig, `invalid plugin name: ${JSON.stringify(type)}`);
  }
  const config = {
    ipMasq: settings.isMasquerading ?? !env.isAgentMasquerading,
    mtu: settings.mtuBytes ?? env.mtuBytes!,
    ...type === "bridge" && { isGateway: true },
    ...delegate,
    type,
    name: conf.name,
    ipam: ipamConfig(conf.ipam, env),
    ...conf.cniVersion !== "" && { cniVersion: conf.cniVersion },
    ...conf.runtimeConfig !== undefined && { runtimeConfig: conf.runtimeConfig },
  };
  const sorted = sortKeys(config) as DelegateConfig;
  return { ...sorted, ipam: { ...sorted.ipam, routes: config.ipam.routes } };
}

/** The text of a delegate's configuration, to the byte as flannel's plugin writes it. */
export function delegateText(config: DelegateConfig): string {
  return goJson(config, config.ipam.routes);
}

/** One value with the keys of all objects in it in order. */
function sortKeys(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  return Object.fromEntries(sortedEntries(value).map(([key, item]) => [key, sortKeys(item)]));
}

function checkBackend(conf: NetConf, settings: Settings, env: SubnetEnv, path: string): void {
  const [wanted, where] = conf.backend !== undefined
    ? [conf.backend, "the network configuration (backend)"]
    : [settings.backend, "FLANNEL_CNI_BACKEND"];
  if (wanted === undefined) return;
  if (!KNOWN_BACKEND_TYPES.includes(wanted)) {
    throw new CniError(
      CNI_CODE.invalidConfig,
      `the backend in ${where} is unknown: ${JSON.stringify(wanted)}`,
      `must be one of ${KNOWN_BACKEND_TYPES.join(", ")}`,
    );
  }
  if (env.backendType === undefined || wanted === env.backendType) return;
  throw new CniError(
    CNI_CODE.invalidConfig,
    `the backend is ${JSON.stringify(wanted)} in ${where} and ${JSON.stringify(env.backendType)} in ${path}`,
    "let them say the same, or leave it to the agent",
  );
}

function ipamConfig(ipam: JsonObject, { subnets, networks }: SubnetEnv): DelegateConfig["ipam"] {
  const { type = DEFAULT_IPAM, routes } = ipam;
  if (typeof type !== "string" || type === "" || type.includes("/")) {
    throw new CniError(CNI_CODE.invalidConfig, `invalid plugin name: ${JSON.stringify(type)}`, "in ipam");
  }
  return {
    ...ipam,
    type,
    ranges: subnets.map((subnet) => [{ subnet: formatPrefix(subnet) }]),
    routes: [...ownRoutes(routes), ...networks.map((network) => ({ dst: formatPrefix(network) }))],
  };
}

/** The routes that the configuration asks for, each with the keys that the specification knows. */
function ownRoutes(routes: JsonValue | undefined): JsonObject[] {
  if (routes === undefined || routes === null) return [];
  if (!Array.isArray(routes)) throw badRoutes("must be a list");
  return routes.map((route: JsonValue) => {
    if (!isObject(route)) throw badRoutes("a route must be an object");
    const struct = structOf(sortedEntries(route), ROUTE_SHAPE);
    const { dst, gw } = struct;
    return {
      dst: destination(dst),
      ...gw !== undefined && gw !== null && gw !== "" && { gw: gateway(gw) },
      ...Object.fromEntries(ROUTE_NUMBERS.flatMap((number) => numberAt(struct, number))),
    };
  });
}

/** `ADDRESS/LENGTH` as it is, host bits too: the kernel judges them, and says so. */
function destination(dst: JsonValue | undefined): string {
  const [address = "", length = "", ...rest] = typeof dst === "string" ? dst.split("/") : [];
  try {
    const parsed = parseAddress(address);
    const bits = typeof parsed === "number" ? 32 : 128;
    if (rest.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= bits) {
      const inner = mappedIpv4(parsed);
      if (inner !== undefined) return `${formatAddress(inner)}/${Math.max(Number(length) - 96, 0)}`;
      return `${formatAddress(parsed)}/${Number(length)}`;
    }
  } catch {
    // Said below.
  }
  throw badRoutes(`invalid CIDR address: ${typeof dst === "string" ? dst : JSON.stringify(dst)}`);
}

function gateway(gw: JsonValue): string {
  try {
    const address = parseAddress(gw as string);
    return formatAddress(mappedIpv4(address) ?? address);
  } catch {
    throw badRoutes(`invalid IP address: ${typeof gw === "string" ? gw : JSON.stringify(gw)}`);
  }
}

function numberAt(
  route: { readonly [key in keyof typeof ROUTE_SHAPE]?: JsonValue },
  { key, isZeroKept }: typeof ROUTE_NUMBERS[number],
): [string, number][] {
  const value = route[key];
  if (value === undefined || value === null || value === 0 && !isZeroKept) return [];
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    throw badRoutes(`${key} must be a whole number`);
  }
  return [[key, value]];
}

function badRoutes(details: string): CniError {
  return new CniError(CNI_CODE.invalidConfig, "invalid network configuration: ipam.routes", details);
}
