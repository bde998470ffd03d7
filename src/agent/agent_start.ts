import { STARTING } from "./self_report.ts";
import { previousSubnets } from "../pods/subnet_file.ts";
import type { NetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import type { LeaseCache } from "../registry/lease_cache.ts";
import type { Condition } from "../model/condition.ts";
import { pause } from "../loop/pause.ts";
import type { Log } from "../log/log.ts";
import type { Prefix } from "../model/address.ts";
import { type AgentClaims, claimsOf } from "./agent_claim.ts";
import { ConfigWatch } from "./config_watch.ts";
import { parseConfig, type ReadConfig, readConfigAside } from "./network_config.ts";
import { NetworkGuard, type NetworkPlace, refusal } from "./network_guard.ts";
import type { PatientFiles } from "./patient_files.ts";
import type { RegistryPlace } from "./registry_place.ts";

/** What another agent has is asked for again so often; up to half as long more, so that two do not ask in step. */
const CLAIM_RETRY_MS = 400;
/** A file is read again this often, though its changes are heard of. */
const FILE_POLL_MS = { waiting: 2000, used: 5000 };
const REGISTRY_POLL_MS = { waiting: 3000, used: 30_000 };

/** What an agent is started with. */
export interface AgentStartDeps {
  readonly claims: Pick<AgentClaims, "take" | "takeSubnetFile" | "seesOthers">;
  /** Removes a conflist that an agent has left which is gone. */
  readonly dropStale: () => void;
}

/** Waits until this host is the agent's own: until then it touches nothing. */
export class AgentStart {
  readonly #deps: AgentStartDeps;
  #hasSubnetFile = false;

  constructor(deps: AgentStartDeps) {
    this.#deps = deps;
  }

  /** Takes what stands beside the subnet file, if no other agent has it. */
  takeSubnetFile(): void {
    const { claims, dropStale } = this.#deps;
    if (!claims.takeSubnetFile() || this.#hasSubnetFile) return;
    this.#hasSubnetFile = true;
    // Another agent may have written it for what it keeps elsewhere.
    if (!claims.seesOthers) dropStale();
  }

  /**
   * Waits until no other agent of this host has what the configuration asks for; that can change meanwhile.
   *
   * @returns The configuration that is to be used.
   */
  async begin(
    watch: Pick<ConfigWatch, "use" | "changed" | "isApplied">,
    waiting: (condition: Condition) => void,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<ReadConfig> {
    const { claims } = this.#deps;
    watch.isApplied = false;
    for (;;) {
      signal.throwIfAborted();
      const reading = watch.use();
      this.takeSubnetFile();
      const reason = claims.take(claimsOf(reading.config));
      if (reason === undefined) {
        waiting(STARTING);
        return reading;
      }
      waiting({ code: "other-agent", sentence: reason });
      await pause(CLAIM_RETRY_MS * (1 + Math.random() / 2), { signal, woken: watch.changed });
    }
  }
}

/** Watches the configuration where it is kept: in a file, which a cluster may swap, or in the registry. */
export function openConfigWatch(
  first: ReadConfig,
  { options, place, files, watchFiles, held, log }: {
    readonly options: Options;
    readonly files: PatientFiles;
    readonly place: RegistryPlace;
    readonly watchFiles: (path: string, changed: () => void) => Disposable | undefined;
    readonly held: () => readonly Prefix[];
    readonly log: Log;
  },
): ConfigWatch {
  const where = networkPlace(options, place);
  const { source } = where;
  const { readNetworkConfig } = place;
  const path = readNetworkConfig === undefined ? options.networkConfigPath : undefined;
  const watch = new ConfigWatch(first, {
    source,
    read: async (options) =>
      path === undefined ? await readNetworkConfig!(options) : await readConfigAside(path, files),
    isHere: path !== undefined,
    parse: (text) => parseConfig(text, source, options, log),
    pollMs: path === undefined ? REGISTRY_POLL_MS : FILE_POLL_MS,
    random: Math.random,
    held,
    refusal: (misfit) => refusal(misfit, undefined, where),
  });
  if (path !== undefined) watchFiles(path, () => watch.nudge());
  return watch;
}

/** Where the configuration and the leases are. */
export function networkPlace(
  { registry: { kind }, networkConfigPath }: Options,
  place: RegistryPlace,
): NetworkPlace {
  const { name: registryName } = place;
  const source = place.readNetworkConfig === undefined ? networkConfigPath : `${registryName}/config`;
  return { kind, registryName, source };
}

/** Says by what this host remembers, and by its registry, whether the network of a configuration may be applied. */
export function openNetworkGuard(
  { families }: NetworkConfig,
  { options, place, watch, cache, waiting }: {
    readonly options: Options;
    readonly place: RegistryPlace;
    readonly watch: ConfigWatch;
    readonly cache: LeaseCache | undefined;
    readonly waiting: (condition: Condition) => void;
  },
): NetworkGuard {
  return new NetworkGuard({
    families,
    place: networkPlace(options, place),
    remembered: cache?.own.parts.map(({ subnet }) => subnet) ?? previousSubnets(options.subnetFilePath),
    changed: () => watch.changed,
    isOther: () => watch.isOther,
    waiting,
    elapsedMs: () => performance.now(),
  });
}
