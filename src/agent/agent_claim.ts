import { inTurns } from "../loop/worker.ts";
import { vtepNames } from "../overlay/backend/vxlan.ts";
import { type AgentLock, agentLockPath, holdAgentLock } from "../pods/agent_lock.ts";
import type { NetworkConfig } from "../config/network.ts";
import { prefixesOverlap } from "../core/prefix.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";
import type { Libc } from "../linux/libc.ts";
import { UnixClaim } from "../linux/unix_claim.ts";
import { type NamedSocket, namedSockets } from "../linux/unix_sockets.ts";
import { errorText } from "../log/error_text.ts";
import { judge, type Rival, who } from "./agent_claim_holder.ts";

/** What the names begin with by which agents show which networks they have. */
export const NETWORK = "loden/network/";
const LINK = "loden/link/";
/** Agents that wait ask who they wait for: room is made for more questions this often. */
const DRAIN_MS = 10_000;
/** Any user can take as many names as it likes: of more it is not told. */
const MOST_DOUBTS = 8;

/** What only one agent of a host can have. */
export interface Claims {
  readonly networks: readonly Prefix[];
  readonly linkNames: readonly string[];
}

/** What the agent of a configuration must have for itself: its networks, and the links that are named by the VNI. */
export function claimsOf({ families, backend }: Pick<NetworkConfig, "families" | "backend">): Claims {
  return {
    networks: families.map(({ network }) => network),
    linkNames: "vni" in backend ? vtepNames(backend.vni, families.map(({ family }) => family)) : [],
  };
}

/** Another agent that has a network which overlaps one of this one's. */
interface Overlap {
  readonly network: Prefix;
  readonly other: Prefix;
  readonly holder: Rival;
}

/** What claims are made with. */
export interface AgentClaimsDeps {
  readonly libc: Libc;
  readonly log: Log;
  readonly subnetFilePath: string;
  /** Whether it is only looked who has what, and nothing is taken. */
  readonly isLooking?: true;
}

/**
 * Holds what only one agent of a host can have: its subnet file, by a lock beside it, and its networks and links, by
 * names of the network namespace, which is where two agents would fight for them.
 */
export class AgentClaims implements Disposable {
  readonly #deps: AgentClaimsDeps;
  #lock: AgentLock | undefined;
  /** Why there can be no lock, as a sentence. */
  #lockFault: string | undefined;
  #names: UnixClaim[] = [];
  /** By name. */
  readonly #former = new Map<string, UnixClaim>();
  /** What the agent must have itself, by name. */
  #own: ReadonlySet<string> = new Set();
  /** Names that could not be taken, or are not heeded, and why. */
  readonly #doubts = new Map<string, string>();

  constructor(deps: AgentClaimsDeps) {
    this.#deps = deps;
  }

  /** Drops the questions of agents that wait, so that others can ask, and takes a lock that it could not, until `signal` aborts. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    const drain = () => {
      if (this.#lockFault !== undefined || this.#lock?.isInPlace === false) this.#lockSubnetFile();
      for (const name of [...this.#names, ...this.#former.values()]) name.drain();
    };
    await inTurns(drain, { periodMs: DRAIN_MS })(options);
  }

  /** Whether what stands beside the subnet file is this agent's to write. */
  get hasSubnetFile(): boolean {
    return this.#lock !== undefined || this.#lockFault !== undefined;
  }

