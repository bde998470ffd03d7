import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import type { DelegateConfig } from "../pods/delegate_config.ts";
import { structOf } from "../pods/go_json.ts";
import { type JsonObject, membersIn, versionOf } from "../pods/net_conf.ts";
import { NotStartedError } from "./delegate.ts";
import {
  buildConfig,
  type DelegateRequest,
  type Host,
  negotiate,
  onDisk,
  type Request,
  stateFolder,
  usualStateFolder,
} from "./request.ts";
import type { Invocation } from "./invocation.ts";
import { convertResult, objectOf, withGateways, withResult } from "../pods/result.ts";
import { type Attachment, type AttachmentState, OddStateError, type StateFolder } from "../pods/state.ts";

/** Attaches a pod: has the delegate do it, and remembers how. Returns the delegate's result. */
export async function add(request: Request, host: Host): Promise<string> {
  const { invocation, conf } = request;
  refuseOwnNetns(invocation, host);
  const built = buildConfig(request, host);
  const delegate = await negotiate(built, conf, host);
  const { type, config, version } = delegate;
  // Before anything is kept: what was never attached needs no delegate to be detached.
  host.delegates.find(type);
  const isIpamThere = canFind(built.ipam.type, host);
  const state = stateFolder(request);
  const isRepeated = isAttached(request, state);
  // Before the delegate runs: if this process ends from here on, DEL finds what to undo. What an earlier ADD has
  // attached is found by what it was attached with.
  if (!isRepeated) onDisk("write", state, () => state.write(invocation, config));
  host.log.write("debug", "delegate called", { verb: "ADD", type, config });
  let result: string;
  try {
    const printed = await host.delegates.call({ verb: "ADD", type, config });
    result = convertResult(printed, { from: version, to: versionOf(conf), type });
  } catch (error) {
    // What an earlier ADD has attached is not ours to take down. The state stays for the DEL that follows.
    if (isRepeated) throw error;
    const isUndone = error instanceof NotStartedError ||
      await undo(delegate, { isIpamThere: isIpamThere || canFind(built.ipam.type, host), host });
    if (isUndone) onDisk("remove", state, () => state.remove(invocation));
    throw error;
  }
  if (isRepeated) onDisk("write", state, () => state.write(invocation, config));
  else if (!onDisk("read", state, () => state.has(invocation))) {
    await undo(delegate, { isIpamThere: true, host });
    throw new CniError(CNI_CODE.internal, "the pod was detached while it was attached", "by DEL or GC");
  }
  return result;
}

