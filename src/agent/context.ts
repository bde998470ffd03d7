import type { NetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import type { LeaseCache } from "../registry/lease_cache.ts";
import type { LineLoss } from "../log/line_queue.ts";
import type { Log } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import type { Workers } from "../loop/worker.ts";
import type { Condition } from "../model/condition.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { AgentFacts } from "../status/facts.ts";
import type { AgentClaims } from "./agent_claim.ts";
import type { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import type { MemoryKeeper } from "./memory_keeper.ts";
import type { NotedFlags } from "./noted_flags.ts";
import type { NetworkGuard } from "./network_guard.ts";
import type { PassTotals } from "./pass_totals.ts";
import type { RegistryPlace } from "./registry_place.ts";

/** What the agent needs of the process that it runs in. */
export interface AgentDeps {
  readonly log: Log;
  /** What became of the log's lines; absent where none is lost. */
  readonly logLoss?: LineLoss;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** What it was started with, for commands that are to do as it would; not noted if absent. */
  readonly noted?: NotedFlags;
}

/** What a member of the overlay works with, opened and checked. */
export interface AgentContext extends AgentDeps {
  readonly options: Options;
  readonly libc: Libc;
  readonly transport: NetlinkSocket;
  readonly client: NetlinkClient;
  readonly watchFiles: (path: string, changed: () => void) => Disposable | undefined;
  readonly place: RegistryPlace;
  readonly memory: MemoryKeeper;
  readonly totals: PassTotals;
  /** Milliseconds of a clock that never jumps. */
  readonly elapsedMs: () => number;
  readonly cacheKeeper: LeaseCacheKeeper | undefined;
  /** What only one agent of a host can have. */
  readonly claims: AgentClaims;
  /** Runs loops, and knows which have failed. */
  readonly workers: Workers;
  /** Says whether the network may be applied to this host. */
  readonly guard: NetworkGuard;
  /** What was found about the process and its configuration. */
  readonly conditions: () => readonly Condition[];
  /** Puts what the status endpoints answer from in place of what they had before. */
  readonly show: (facts: AgentFacts) => void;
  /** Told why there is nothing to show yet. */
  readonly waiting: (condition: Condition) => void;
}

/** The configuration that is to be used, and what is remembered of its network. */
export interface KnownConfig {
  readonly config: NetworkConfig;
  /** Its text, where the registry keeps it. */
  readonly text: string | undefined;
  readonly cache: LeaseCache | undefined;
}