  /** That other agents may not see this one, or are no agents. */
  get conditions(): readonly Condition[] {
    const sentences = [...this.#lockFault === undefined ? [] : [this.#lockFault], ...this.#doubts.values()];
    return sentences.map((sentence) => ({ code: "claim-doubtful", sentence }));
  }

  /** Whether other agents show that they run on this host; of its own names this one has none yet. */
  get seesOthers(): boolean {
    return this.#named(NETWORK).some((socket) => this.#rival(socket) !== undefined);
  }

  /**
   * Takes all that the agent must have, or nothing but the subnet file.
   *
   * @returns Who has what already, and what to do: one sentence; `undefined` if all is had.
   */
  take({ networks, linkNames }: Claims): string | undefined {
    this.release();
    if (this.#deps.isLooking) return this.#takeNames(networks, linkNames);
    if (!this.takeSubnetFile()) {
      const network = networks.find((network) => this.#heeded(NETWORK + formatPrefix(network)) !== undefined);
      return network === undefined ? lockHeld(this.#deps.subnetFilePath) : this.#networkHeld(network);
    }
    const fault = this.#takeNames(networks, linkNames);
    if (fault !== undefined) this.release();
    return fault;
  }

  /**
   * Takes networks that this agent had before, for as long as something of theirs is to be removed.
   *
   * @param present What this agent has now.
   * @returns Those that no other agent has a part of.
   */
  takeFormer(networks: readonly Prefix[], present: Claims): readonly Prefix[] {
    this.releaseFormer();
    return networks.filter((network) => {
      const rival = this.#rivalOf([network], present.networks);
      if (rival !== undefined) {
        const reason = `another agent on this host has ${formatPrefix(rival.other)} now (${
          who(rival.holder)
        })`;
        this.#deps.log.write("info", "former network left alone", { network: formatPrefix(network), reason });
        return false;
      }
      const name = NETWORK + formatPrefix(network);
      return this.#takeName(name, (claim) => this.#former.set(name, claim));
    });
  }

  /** Gives the former networks back. */
  releaseFormer(): void {
    for (const name of this.#former.values()) name[Symbol.dispose]();
    this.#former.clear();
    for (const name of this.#doubts.keys()) {
      if (!this.#own.has(name)) this.#doubts.delete(name);
    }
  }

  /** Whether another agent has a link that this one has no name for. */
  isOthersLink(name: string): boolean {
    return this.#heeded(LINK + name) !== undefined;
  }

  /** Gives back all but the subnet file. */
  release(): void {
    this.#own = new Set();
    this.releaseFormer();
    for (const name of this.#names) name[Symbol.dispose]();
    this.#names = [];
  }

  [Symbol.dispose](): void {
    this.release();
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }

  /** Reports whether what stands beside the subnet file is this agent's, once more. */
  takeSubnetFile(): boolean {
    if (this.hasSubnetFile) return true;
    this.#lockSubnetFile();
    return this.hasSubnetFile;
  }

  /**
   * Reports whether the end of this agent is its own to tell beside the subnet file. It is not if another agent tells how it
   * is there, or may: also where this one was to be the second, and has failed before it could know.
   */
  takeLastWord(): boolean {
    if (this.#lock?.isInPlace) return true;
    const hadIt = this.hasSubnetFile;
    const lock = this.#lockSubnetFile();
    return lock === "held" || lock === "unknown" && hadIt;
  }

  #lockSubnetFile(): "held" | "another's" | "unknown" {
    const path = agentLockPath(this.#deps.subnetFilePath);
    try {
      const lock = holdAgentLock(this.#deps.subnetFilePath);
      // One that came meanwhile has it, and does not know of this one.
      if (lock === undefined) return "another's";
      // Its file was removed: the next agent asks at the path.
      this.#lock?.[Symbol.dispose]();
      this.#lock = lock;
      this.#lockFault = undefined;
      return "held";
    } catch (error) {
      // Without a lock no other program knows of this agent, which is no reason to have no network.
      this.#lockFault = `the lock ${path} can't be held, ${UNSEEN}: ${fileReason(error)}`;
      return "unknown";
    }
  }

  #takeNames(networks: readonly Prefix[], linkNames: readonly string[]): string | undefined {
    const keep = (claim: UnixClaim) => void this.#names.push(claim);
    const networkNames = networks.map((network) => NETWORK + formatPrefix(network));
    this.#own = new Set([...networkNames, ...linkNames.map((name) => LINK + name)]);
    for (const [at, network] of networks.entries()) {
      if (!this.#takeName(networkNames[at]!, keep)) return this.#networkHeld(network);
    }
    for (const name of linkNames) {
      if (!this.#takeName(LINK + name, keep)) return this.#linkHeld(name);
    }
    return this.#overlapping(networks);
  }

  /** Reports whether a name is this agent's, or at least no other agent's. */
  #takeName(name: string, keep: (claim: UnixClaim) => void): boolean {
    if (this.#deps.isLooking) return this.#heeded(name) === undefined;
    try {
      const { libc } = this.#deps;
      let claim = UnixClaim.take(libc, name);
      if (claim === undefined) {
        if (this.#heeded(name) !== undefined) return false;
        // Who had it may have ended since.
        claim = UnixClaim.take(libc, name);
        if (claim === undefined && this.#heeded(name) !== undefined) return false;
      }
      if (claim !== undefined) {
        keep(claim);
        this.#doubts.delete(name);
      } else if (!this.#doubts.has(name)) {
        // What is connected does not listen, and an agent's connects to nobody.
        this.#doubts.set(name, `a connected socket has the name @${name}, which is no agent's: not heeded`);
      }
    } catch (error) {
      this.#doubts.set(name, `the name @${name} can't be taken, ${UNSEEN}: ${errorText(error)}`);
    }
    return true;
  }

  /** Who has a name; `undefined` if it is free, or held by no agent: a process that may not program the network is none. */
  #heeded(name: string): Rival | undefined {
    return this.#named(name).filter((socket) => socket.name === name)
      .map((socket) => this.#rival(socket)).find((rival) => rival !== undefined);
  }

  #rival(socket: NamedSocket): Rival | undefined {
    const judgement = judge(this.#deps.libc, socket);
    if ("rival" in judgement) return judgement.rival;
    if (this.#own.has(socket.name) || this.#doubts.size < MOST_DOUBTS) {
      this.#doubts.set(socket.name, judgement.doubt);
    }
    return undefined;
  }

  #named(prefix: string): readonly NamedSocket[] {
    try {
      return namedSockets(this.#deps.libc, prefix);
    } catch {
      return [];
    }
  }

  #overlapping(networks: readonly Prefix[]): string | undefined {
    const rival = this.#rivalOf(networks, networks);
    return rival &&
      `Network ${formatPrefix(rival.network)} overlaps ${
        formatPrefix(rival.other)
      } of another agent on this host (${who(rival.holder)}): ${WAITS}; give one of the two another Network`;
  }

  /** Another agent whose network overlaps one of `networks`; names of `own` don't count. */
  #rivalOf(networks: readonly Prefix[], own: readonly Prefix[]): Overlap | undefined {
    const ownNames = own.map((network) => NETWORK + formatPrefix(network));
    const others = this.#named(NETWORK)
      .filter(({ name }) => !ownNames.includes(name) && !this.#former.has(name));
    for (const socket of others) {
      const other = parsed(socket.name.slice(NETWORK.length));
      const network = other && networks.find((network) => prefixesOverlap(network, other));
      const holder = network && this.#rival(socket);
      if (holder !== undefined) return { network: network!, other: other!, holder };
    }
    return undefined;
  }

  #networkHeld(network: Prefix): string {
    const name = NETWORK + formatPrefix(network);
    const holder = this.#heeded(name) ?? { name, pid: undefined };
    return `another agent of network ${formatPrefix(network)} runs on this host (${
      who(holder)
    }): ${WAITS}; run one ` +
      "of the two only, as a service and a DaemonSet with one configuration must not run on one host";
  }

  #linkHeld(linkName: string): string {
    const name = LINK + linkName;
    const holder = this.#heeded(name) ?? { name, pid: undefined };
    return `link ${linkName} belongs to the agent of another network on this host (${
      who(holder)
    }): ${WAITS}; give ` +
      "one of the two networks another VNI in its net-conf.json";
  }
}

const UNSEEN = "so that another agent would not see this one";
const WAITS = "this one waits for its end, and touches nothing";

function lockHeld(subnetFilePath: string): string {
  return `another agent with the subnet file ${subnetFilePath} runs on this host (it holds ${
    agentLockPath(subnetFilePath)
  }): ${WAITS}; run one of the two only, or give this one another -subnet-file if its network is another one`;
}

function parsed(text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}
