import { JsonSyntaxError, type JsonValue, parseJson } from "../config/json.ts";
import { CniError } from "./cni_error.ts";
import { delegateConfig } from "./delegate_config.ts";
import { sortedEntries, structOf } from "./go_json.ts";
import { isObject, type JsonObject, NET_CONF_SHAPE, readNetConf } from "./net_conf.ts";
import type { Settings } from "./settings.ts";
import type { SubnetEnv } from "./subnet_env.ts";

/** The plugin type that a conflist names us by. */
export const OWN_TYPE = "flannel";
/** A key of the list that runtimes skip, by which Loden knows what it has written. */
export const MARK = "renderedBy";
const MARKED = "loden";
/** Files that runtimes take for network configurations, the first by name being the one in use. */
const CONFIGURATION = /\.(conf|conflist|json)$/;
/** A larger file is no conflist. */
export const MAX_CONFLIST_BYTES = 1 << 20;
/** Of a new one: runtimes read it, as root. */
export const CONFLIST_MODE = 0o600;
/** What the list says of its plugins, and the runtime adds to each. */
const FROM_THE_LIST = ["name", "cniVersion", "runtimeConfig"];

/** What the plugin `flannel`, and the runtime for it, reads of its part of a list. */
const PLUGIN_SHAPE = { ...NET_CONF_SHAPE, type: "text", capabilities: "object" } as const;

/** The network of flannel's conflist. */
export const USUAL_NETWORK = "cbr0";

/** What the plugin `bridge` calls its bridge where a conflist does not say. */
export const USUAL_BRIDGE = "cni0";
const BRIDGE_TYPE = "bridge";
/** What gives addresses whose gateway is the first of the subnet. */
const HOST_LOCAL_TYPE = "host-local";

/** The conflist that flannel's manifest carries: the chain of most clusters. */
export const USUAL_CONFLIST = `{
  "name": "${USUAL_NETWORK}",
  "cniVersion": "0.3.1",
  "plugins": [
    { "type": "flannel", "delegate": { "hairpinMode": true, "isDefaultGateway": true } },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
`;

/** A conflist that can't be used. */
export class ConflistError extends Error {
  override readonly name = "ConflistError";
}

/**
 * Resolves the plugin `flannel` in a conflist to the delegate that it would call, so that a runtime calls the
 * delegate itself and adding a pod starts no process of ours. What else is in the list stays as it is.
 *
 * @param source The conflist, JSON text.
 * @throws {ConflistError} If it is none, or does not go with the subnet file.
 */
export function renderConflist(source: string, settings: Settings, env: SubnetEnv): string {
  const list = parseConflist(source);
  const plugins = pluginsOf(list).map((plugin) =>
    plugin.type === OWN_TYPE ? resolve(plugin, list, settings, env) : plugin
  );
  return `${JSON.stringify({ ...list, [MARK]: MARKED, plugins }, undefined, 2)}\n`;
}

/** Reports whether a file's text is a conflist that was rendered here. */
export function isRenderedConflist(text: string): boolean {
  try {
    return parseConflist(text)[MARK] === MARKED;
  } catch {
    return false;
  }
}

/** Reports whether a file's text is a conflist that was rendered here, or one that calls the plugin `flannel`. */
export function isOurConflist(text: string): boolean {
  try {
    return isRenderedConflist(text) || pluginsOf(parseConflist(text)).some(({ type }) => type === OWN_TYPE);
  } catch {
    return false;
  }
}

/**
 * The bridge that a conflist puts pods on, before or after it was rendered; `undefined` if another plugin attaches them.
 *
 * @throws {ConflistError} If it is none.
 */
export function bridgeIn(source: string): string | undefined {
  for (const plugin of pluginsOf(parseConflist(source))) {
    const delegate = plugin.type === OWN_TYPE ? { type: BRIDGE_TYPE, ...objectOr(plugin.delegate) } : plugin;
    if (delegate.type !== BRIDGE_TYPE) continue;
    const { bridge } = delegate as JsonObject;
    return typeof bridge === "string" && bridge !== "" ? bridge : USUAL_BRIDGE;
  }
  return undefined;
}

