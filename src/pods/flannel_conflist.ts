import type { JsonValue } from "../config/json.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";
import { ConflistError, MARK, objectOr, OWN_TYPE, parseConflist, pluginsOf } from "./conflist.ts";
import { delegateConfig } from "./delegate_config.ts";
import { isObject, type JsonObject, type NetConf, readNetConf } from "./net_conf.ts";
import type { Settings } from "./settings.ts";
import type { SubnetEnv } from "./subnet_env.ts";

/** What the plugin `flannel` makes of what a conflist and the subnet file do not say. */
const [BRIDGE, HOST_LOCAL] = ["bridge", "host-local"];

/**
 * The conflist with the plugin `flannel` that a rendered one was made of, as far as what was rendered tells: what a
 * delegate has by default, or from the subnet file, is left to be found out again.
 *
 * @param subnetFile Where the plugin finds the subnet file; where it looks by itself if absent.
 * @throws {ConflistError} If it is none, or no plugin in it is for the subnets of `env`.
 */
export function flannelConflist(
  rendered: string,
  settings: Settings,
  env: SubnetEnv,
  subnetFile?: string,
): string {
  const { [MARK]: _, ...list } = parseConflist(rendered);
  const plugins = pluginsOf(list);
  const at = plugins.findIndex((plugin) => isDelegateOf(plugin, env));
  if (at < 0) throw new ConflistError("no plugin in it gives addresses of this host's subnet");
  const { type, ...others } = flannelPlugin(plugins[at]!, settings, env);
  const own = { type, ...subnetFile !== undefined && { subnetFile }, ...others } as JsonObject;
  const restored = plugins.map((plugin, index) => index === at ? own : plugin);
  return `${JSON.stringify({ ...list, plugins: restored }, undefined, 2)}\n`;
}

/** Whether a plugin of a rendered conflist gives addresses of the subnets of `env`. */
function isDelegateOf({ ipam }: JsonObject, { subnets }: SubnetEnv): boolean {
  const { ranges } = objectOr(ipam);
  return isSameJson(ranges, subnets.map((subnet) => [{ subnet: formatPrefix(subnet) }]));
}

/** Whether a rendered conflist is for the subnets of `env`. */
export function isRenderedFor(rendered: string, env: SubnetEnv): boolean {
  try {
    return pluginsOf(parseConflist(rendered)).some((plugin) => isDelegateOf(plugin, env));
  } catch {
    return false;
  }
}

/** The subnets that a rendered conflist gives addresses of. */
export function renderedSubnets(rendered: string): Prefix[] {
  return pluginsOf(parseConflist(rendered)).flatMap(({ ipam }) => {
    const { ranges } = objectOr(ipam);
    const sets = Array.isArray(ranges) ? ranges as readonly JsonValue[] : [];
    return sets.flat().flatMap((range) => {
      const { subnet } = objectOr(range);
      try {
        return typeof subnet === "string" ? [parsePrefix(subnet)] : [];
      } catch {
        return [];
      }
    });
  });
}

function flannelPlugin(plugin: JsonObject, settings: Settings, env: SubnetEnv): JsonObject {
  const { type, ipam, capabilities, ...others } = plugin;
  const usual: JsonObject = {
    ipMasq: settings.isMasquerading ?? !env.isAgentMasquerading,
    mtu: settings.mtuBytes ?? env.mtuBytes ?? null,
    ...type === BRIDGE && { isGateway: true },
  };
  const delegate = Object.fromEntries(
    Object.entries({ ...type !== BRIDGE && { type: type! }, ...others })
      .filter(([key, value]) => !(Object.hasOwn(usual, key) && usual[key] === value)),
  );
  const own = ownIpam(objectOr(ipam), env);
  return {
    type: OWN_TYPE,
    delegate,
    ...Object.keys(own).length > 0 && { ipam: own },
    ...capabilities !== undefined && { capabilities },
  };
}

/** What of a delegate's `ipam` was asked for. */
function ownIpam(
  { type, ranges: _, routes, ...others }: JsonObject,
  { networks }: SubnetEnv,
): JsonObject {
  const given = Array.isArray(routes) ? routes.slice(0, Math.max(0, routes.length - networks.length)) : [];
  return {
    ...others,
    ...type !== undefined && type !== HOST_LOCAL && { type },
    ...given.length > 0 && { routes: given as JsonValue },
  };
}

/** The plugin `flannel` in a conflist, as it is called; `undefined` if it is not in it. */
export function flannelNetConf(conflist: string): NetConf | undefined {
  const list = parseConflist(conflist);
  const plugin = pluginsOf(list).find(({ type }) => type === OWN_TYPE);
  const { name, cniVersion = null } = list;
  return plugin && readNetConf(Object.entries({ ...plugin, name, cniVersion }));
}

/** What flannel's plugin keeps of a pod that it attaches: the delegate's configuration, as JSON with sorted keys. */
export function flannelState(conf: NetConf, settings: Settings, env: SubnetEnv): string {
  return JSON.stringify(delegateConfig(conf, settings, env));
}

function isSameJson(a: JsonValue | undefined, b: JsonValue): boolean {
  return a !== undefined && (isObject(a) || Array.isArray(a)) && JSON.stringify(a) === JSON.stringify(b);
}
