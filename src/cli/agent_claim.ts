import { vtepNames } from "../backend/vxlan.ts";
import { agentLockPath, holdAgentLock } from "../cni/agent_lock.ts";
import type { NetworkConfig } from "../config/network.ts";
import { prefixesOverlap } from "../core/prefix.ts";
import { fileReason } from "../log/file_reason.ts";
import type { Log } from "../log/log.ts";
import { formatPrefix, parsePrefix, type Prefix } from "../model/address.ts";
import type { Libc } from "../netlink/ffi.ts";
import { type ClaimHolder, holderOf, takenNames, UnixClaim } from "../netlink/unix_claim.ts";
import { errorText } from "./keep_running.ts";

const NETWORK = "loden/network/";
const LINK = "loden/link/";
/** Whoever waits asks who it waits for: room is made for more of them this often. */
const DRAIN_MS = 10_000;
const ROOT = 0;

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

/** What claims are made with. */
export interface AgentClaimsDeps {
  readonly libc: Libc;
  readonly log: Log;
  readonly subnetFilePath: string;
}

/**
 * Holds what only one agent of a host can have: its subnet file, by a lock beside it, and its networks and links, by
 * names of the network namespace, which is where two agents would fight for them.
 */
export class AgentClaims implements Disposable {
  readonly #deps: AgentClaimsDeps;
  readonly #timer: number;
  #lock: Disposable | undefined;
  #isLockFaulty = false;
  #names: UnixClaim[] = [];
  #told = new Set<string>();

  constructor(deps: AgentClaimsDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => this.#names.forEach((name) => name.drain()), DRAIN_MS);
  }

  /** Whether what stands beside the subnet file is this agent's to write. */
  get hasSubnetFile(): boolean {
    return this.#lock !== undefined || this.#isLockFaulty;
  }

  /** Whether other agents show that they run on this host; of its own names this one has none yet. */
  get seesOthers(): boolean {
    return orNone(() => takenNames(this.#deps.libc, NETWORK)).length > 0;
  }

  /**
   * Takes all that the agent must have, or nothing but the subnet file.
   *
   * @returns Who has what already, and what to do: one sentence; `undefined` if all is had.
   */
  take({ networks, linkNames }: Claims): string | undefined {
    this.release();
    if (!this.takeSubnetFile()) {
      const network = networks.find((network) => this.#heeded(NETWORK + formatPrefix(network)) !== undefined);
      return network === undefined ? lockHeld(this.#deps.subnetFilePath) : this.#networkHeld(network);
    }
    const fault = this.#takeNames(networks, linkNames);
    if (fault !== undefined) this.release();
    return fault;
  }

  /** Gives back all but the subnet file. */
  release(): void {
    for (const name of this.#names) name[Symbol.dispose]();
    this.#names = [];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.release();
    this.#lock?.[Symbol.dispose]();
    this.#lock = undefined;
  }

  /** Reports whether what stands beside the subnet file is this agent's, once more. */
  takeSubnetFile(): boolean {
    if (this.hasSubnetFile) return true;
    try {
      this.#lock = holdAgentLock(this.#deps.subnetFilePath);
    } catch (error) {
      // A lock that can't be made tells nobody anything, which is no reason to have no network.
      this.#isLockFaulty = true;
      this.#deps.log.write("warn", "agent lock not held", { reason: fileReason(error) });
    }
    return this.hasSubnetFile;
  }

  #takeNames(networks: readonly Prefix[], linkNames: readonly string[]): string | undefined {
    for (const network of networks) {
      if (!this.#takeName(NETWORK + formatPrefix(network))) return this.#networkHeld(network);
    }
    for (const name of linkNames) if (!this.#takeName(LINK + name)) return this.#linkHeld(name);
    return this.#overlapping(networks);
  }

  /** Reports whether a name is this agent's, or at least no other agent's. */
  #takeName(name: string): boolean {
    try {
      const claim = UnixClaim.take(this.#deps.libc, name);
      if (claim === undefined) return this.#heeded(name) === undefined;
      this.#names.push(claim);
    } catch (error) {
      this.#tellOnce("claim not made", name, errorText(error));
    }
    return true;
  }

  /** Who has a name; `undefined` if nobody has, or it is no agent: whoever may not program the network is none. */
  #heeded(name: string): ClaimHolder | "unknown" | undefined {
    const { libc } = this.#deps;
    const holder = holderOf(libc, name);
    // It may have ended since, or has too many who ask.
    if (holder === undefined) return isTaken(libc, name) ? "unknown" : undefined;
    if (holder.uid === ROOT || holder.uid === libc.call.geteuid()) return holder;
    this.#tellOnce("claim not heeded", name, `user ${holder.uid} has the name, ${who(holder)}`);
    return undefined;
  }

  #overlapping(networks: readonly Prefix[]): string | undefined {
    const own = networks.map((network) => NETWORK + formatPrefix(network));
    const others = orNone(() => takenNames(this.#deps.libc, NETWORK)).filter((name) => !own.includes(name));
    for (const name of others) {
      const other = parsed(name.slice(NETWORK.length));
      const network = other &&
        networks.find((network) => prefixesOverlap(network, other));
      const holder = network && this.#heeded(name);
      if (holder === undefined) continue;
      return `Network ${formatPrefix(network!)} overlaps ${
        formatPrefix(other!)
      } of another agent on this host (${who(holder)}): ${WAITS}; give one of the two another Network`;
    }
    return undefined;
  }

  #networkHeld(network: Prefix): string {
    const holder = this.#heeded(NETWORK + formatPrefix(network)) ?? "unknown";
    return `another agent of network ${formatPrefix(network)} runs on this host (${
      who(holder)
    }): ${WAITS}; run one ` +
      "of the two only, as a service and a DaemonSet with one configuration must not run on one host";
  }

  #linkHeld(linkName: string): string {
    const holder = this.#heeded(LINK + linkName) ?? "unknown";
    return `link ${linkName} belongs to the agent of another network on this host (${
      who(holder)
    }): ${WAITS}; give ` +
      "one of the two networks another VNI in its net-conf.json";
  }

  #tellOnce(event: string, name: string, reason: string): void {
    const text = `${event} ${name} ${reason}`;
    if (!this.#told.has(text)) this.#deps.log.write("warn", event, { name: `@${name}`, reason });
    this.#told.add(text);
  }
}

const WAITS = "this one waits for its end, and touches nothing";

function lockHeld(subnetFilePath: string): string {
  return `another agent with the subnet file ${subnetFilePath} runs on this host (it holds ${
    agentLockPath(subnetFilePath)
  }): ${WAITS}; run one of the two only, or give this one another -subnet-file if its network is another one`;
}

function who(holder: ClaimHolder | "unknown"): string {
  if (holder === "unknown") return "its process is not known";
  return holder.pid === 0 ? "a process outside of this container" : `process ${holder.pid}`;
}

function isTaken(libc: Libc, name: string): boolean {
  return orNone(() => takenNames(libc, name)).includes(name);
}

function orNone(look: () => string[]): string[] {
  try {
    return look();
  } catch {
    return [];
  }
}

function parsed(text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}
