import type { CloudReport } from "../cloud/cloud.ts";
import type { StandingCondition } from "../loop/conditions.ts";
import type { Condition } from "../model/condition.ts";
import type { HostPlan } from "../model/host_plan.ts";
import type { Lease } from "../model/lease.ts";
import type { PathReport, PeerAnswer } from "../model/peer_path.ts";
import type { Carriage } from "../overlay/backend/backend.ts";
import type { Underlay } from "../model/underlay.ts";
import type { HistogramFigures } from "../model/tally.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { ProcessCost } from "../linux/own_process.ts";
import type { LinkCounters } from "../rtnetlink/link_counters.ts";

/** What the endpoints answer from, asked anew for each request. */
export interface StatusDeps extends Omit<AgentFacts, "conditions"> {
  readonly conditions: () => readonly StandingCondition[];
}

/** What the agent knows of itself and its host. */
export interface AgentFacts {
  /** What is to be known of this host, the cause of others first. It is ready if none is blocking. */
  readonly conditions: () => readonly Condition[];
  /** The last pass; `undefined` before the first. */
  readonly lastPass: () => PassReport | undefined;
  readonly underlay: () => Underlay | undefined;
  readonly ownLease: () => Lease | undefined;
  /** Where leases are agreed on, and whether it answers. */
  readonly registry: () => RegistryFacts;
  /** What has happened since the start. */
  readonly totals: () => Totals;
  /** More of that, for those who measure; absent where nobody counts. */
  readonly figures?: () => Figures;
  /** The counters of the links that the overlay is on, read when they are asked for. */
  readonly links?: () => readonly LinkFigures[];
  /** What the process costs, read when it is asked for; `undefined` where that can't be read. */
  readonly process?: () => ProcessCost | undefined;
  /** How much of the own subnets is in use. */
  readonly pools: () => readonly Pool[];
  /** The packet filter at the last look; `undefined` before the first. */
  readonly rules: () => RuleFacts | undefined;
  /** The cloud's route tables at the last look; `undefined` before the first, and where there is none. */
  readonly cloud?: () => CloudReport | undefined;
  /** What probes have found of the paths to other hosts; absent where nobody probes. */
  readonly paths?: () => PathReport;
  /**
   * Asks a peer, by what the registry knows it by, through each network now; within 2 s. Empty if it takes no part; absent
   * where nobody probes.
   */
  readonly askPeer?: (host: string) => Promise<readonly PeerAnswer[]>;
  /** What the agent would change now; absent while it is no member of the overlay. */
  readonly plan?: (options: { readonly isWhole: boolean }) => Promise<HostPlan>;
  /** The host beside links, routes and rules; `undefined` before it was looked at. */
  readonly host: () => HostReport | undefined;
  /**
   * Why the kernel does not send packets for the pods of hosts by Loden's routes, by the host as its lease calls it: a clause
   * that names what is in the way. Some if there are very many; absent before there is an own lease.
   */
  readonly peerTruth?: () => ReadonlyMap<string, string>;
  /** Who is in the overlay, and how packets get there; `undefined`, or absent, until this host has a place in it. */
  readonly overlay?: () => OverlayFacts | undefined;
}

/** Who is in the overlay, and how packets get there. */
export interface OverlayFacts {
  /** The `Type` of `net-conf.json`. */
  readonly backend: string;
  readonly carriage: Carriage;
  /** What leases of hosts with this backend say; empty where none is reached. */
  readonly leaseType: string;
  /** The largest packet that a pod may send. */
  readonly mtuBytes: number;
  /** Every lease, the own one too, as the registry said last; `undefined` until it has said. */
  readonly leases: readonly Lease[] | undefined;
}

/** Where leases are agreed on, and whether it answers. */
export interface RegistryFacts {
  readonly name: string;
  /** When it was last heard, in milliseconds since 1970; `undefined` if never. */
  readonly heardAtMs: number | undefined;
  /** Why it can't be followed now; `undefined` while it can. */
  readonly reason: string | undefined;
  /** How often it was heard again after it could not be followed; absent where nobody counts. */
  readonly reconnects?: number;
}

/** What the agent counts from its start on. */
export interface Figures {
  readonly passSeconds: HistogramFigures;
  /** From the first notification of a change until all is as it must be. */
  readonly repairSeconds: HistogramFigures;
  /** By name, in their order in a pass. */
  readonly stages: ReadonlyMap<string, StageFigures>;
  /** What was changed, by its kind. */
  readonly steps: ReadonlyMap<string, { readonly done: number; readonly failed: number }>;
  /** Refusals of the kernel, by error number; most are answers, as that there is no such link. */
  readonly netlinkErrors: Iterable<[errno: number, count: number]>;
  /** Times that notifications came faster than they were read, and a whole look was made instead. */
  readonly overruns: number;
  /** What went wrong, by its kind. */
  readonly errors: Readonly<Record<string, number>>;
  /** What was said to the log, by level, also below the level that is written. */
  readonly logLines: Readonly<Record<string, number>>;
}

/** What a stage of a pass has cost. */
export interface StageFigures {
  readonly runs: number;
  readonly failures: number;
  readonly seconds: number;
}

/** What the kernel has counted on a link. */
export interface LinkFigures {
  /** What it is for: `vtep`, `underlay`, `bridge`. */
  readonly role: string;
  readonly counters: LinkCounters;
}

/** What has happened since the agent was started. */
export interface Totals {
  /** Comparisons of what is wanted with what is there. */
  readonly passes: number;
  /** Changes that were planned. */
  readonly planned: number;
  /** Those of them that failed. */
  readonly failed: number;
  /** Lines of the log that nobody read in time, or that could not be written. */
  readonly lostLogLines: number;
}

/** The host beside links, routes and rules. */
export interface HostReport {
  /** What has happened since the agent ran last: `same boot`, `rebooted`. */
  readonly boot: string;
  /** What the overlay needs of the kernel. */
  readonly prerequisites: readonly {
    readonly name: string;
    readonly verdict: "ok" | "fixed" | "degraded" | "fatal";
    readonly detail: string;
    readonly isFought?: true;
  }[];
  /** Checksum offload of each VTEP. */
  readonly checksums: readonly {
    readonly linkName: string;
    readonly observed: boolean | undefined;
    readonly reason: string;
    readonly fault?: string;
    readonly fight?: string;
  }[];
  /** Whether packets have come back from a peer. */
  readonly dataPath: {
    readonly state: "waiting" | "proved" | "unanswered";
    /** Whether a host with this state is not ready for it. */
    readonly isAwaited: boolean;
    /** Who was asked, and what came of it. */
    readonly peers: readonly string[];
    /** What a person is told, if there is something to tell. */
    readonly note: string | undefined;
  };
}

/** The rules of the packet filter, as far as they are ours to keep. */
export interface RuleFacts {
  /** Transactions that changed something, since the start. */
  readonly changes: number;
  readonly isMasquerading: boolean;
  /** What holds, in words. */
  readonly effective: readonly string[];
  /** What could not be made, one sentence each. */
  readonly failures: readonly string[];
  /** What else may swallow packets of pods, one sentence each. */
  readonly warnings: readonly string[];
  /** What keeps out all that other hosts send to this one in VXLAN, one sentence each; nothing if absent. */
  readonly dropped?: readonly string[];
}

/** How much of a subnet is in use. */
export interface Pool {
  readonly network: string;
  readonly subnet: string;
  /** Addresses that pods hold. */
  readonly used: number;
  /** Addresses that there are for pods. */
  readonly size: number;
  /** Of those in use, how many are a vanished pod's; absent where this was not looked for. */
  readonly leftovers: number | undefined;
}
