import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import type { DelegateConfig } from "../pods/delegate_config.ts";
import { type JsonObject, versionOf } from "../pods/net_conf.ts";
import {
  buildConfig,
  type DelegateRequest,
  type Host,
  negotiate,
  onDisk,
  type Request,
  stateFolder,
} from "./request.ts";
import type { Invocation } from "./invocation.ts";
import { convertResult, objectOf, withGateways, withResult } from "../pods/result.ts";
import type { Attachment, AttachmentState } from "../pods/state.ts";

/** Attaches a pod: has the delegate do it, and remembers how. Returns the delegate's result. */
export async function add(request: Request, host: Host): Promise<string> {
  const { invocation, conf } = request;
  refuseOwnNetns(invocation, host);
  const delegate = await negotiate(buildConfig(request, host), conf, host);
  const { type, config, version } = delegate;
  const state = stateFolder(request);
  const isRepeated = onDisk("read", state, () => state.has(invocation));
  // Before the delegate runs: if this process ends from here on, DEL finds what to undo.
  onDisk("write", state, () => state.write(invocation, config));
  host.log.write("debug", "delegate called", { verb: "ADD", type, config });
  try {
    const printed = await host.delegates.call({ verb: "ADD", type, config });
    return convertResult(printed, { from: version, to: versionOf(conf), type });
  } catch (error) {
    // What an earlier ADD has attached is not ours to take down. The state stays for the DEL that follows.
    if (!isRepeated) await detachQuietly(delegate, host);
    throw error;
  }
}

/** Detaches a pod as its state says, and forgets it once that has succeeded. Without state there is nothing to do. */
export async function del(request: Request, host: Host): Promise<void> {
  const { invocation, conf } = request;
  const state = stateFolder(request);
  const saved = onDisk("read", state, () => state.read(invocation));
  if (saved === undefined) return;
  const config = savedConfig(saved);
  if (config === undefined) {
    const { containerId, ifname } = invocation;
    host.log.write("error", "state not readable, left alone", { containerId, ifname, dataDir: state.path });
    return;
  }
  if (saved.ifname === undefined && config.name !== conf.name) return;
  const { type } = config;
  host.log.write("debug", "delegate called", { verb: "DEL", type, config: saved.text });
  await host.delegates.call({ verb: "DEL", type, config: withResult(config, conf.prevResult) });
  onDisk("remove", state, () => state.remove(saved));
}

/** Has the delegate check what it has made. */
export async function check(request: Request, host: Host): Promise<void> {
  const { invocation, conf } = request;
  if (conf.prevResult === undefined) {
    throw new CniError(CNI_CODE.invalidConfig, "required prevResult missing", "CHECK compares with it");
  }
  refuseOwnNetns(invocation, host);
  const state = stateFolder(request);
  const saved = onDisk("read", state, () => state.read(invocation));
  const known = saved && savedConfig(saved);
  const config = known?.name === conf.name ? known : await configAnew(request, host);
  const result = withGateways(conf.prevResult);
  await host.delegates.call({ verb: "CHECK", type: config.type, config: withResult(config, result) });
}

/** Says whether a pod could be attached now. */
export async function status(request: Request, host: Host): Promise<void> {
  let config: DelegateConfig;
  try {
    config = buildConfig(request, host);
    for (const type of [config.type, config.ipam.type]) host.delegates.find(type);
  } catch (error) {
    if (!(error instanceof CniError)) throw error;
    throw new CniError(CNI_CODE.notAvailable, error.message, error.details);
  }
  await forward("STATUS", config, host);
}

/**
 * Has the delegate undo an attachment whose sandbox has vanished, with the configuration that was saved.
 *
 * @throws {CniError} As it says.
 */
export async function undoVanished(
  { text }: AttachmentState,
  { containerId, ifname }: Attachment,
  { type, delegates }: {
    readonly type: string;
    readonly delegates: Pick<Host["delegates"], "folders" | "call">;
  },
): Promise<void> {
  const variables = {
    CNI_CONTAINERID: containerId,
    CNI_IFNAME: ifname,
    CNI_NETNS: "",
    CNI_ARGS: "",
    CNI_PATH: delegates.folders.join(":"),
  };
  await delegates.call({ verb: "DEL", type, config: text, variables });
}

/** Passes on a verb of version 1.1.0, to a delegate that knows it. */
export async function forward(
  verb: "GC" | "STATUS",
  config: SavedConfig,
  { delegates }: Host,
): Promise<void> {
  const cniVersion = "1.1.0";
  const { type } = config;
  if (!(await delegates.versions(type)).includes(cniVersion)) return;
  await delegates.call({ verb, type, config: JSON.stringify({ ...config, cniVersion }) });
}

/** A configuration that some delegate was given. */
export type SavedConfig = JsonObject & { readonly type: string };

/** The configuration that was saved; absent if it can't be read. */
export function savedConfig({ text }: AttachmentState): SavedConfig | undefined {
  const config = objectOf(text);
  return typeof config?.type === "string" ? { ...config, type: config.type } : undefined;
}

async function configAnew(request: Request, host: Host): Promise<SavedConfig> {
  const { type, config } = await negotiate(buildConfig(request, host), request.conf, host);
  return { ...objectOf(config)!, type };
}

async function detachQuietly({ type, config }: DelegateRequest, host: Host): Promise<void> {
  try {
    await host.delegates.call({ verb: "DEL", type, config });
  } catch (error) {
    host.log.write("info", "delegate not undone", { type, reason: String(error) });
  }
}

function refuseOwnNetns({ netns, isOwnNetnsAllowed }: Invocation, host: Host): void {
  if (isOwnNetnsAllowed || !host.isOwnNetns(netns)) return;
  throw new CniError(
    CNI_CODE.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `${netns} is the network namespace that the plugin runs in`,
  );
}