/** How the plugin `flannel` of a conflist attaches pods, on a host whose subnet file is known. */
export interface PodAttachment {
  /** The bridge that is given the gateway's address; absent where pods are on none, or it is given by others. */
  readonly bridge: string | undefined;
  /** Whether the plugin takes other addresses away from the bridge by itself. */
  readonly isForced: boolean;
  /** What a pod's link is given. */
  readonly mtuBytes: number | undefined;
  /** The network's name, which is that of its folder in `host-local`'s store. */
  readonly network: string;
  /** Where `host-local` keeps its networks; absent where that is the usual place, or there is none. */
  readonly networksDir: string | undefined;
}

/**
 * Says how the plugin `flannel` in a conflist attaches pods; `undefined` if it is not in it.
 *
 * @throws {ConflistError} If it is none, or does not go with the subnet file.
 */
export function podAttachment(source: string, settings: Settings, env: SubnetEnv): PodAttachment | undefined {
  const list = parseConflist(source);
  const plugin = pluginsOf(list).find(({ type }) => type === OWN_TYPE);
  if (plugin === undefined) return undefined;
  const { type, bridge, isGateway, isDefaultGateway, forceAddress, mtu, vlan = 0, ipam: given } = resolve(
    plugin,
    list,
    settings,
    env,
  );
  const ipam = objectOr(given);
  const isGiven = type === BRIDGE_TYPE && (isGateway === true || isDefaultGateway === true) &&
    // With a VLAN a link of its own has the gateway, and not the bridge.
    ipam.type === HOST_LOCAL_TYPE && vlan === 0;
  const name = typeof bridge === "string" && bridge !== "" ? bridge : USUAL_BRIDGE;
  const { dataDir } = ipam;
  return {
    bridge: isGiven ? name : undefined,
    isForced: forceAddress === true,
    mtuBytes: typeof mtu === "number" ? mtu : undefined,
    network: list.name,
    networksDir: typeof dataDir === "string" && dataDir.startsWith("/") ? dataDir : undefined,
  };
}

/**
 * The plugins that a rendered conflist has the runtime start, themselves and for addresses; of one that was not
 * rendered the plugin `flannel` and not what it calls.
 *
 * @throws {ConflistError} If it is none.
 */
export function pluginTypes(conflist: string): string[] {
  const types = pluginsOf(parseConflist(conflist)).flatMap(({ type, ipam }) => [type, objectOr(ipam).type]);
  return [...new Set(types.filter((type) => typeof type === "string" && type !== ""))] as string[];
}

/**
 * The plugins that a conflist will have started once it is rendered, as far as it says so itself.
 *
 * @throws {ConflistError} If it is none.
 */
export function expectedPluginTypes(source: string): string[] {
  const types = pluginsOf(parseConflist(source)).flatMap(({ type, ipam, delegate }) =>
    type === OWN_TYPE
      ? [objectOr(delegate).type ?? BRIDGE_TYPE, objectOr(ipam).type ?? HOST_LOCAL_TYPE]
      : [type, objectOr(ipam).type]
  );
  return [...new Set(types.filter((type) => typeof type === "string" && type !== ""))] as string[];
}

/** An object as it is, and anything else as an empty one. */
export function objectOr(value: JsonValue | undefined): JsonObject {
  return value !== undefined && isObject(value) ? value : {};
}

/** A conflist in which each plugin `flannel` gives its delegate this MTU. */
export function withMtu(source: string, mtuBytes: number): string {
  const list = parseConflist(source);
  const plugins = pluginsOf(list).map((plugin) => {
    if (plugin.type !== OWN_TYPE) return plugin;
    const delegate = isObject(plugin.delegate) ? plugin.delegate : {};
    return { ...plugin, delegate: { ...delegate, mtu: mtuBytes } };
  });
  return `${JSON.stringify({ ...list, plugins }, undefined, 2)}\n`;
}

/** Of the files in a runtime's folder, those that it would use instead of the one called `name`. */
export function filesBefore(name: string, names: readonly string[]): string[] {
  return names.filter((other) => CONFIGURATION.test(other) && other < name).sort();
}

