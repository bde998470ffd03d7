import type { HostFacts } from "../cni/leftover_facts.ts";
import type { PodAttachment } from "../cni/conflist.ts";
import { readUpTo } from "../cni/file.ts";
import { parseSubnetFile } from "../cni/subnet_file.ts";
import type { Log } from "../log/log.ts";
import { type Prefix, prefixEquals } from "../model/address.ts";
import type { Finding } from "../model/finding.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { BridgeKeeper } from "./bridge_keeper.ts";
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
  /** Where the subnets are that this host had when the agent was started. */
  readonly subnetFilePath: string;
  /** Called when the bridge has changed, and with it what ways the kernel has. */
  readonly changed: () => void;
  readonly log: Log;
}

const MAX_SUBNET_FILE_BYTES = 64 * 1024;

/** Sees to this host's pods when its subnet has changed: the bridge that they are on, and who is left of the old one. */
export class PodKeeper {
  readonly #deps: PodKeeperDeps;
  readonly #bridge: BridgeKeeper;
  readonly #oldPods: OldPodsKeeper;
  #held: readonly Prefix[] = [];

  /** Reads the subnet file: make it before that is written. */
  constructor(deps: PodKeeperDeps) {
    this.#deps = deps;
    const elapsedMs = () => performance.now();
    this.#bridge = new BridgeKeeper({ ...deps, elapsedMs });
    this.#oldPods = new OldPodsKeeper({ ...deps, elapsedMs });
    this.#held = subnetsIn(deps.subnetFilePath);
  }

  /** What an operator must know. */
  get findings(): readonly Finding[] {
    return [
      ...this.#bridge.findings,
      ...this.#oldPods.sentences.map((sentence) => ({ isBlocking: false, sentence })),
    ];
  }

  /** What must be done by somebody else, though the host is ready. */
  get alerts(): readonly string[] {
    return this.#oldPods.sentences;
  }

  /** Looks after each pass. */
  keep(own: readonly Prefix[]): void {
    const { podFiles, isNamed, networks, others } = this.#deps;
    const { attachment } = podFiles;
    const isNew = (subnet: Prefix) => !this.#held.some((other) => prefixEquals(other, subnet));
    this.#held = [...this.#held, ...own.filter(isNew)];
    if (attachment === undefined) return;
    const held = this.#held;
    // Without a conflist of ours, what is in the usual places may be another agent's, of another network.
    this.#oldPods.look(attachment, { own, held, ...!isNamed && { among: [...networks, ...held] } });
    const { reserved, addresses: inUse } = this.#oldPods;
    this.#bridge.keep({ attachment, isNamed, own, held, reserved, inUse, others });
  }
}

function subnetsIn(path: string): readonly Prefix[] {
  try {
    return parseSubnetFile(readUpTo(path, MAX_SUBNET_FILE_BYTES) ?? "").subnets;
  } catch {
    return [];
  }
}
