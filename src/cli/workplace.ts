import type { Options } from "../config/options.ts";
import type { Log } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../netlink/ffi.ts";
import type { Finding } from "../model/finding.ts";
import type { NetlinkSocket } from "../netlink/socket.ts";
import type { StatusDeps } from "../status/app.ts";
import type { MemoryKeeper, PassTotals } from "./after_pass.ts";
import type { LeaseCacheKeeper } from "./lease_cache_keeper.ts";
import type { NetworkGuard } from "./network_guard.ts";
import type { RegistryPlace } from "./registry_place.ts";

/** What the agent needs of the process that it runs in. */
export interface AgentDeps {
  readonly log: Log;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What a member of the overlay works with, opened and checked. */
export interface Workplace {
  readonly options: Options;
  readonly deps: AgentDeps;
  readonly libc: Libc;
  readonly transport: NetlinkSocket;
  readonly client: NetlinkClient;
  readonly watchFiles: (path: string, changed: () => void) => Disposable | undefined;
  readonly place: RegistryPlace;
  readonly memory: MemoryKeeper;
  readonly totals: PassTotals;
  readonly cacheKeeper: LeaseCacheKeeper | undefined;
  /** Says whether the network may be applied to this host. */
  readonly guard: NetworkGuard;
  /** What was found about the process and its configuration. */
  readonly findings: () => readonly Finding[];
  /** Puts what the status endpoints answer from in place of what they had before. */
  readonly show: (status: StatusDeps) => void;
  /** Told why there is nothing to show yet. */
  readonly waiting: (reason: string) => void;
}