/**
 * Checks that text is a conflist. One plugin alone, as flannel's manifests had it until 0.9, is the list of it, as
 * runtimes take it.
 *
 * @throws {ConflistError} That says where it is not.
 */
export function parseConflist(text: string): JsonObject & { readonly name: string } {
  const value = valueOf(text);
  const list = isOnePlugin(value) ? listOf(value) : value;
  if (typeof list.name !== "string" || list.name === "") {
    throw new ConflistError("name: must name the network");
  }
  pluginsOf(list);
  return { ...list, name: list.name };
}

/** The text of a file whose name ends in `.conflist`: as it is, but that one plugin alone becomes a list. */
export function conflistText(source: string): string {
  parseConflist(source);
  const value = valueOf(source);
  return isOnePlugin(value) ? `${JSON.stringify(listOf(value), undefined, 2)}\n` : withoutMark(source);
}

/** Why a runtime finds no network in a file of this name that holds a list, as a clause; `undefined` if it does. */
export function nameFault(name: string): string | undefined {
  return /\.(conf|json)$/.test(name)
    ? "must end in .conflist: in a file that ends so runtimes expect one plugin, and no list"
    : undefined;
}

function valueOf(text: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(withoutMark(text));
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    throw new ConflistError(`line ${error.line} column ${error.column}: ${error.reason}`);
  }
  if (!isObject(value)) throw new ConflistError("must be an object");
  return value;
}

/** Text without the byte order mark that editors on Windows begin it with; no runtime reads JSON behind one. */
function withoutMark(text: string): string {
  return text.replace(/^\ufeff/, "");
}

/** Reports whether this is the configuration of one plugin, and no list. */
function isOnePlugin({ plugins, type }: JsonObject): boolean {
  return plugins === undefined && typeof type === "string" && type !== "";
}

/** Source: libcni's `ConfListFromConf()`. */
function listOf(plugin: JsonObject): JsonObject {
  const { name = null, cniVersion } = plugin;
  return { name, ...cniVersion !== undefined && { cniVersion }, plugins: [plugin] };
}

/** The plugins of a conflist. */
export function pluginsOf({ plugins }: JsonObject): readonly JsonObject[] {
  if (!Array.isArray(plugins) || plugins.length === 0 || !plugins.every((plugin) => isObject(plugin))) {
    throw new ConflistError("plugins: must be a list of objects, and not empty");
  }
  return (plugins as readonly JsonObject[]).map(withUsualKeys);
}

/** The plugin `flannel` with its keys spelled as usual; runtimes and plugins take them in any case. */
function withUsualKeys(plugin: JsonObject): JsonObject {
  const isOther = (key: string) => Object.keys(structOf([[key, null]], PLUGIN_SHAPE)).length === 0;
  const isUsual = (key: string) => Object.hasOwn(PLUGIN_SHAPE, key) || isOther(key);
  if (Object.keys(plugin).every(isUsual)) return plugin;
  const entries = sortedEntries(plugin);
  const known = structOf(entries, PLUGIN_SHAPE);
  if (known.type !== OWN_TYPE) return plugin;
  return { ...Object.fromEntries(entries.filter(([key]) => isOther(key))), ...known };
}

function resolve(plugin: JsonObject, list: JsonObject, settings: Settings, env: SubnetEnv): JsonObject {
  try {
    // Runtimes sort the keys, and so put a key in another case before the usual one.
    const whole = { ...plugin, name: list.name!, cniVersion: list.cniVersion ?? null };
    const conf = readNetConf(sortedEntries(whole));
    const { type, ...others } = delegateConfig(conf, settings, env);
    const kept = Object.entries(others).filter(([key]) => !FROM_THE_LIST.includes(key));
    const { capabilities } = plugin;
    return { type, ...Object.fromEntries(kept), ...capabilities !== undefined && { capabilities } };
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new ConflistError(
      error.details === undefined ? error.message : `${error.message}: ${error.details}`,
    );
  }
}
