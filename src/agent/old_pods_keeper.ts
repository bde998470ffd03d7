import { DEFAULT_NETWORKS_DIR, readReservations, storeChangedAtMs } from "../leftovers/host_local.ts";
import { DEFAULT_RESULTS_DIR, factsOf, type HostFacts } from "../leftovers/leftover_facts.ts";
import { findLeftovers } from "../leftovers/leftovers.ts";
import { describeOldPods, isOutside, type OldPod, oldPods } from "../leftovers/old_pods.ts";
import { fileReason } from "../file/file_reason.ts";
import { type Address, formatPrefix, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";

/** What it needs of the agent. */
export interface OldPodsDeps {
  readonly host: () => HostFacts;
  readonly elapsedMs: () => number;
  /** Where the container runtime keeps results; the usual place if absent. */
  readonly resultsDir?: string;
}

/** Where `host-local` has the addresses of this host's pods. */
export interface PodStore {
  readonly networksDir: string | undefined;
  readonly network: string;
}

/** Without news, pods are counted this often: one may end without a word. */
const LOOK_MS = 600_000;
/** A folder that has changed within this time may have changed again at the same moment by its clock. */
const CLOCK_STEP_MS = 100;

/** Knows which running pods have addresses of subnets that this host had earlier. */
export class OldPodsKeeper {
  readonly #deps: OldPodsDeps;
  #pods: readonly OldPod[] = [];
  #reserved: readonly Address[] = [];
  #conditions: readonly Condition[] = [];
  #isSeen = false;
  #lookedFor = "";
  #lookedAtMs = -Infinity;

  constructor(deps: OldPodsDeps) {
    this.#deps = deps;
  }

  /** What must be known of them: one condition for each earlier subnet. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** All addresses outside of this host's subnets that are reserved, also by what may be gone. */
  get reserved(): readonly Address[] {
    return this.#reserved;
  }

  /** The addresses outside of this host's subnets that pods have; `undefined` if that can't be seen from here. */
  get addresses(): readonly Address[] | undefined {
    return this.#isSeen ? this.#pods.flatMap(({ addresses }) => addresses) : undefined;
  }

  /**
   * Looks, if there may be something new: the subnets or the store have changed, or it is long ago.
   *
   * @param subnets.held The subnets that this host is known to have had.
   * @param subnets.among Where an address must be to be this host's at all; anywhere if absent.
   */
  look(
    store: PodStore,
    subnets: {
      readonly own: readonly Prefix[];
      readonly held: readonly Prefix[];
      readonly among?: readonly Prefix[];
    },
  ): void {
    const { host, elapsedMs, resultsDir = DEFAULT_RESULTS_DIR } = this.#deps;
    const { networksDir = DEFAULT_NETWORKS_DIR, network } = store;
    const { own, held, among } = subnets;
    const isWanted = (address: Address) =>
      isOutside(address, own) && (among === undefined || !isOutside(address, among));
    const changedAtMs = storeChangedAtMs(networksDir, network);
    const isSettled = changedAtMs === undefined || Date.now() - changedAtMs > CLOCK_STEP_MS;
    const about = [networksDir, network, changedAtMs, ...own.map(formatPrefix)].join(" ");
    const isDue = about !== this.#lookedFor || elapsedMs() - this.#lookedAtMs >= LOOK_MS;
    if (!isDue) return;
    this.#lookedFor = isSettled ? about : "";
    this.#lookedAtMs = elapsedMs();
    let unread: readonly Condition[] = [];
    try {
      const { reservations } = readReservations(networksDir, network, isWanted);
      this.#reserved = reservations.map(({ address }) => address);
      // Most hosts have none, and then nothing is asked about them.
      const found = reservations.length === 0 ? [] : findLeftovers(factsOf(reservations, resultsDir, host()));
      this.#pods = oldPods(found, own);
      this.#isSeen = changedAtMs !== undefined;
    } catch (error) {
      const sentence = `which pods have addresses of earlier subnets can't be read: ${fileReason(error)}`;
      unread = [{ code: "pods-unreadable", sentence }];
      this.#isSeen = false;
    }
    const old = describeOldPods(this.#pods, { own, held });
    this.#conditions = [
      ...old.map((sentence) => ({ code: "pods-of-old-subnet" as const, sentence })),
      ...unread,
    ];
  }
}
