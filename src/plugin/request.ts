import { fileReason } from "../file/file_reason.ts";
import type { Log } from "../log/log.ts";
import type { AgentState } from "../pods/agent_state.ts";
import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import type { DelegateCall } from "./delegate.ts";
import type { Invocation } from "./invocation.ts";
import { type DelegateConfig, delegateConfig, delegateText } from "../pods/delegate_config.ts";
import { type NetConf, versionOf } from "../pods/net_conf.ts";
import { dataDirOf, type Settings, subnetFileOf } from "../pods/settings.ts";
import { StateFolder } from "../pods/state.ts";
import { readSubnetEnv, type SubnetEnv } from "../pods/subnet_env.ts";
import { commonVersion, versionRank } from "../pods/versions.ts";

/** What a verb is asked with. */
export interface Request {
  readonly invocation: Invocation;
  readonly conf: NetConf;
  readonly settings: Settings;
}

/** What a verb needs of the host. */
export interface Host {
  readonly delegates: {
    /** Where they are looked for, in order. */
    readonly folders: readonly string[];
    find(type: string): string;
    call(call: DelegateCall): Promise<string>;
    versions(type: string): Promise<readonly string[]>;
  };
  /** A text file; throws what the file system says. */
  readonly readFile: (path: string) => string;
  /** What the agent that writes this subnet file says of itself. */
  readonly agentState: (subnetFilePath: string) => AgentState | undefined;
  readonly isOwnNetns: (path: string) => boolean;
  readonly log: Log;
}

/** A call of the delegate as it will be made. */
export interface DelegateRequest {
  readonly type: string;
  /** JSON text. */
  readonly config: string;
  /** The version that the delegate is spoken to in. */
  readonly version: string;
}

/** The last version that is in wide use among delegates; above it they are asked. */
const UNASKED_VERSION = "1.0.0";
/** Versions below say addresses in another way. */
const OLDEST_CONVERTIBLE = "0.3.0";

/**
 * The delegate's configuration for this request.
 *
 * @throws {CniError} If it can't be made: no subnet file, or what contradicts it.
 */
export function buildConfig({ conf, settings }: Request, host: Host): DelegateConfig {
  return delegateConfig(conf, settings, loadSubnetEnv(subnetFileOf(conf, settings), host));
}

/**
 * Chooses the version that the delegate is spoken to in: the configuration's, or the highest below it that both the
 * delegate and its IPAM plugin know.
 *
 * @throws {CniError} With code 1 if there is none.
 */
export async function negotiate(
  config: DelegateConfig,
  conf: NetConf,
  { delegates }: Host,
): Promise<DelegateRequest> {
  const { type, ipam } = config;
  const wanted = versionOf(conf);
  if (versionRank(wanted) <= versionRank(UNASKED_VERSION)) {
    return { type, config: delegateText(config), version: wanted };
  }
  const spoken = await Promise.all([type, ipam.type].map((name) => delegates.versions(name)));
  const version = commonVersion(wanted, spoken);
  if (version === undefined || versionRank(version) < versionRank(OLDEST_CONVERTIBLE)) {
    throw new CniError(
      CNI_CODE.incompatibleVersion,
      "incompatible CNI versions",
      `config is ${wanted}; plugins ${type} and ${ipam.type} are too old for it`,
    );
  }
  return { type, config: delegateText({ ...config, cniVersion: version }), version };
}

/** Where this request's state is kept. */
export function stateFolder({ conf, settings }: Request): StateFolder {
  return new StateFolder(dataDirOf(conf, settings));
}

/** Where state is kept if the configuration names no folder, as it may not have done before; absent if that is the same. */
export function usualStateFolder({ conf, settings }: Request): StateFolder | undefined {
  const path = dataDirOf({ dataDir: undefined }, settings);
  return path === dataDirOf(conf, settings) ? undefined : new StateFolder(path);
}

/**
 * Does something with state files.
 *
 * @throws {CniError} With code 5 if the file system refuses.
 */
export function onDisk<T>(verb: "read" | "write" | "remove", { path }: StateFolder, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new CniError(CNI_CODE.ioFailure, `cannot ${verb} state in ${path}: ${fileReason(error)}`);
  }
}

/** Where there is no file, the error has the words that flannel's users look for, and what the agent waits for. */
function loadSubnetEnv(path: string, host: Host): SubnetEnv {
  let text: string;
  try {
    text = host.readFile(path);
  } catch (error) {
    const prefix = "failed to load flannel 'subnet.env' file: open";
    if (!(error instanceof Deno.errors.NotFound)) {
      throw new CniError(CNI_CODE.ioFailure, `${prefix} ${path}: ${fileReason(error)}`);
    }
    const message = `${prefix} ${path}: no such file or directory`;
    throw new CniError(CNI_CODE.tryAgainLater, message, whyNoFile(host.agentState(path)));
  }
  return readSubnetEnv(text, path);
}

function whyNoFile(state: AgentState | undefined): string {
  if (state === undefined) {
    return "no agent has run on this host since it booted: see whether its flannel pod or service is there, and its log";
  }
  const reasons = state.reasons.length === 0
    ? "ready"
    : state.reasons.map(({ code, sentence }) => code === undefined ? sentence : `${sentence} (${code})`).join(
      "; ",
    );
  return `the agent on this host said at ${state.at.toISOString()}: ${reasons}`;
}
