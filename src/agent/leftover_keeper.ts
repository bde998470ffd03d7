import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import type { DelegateCall } from "../plugin/delegate.ts";
import { DEFAULT_NETWORKS_DIR, type PoolUsage, poolUsage } from "../leftovers/host_local.ts";
import { DEFAULT_RESULTS_DIR, type HostFacts, readFacts } from "../leftovers/leftover_facts.ts";
import { type Finding, findLeftovers } from "../leftovers/leftovers.ts";
import { isObject } from "../pods/net_conf.ts";
import { release, type ReleaseDeps } from "./release.ts";
import { objectOf } from "../pods/result.ts";
import { DEFAULT_DATA_DIR } from "../pods/settings.ts";
import { StateFolder } from "../pods/state.ts";
import { inTurns } from "../loop/worker.ts";
import type { Condition } from "../model/condition.ts";
import type { Log } from "../log/log.ts";
import type { Prefix } from "../model/address.ts";
import { errorText } from "../log/error_text.ts";

/** Where an agent looks for what pods have left. */
export interface LeftoverFolders {
  readonly dataDir: string;
  readonly networksDir: string;
  readonly resultsDir: string;
}

/** Where they are unless the conflist names others. */
export const USUAL_FOLDERS: LeftoverFolders = {
  dataDir: DEFAULT_DATA_DIR,
  networksDir: DEFAULT_NETWORKS_DIR,
  resultsDir: DEFAULT_RESULTS_DIR,
};

/** What it needs of the agent. */
export interface LeftoverDeps {
  readonly host: () => HostFacts;
  /** The name of the network that pods are attached to. */
  readonly network: () => string;
  /** Where the conflist has `host-local` keep its networks; absent where that is the usual place. */
  readonly networksDir?: () => string | undefined;
  readonly log: Log;
  /** Whether leftovers are released, or only told. */
  readonly isReleasing: boolean;
}

/** Time between two looks: what is younger is left alone anyway. */
const LOOK_MS = 600_000;

/** Finds the addresses and state that vanished pods have left, and releases them where that was asked for. */
export class LeftoverKeeper {
  readonly #folders: LeftoverFolders;
  readonly #deps: LeftoverDeps;
  #stale: readonly Finding[] = [];
  /** That it is not known, if so. */
  #unread: readonly Condition[] = [];

  constructor(folders: LeftoverFolders, deps: LeftoverDeps) {
    this.#folders = folders;
    this.#deps = deps;
  }

  /** How much of each subnet is in use, and how much of that no pod uses any more. */
  usage(subnets: readonly Prefix[]): readonly PoolUsage[] {
    const leftovers = this.#stale.flatMap(({ reservations }) => reservations.map(({ address }) => address));
    return poolUsage({ networksDir: this.#networksDir, network: this.#deps.network(), subnets, leftovers });
  }

  /** That vanished pods hold addresses, or that this is not known, if so. */
  get conditions(): readonly Condition[] {
    const pods = this.#stale.length;
    if (pods === 0) return this.#unread;
    const what = pods === 1
      ? "1 pod that has vanished still holds"
      : `${pods} pods that have vanished still hold`;
    return [{ code: "vanished-pods", sentence: `${what} addresses of this host` }, ...this.#unread];
  }

  /** Looks now, and from then on every ten minutes, until `signal` aborts. */
  async watch({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    await inTurns(() => this.look(), { periodMs: LOOK_MS })({ signal });
  }

  /** Looks once: finds, and releases what is to be released. */
  async look(): Promise<void> {
    const { isReleasing } = this.#deps;
    const found = this.#find();
    const left: Finding[] = [];
    for (const finding of found) {
      if (!isReleasing || !await this.#release(finding)) left.push(finding);
    }
    this.#stale = left;
  }

  #find(): readonly Finding[] {
    const { dataDir, resultsDir } = this.#folders;
    const { host, network } = this.#deps;
    try {
      const state = new StateFolder(dataDir);
      state.sweep();
      const places = { networksDir: this.#networksDir, resultsDir, state, network: network() };
      const found = findLeftovers(readFacts(places, host())).filter(({ fate }) => fate === "stale");
      this.#unread = [];
      return found;
    } catch (error) {
      const sentence = `what pods that have vanished still hold can't be read: ${errorText(error)}`;
      this.#unread = [{ code: "pods-unreadable", sentence }];
      return this.#stale;
    }
  }

  get #networksDir(): string {
    return this.#deps.networksDir?.() ?? this.#folders.networksDir;
  }

  async #release(finding: Finding): Promise<boolean> {
    const { log } = this.#deps;
    const { network, containerId, ifname } = finding;
    try {
      const outcome = await release(finding, this.#releaseDeps());
      log.write("info", "leftover released", {
        network,
        containerId,
        ifname,
        outcome,
        reason: finding.reason,
      });
      return outcome !== "changed";
    } catch (error) {
      log.write("debug", "leftover not released", { network, containerId, ifname, reason: errorText(error) });
      return false;
    }
  }

  #releaseDeps(): ReleaseDeps {
    return {
      delegates: { folders: [], call: (call) => Promise.resolve(doWithoutDelegate(call)) },
      state: new StateFolder(this.#folders.dataDir),
    };
  }
}

/**
 * Stands for the delegate's DEL, since an agent starts no program. A bridge whose pod has vanished holds nothing but
 * what `host-local` has in its store, unless it masquerades.
 *
 * @throws {CniError} If there may be more: that is left to `loden cleanup --stale`.
 */
function doWithoutDelegate({ type, config }: DelegateCall): string {
  const { ipMasq, ipam } = objectOf(config) ?? {};
  if (type === "bridge" && ipMasq !== true && isObject(ipam) && ipam.type === "host-local") return "";
  throw new CniError(CNI_CODE.notAvailable, "the plugin itself must release it: run loden cleanup --stale");
}