/** Detaches a pod as its state says, and forgets it once that has succeeded. Without state there is nothing to do. */
export async function del(request: Request, host: Host): Promise<void> {
  const { invocation, conf } = request;
  const { containerId, ifname } = invocation;
  const found = findState(request, host);
  if (found === undefined) return;
  const { state, saved } = found;
  const config = savedConfig(saved);
  if (config === undefined) {
    host.log.write("error", "state not readable, left alone", { containerId, ifname, dataDir: state.path });
    return;
  }
  const { type, name } = config;
  const text = withResult(saved.text, config, conf.prevResult);
  host.log.write("debug", "delegate called", { verb: "DEL", type, config: text });
  // A path by which the pod's namespace was found, as by the number of a process, may lead to the host's own by now.
  const isGone = isOwnNetns(invocation, host);
  await host.delegates.call({
    verb: "DEL",
    type,
    config: text,
    ...isGone && { variables: { CNI_NETNS: "" } },
  });
  if (saved.ifname === undefined && name !== undefined && name !== conf.name) {
    // The network has another name by now, or the container is in two, of which flannel's plugin remembers one.
    host.log.write("warn", "state of another network kept", { containerId, ifname, network: name });
    return;
  }
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
  const saved = readState(state, invocation, host);
  const known = saved && savedConfig(saved);
  const config = known?.name === conf.name ? known : await configAnew(request, host);
  const text = withResult(JSON.stringify(config), config, withGateways(conf.prevResult));
  await host.delegates.call({ verb: "CHECK", type: config.type, config: text });
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

/** The configuration that was saved, as flannel's plugin reads it; absent if it can't be used. */
export function savedConfig({ text }: AttachmentState): SavedConfig | undefined {
  const members = membersIn(text);
  if (members === undefined) return undefined;
  const { type, name } = structOf(members, { type: "text", name: "text" });
  if (typeof type !== "string" || type === "" || type.includes("/")) return undefined;
  return { ...Object.fromEntries(members), type, ...name !== undefined && { name } };
}

/**
 * The state of an attachment. What is none is left alone and told of: a pod must not be kept for ever by what can't have
 * attached it.
 */
export function readState(
  state: StateFolder,
  attachment: Attachment,
  { log }: Pick<Host, "log">,
): AttachmentState | undefined {
  return onDisk("read", state, () => {
    try {
      return state.read(attachment);
    } catch (error) {
      if (!(error instanceof OddStateError)) throw error;
      const { containerId, ifname } = attachment;
      log.write("error", "state not readable, left alone", { containerId, ifname, reason: error.message });
      return undefined;
    }
  });
}

/** The state of a request's attachment, also where it was kept before the configuration named a folder. */
function findState(
  request: Request,
  host: Host,
): { readonly state: StateFolder; readonly saved: AttachmentState } | undefined {
  const { invocation, conf } = request;
  const state = stateFolder(request);
  const saved = readState(state, invocation, host);
  if (saved !== undefined) return { state, saved };
  const usual = usualStateFolder(request);
  const former = usual && readState(usual, invocation, host);
  // Another network's plugin may keep its own there.
  const isOurs = former !== undefined && savedConfig(former)?.name === conf.name;
  return isOurs ? { state: usual!, saved: former } : undefined;
}

/** Reports whether an earlier ADD has been here, also one of flannel's plugin. */
function isAttached({ invocation, conf }: Request, state: StateFolder): boolean {
  return onDisk("read", state, () => {
    if (state.has(invocation)) return true;
    try {
      const saved = state.read(invocation);
      return saved !== undefined && savedConfig(saved)?.name === conf.name;
    } catch (error) {
      if (error instanceof OddStateError) return false;
      throw error;
    }
  });
}

async function configAnew(request: Request, host: Host): Promise<SavedConfig> {
  const { type, config } = await negotiate(buildConfig(request, host), request.conf, host);
  return { ...objectOf(config)!, type };
}

/**
 * Has the delegate undo an ADD that has failed; what that leads to is not told.
 *
 * @param isIpamThere Without its IPAM plugin no address was taken, and a delegate would fail to give one back: it is then
 * asked for the rest.
 * @returns Whether nothing can be left of it, as it had no address.
 */
async function undo(
  { type, config }: DelegateRequest,
  { isIpamThere, host }: { readonly isIpamThere: boolean; readonly host: Host },
): Promise<boolean> {
  const undoing = isIpamThere ? config : JSON.stringify({ ...objectOf(config), ipam: {} });
  try {
    await host.delegates.call({ verb: "DEL", type, config: undoing });
    return !isIpamThere;
  } catch (error) {
    host.log.write("info", "delegate not undone", { type, reason: String(error) });
    return false;
  }
}

function canFind(type: string, { delegates }: Host): boolean {
  try {
    delegates.find(type);
    return true;
  } catch {
    return false;
  }
}

function isOwnNetns({ netns, isOwnNetnsAllowed }: Invocation, host: Host): boolean {
  return netns !== "" && !isOwnNetnsAllowed && host.isOwnNetns(netns);
}

function refuseOwnNetns(invocation: Invocation, host: Host): void {
  if (!isOwnNetns(invocation, host)) return;
  const { netns } = invocation;
  throw new CniError(
    CNI_CODE.invalidNetns,
    "plugin's netns and netns from CNI_NETNS should not be the same",
    `${netns} is the network namespace that the plugin runs in`,
  );
}
