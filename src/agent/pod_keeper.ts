import type { HostFacts } from "../leftovers/leftover_facts.ts";
import type { PodAttachment } from "../pods/conflist.ts";
import { isFile } from "../file/read_file.ts";
import { historyPath, keepHistory, readHistory } from "../host/history.ts";
import type { Log } from "../log/log.ts";
import { type Prefix, prefixEquals } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { BridgeKeeper, type BridgeSituation } from "./bridge_keeper.ts";
import { KeptFile } from "./kept_file.ts";
import { OldPodsKeeper } from "./old_pods_keeper.ts";

/** What it needs of the agent. */
export interface PodKeeperDeps {
  readonly client: NetlinkClient;
  readonly host: () => HostFacts;
  readonly podFiles: { readonly attachment: PodAttachment | undefined };
  /** Whether pods are attached as a conflist of ours says. */
  readonly isNamed: boolean;
  /** The networks of the cluster. */
  readonly networks: readonly Prefix[];
  /** The subnets of other hosts. */
  readonly others: () => readonly Prefix[];
  /** The subnets that this host had when the agent was started. */
  readonly held: readonly Prefix[];
  /** Beside it is known which it had before. */
  readonly subnetFilePath: string;
  /** Writes down which subnets it has had. */
  readonly keepHistory?: typeof keepHistory;
  /** Called when the bridge has changed, and with it what ways the kernel has. */
  readonly changed: () => void;
  readonly log: Log;
}

/** Sees to this host's pods when its subnet has changed: the bridge that they are on, and who is left of the old one. */
export class PodKeeper {
  readonly #deps: PodKeeperDeps;
  readonly #bridge: BridgeKeeper;
  readonly #oldPods: OldPodsKeeper;
  readonly #history: KeptFile;
  #held: readonly Prefix[] = [];
  #isNoted = true;

  constructor(deps: PodKeeperDeps) {
    this.#deps = deps;
    this.#history = new KeptFile(`the history of this host, ${historyPath(deps.subnetFilePath)},`);
    const elapsedMs = () => performance.now();
    this.#bridge = new BridgeKeeper({ ...deps, elapsedMs });
    this.#oldPods = new OldPodsKeeper({ ...deps, elapsedMs });
    this.#held = readHistory(deps.subnetFilePath).subnets;
    this.#hold(deps.held);
  }

  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  get waitMs(): number | undefined {
    return this.#bridge.waitMs;
  }

  /** What an operator must know. */
  get conditions(): readonly Condition[] {
    return [...this.#bridge.conditions, ...this.#oldPods.conditions, ...this.#history.conditions];
  }

  /** Looks after each pass. */
  keep(own: readonly Prefix[]): void {
    const { attachment } = this.#deps.podFiles;
    this.#hold(own);
    if (attachment === undefined) return;
    this.#bridge.keep(this.#situation(own, attachment));
  }

  /** Looks as after a pass, with a client that writes down what is asked for. */
  dryRun(own: readonly Prefix[], attachment: PodAttachment | undefined, client: NetlinkClient): void {
    if (attachment !== undefined) this.#bridge.dryRun(client, this.#situation(own, attachment));
  }

  #situation(own: readonly Prefix[], attachment: PodAttachment): BridgeSituation {
    const { isNamed, networks, others } = this.#deps;
    const held = this.#held;
    // Without a conflist of ours, what is in the usual places may be another agent's, of another network.
    this.#oldPods.look(attachment, { own, held, ...!isNamed && { among: [...networks, ...held] } });
    const { reserved, addresses: inUse } = this.#oldPods;
    return { attachment, isNamed, own, held, reserved, inUse, others };
  }

  /** Knows from now on, and after a restart too, that this host has had these subnets. */
  #hold(subnets: readonly Prefix[]): void {
    const { subnetFilePath, keepHistory: keep = keepHistory } = this.#deps;
    const news = subnets.filter((subnet) => !this.#held.some((other) => prefixEquals(other, subnet)));
    if (news.length === 0 && this.#isNoted && isFile(historyPath(subnetFilePath))) return;
    this.#held = [...this.#held, ...news];
    this.#isNoted = this.#history.write(() => keep(subnetFilePath, { subnets: this.#held }));
  }
}
