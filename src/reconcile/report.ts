import type { PeerFault } from "../overlay/backend/backend.ts";
import type { Family } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { DesiredCloud } from "../model/state.ts";

/** Failures that a report names; the others are counted. */
const NAMED_FAILURES = 20;

/** Others that have a subnet of a family too. */
export interface FamilyReach {
  readonly family: Family;
  /** How many there are. */
  readonly peers: number;
  /** To how many of them packets are sent. */
  readonly reached: number;
}

/** How many peers were left out. */
export function countFaults(faults: readonly PeerFault[]): number {
  return faults.reduce((sum, { count = 1 }) => sum + count, 0);
}

/** What one pass found and did. */
export interface PassReport {
  readonly startedAt: Date;
  readonly durationMs: number;
  /** Changes that the plan held, one a kernel object. */
  readonly planned: number;
  /** Those of them that were made. What fails beside them, as reading a table, counts as a failure alone. */
  readonly applied: number;
  /** The first failures, one sentence each. */
  readonly failures: readonly string[];
  /** All failures. */
  readonly failureCount: number;
  /** Whether the links of the overlay are there, up and addressed, of one family at least: packets can be forwarded. */
  readonly isForwarding: boolean;
  /** The families that state was made for. */
  readonly families: readonly Family[];
  /** Peers that were left out. */
  readonly faults: readonly PeerFault[];
  /** How many others are reached, by each family of this host. */
  readonly reach: readonly FamilyReach[];
  /** Others' routes that take packets for this host's own pods. */
  readonly ownTaken: readonly Condition[];
  /** What other programs change again and again. */
  readonly fights: readonly Condition[];
  /** What can't be right in the registry and keeps nobody out, one sentence each. */
  readonly doubts: readonly string[];
  /** Remote leases that the pass was made for. */
  readonly remoteLeases: number;
  /** Hosts that this backend does not reach, as they have another one, one phrase a backend. */
  readonly otherBackends: readonly string[];
  /** Whether they are what an earlier process knew, and the registry has not been heard since. */
  readonly isRemembered: boolean;
  /** What a cloud must hold; absent for backends that need none. */
  readonly cloud?: DesiredCloud;
}

/** Collects failures while a pass goes on with the rest. */
export class Failures {
  readonly sentences: string[] = [];
  count = 0;

  add(sentence: string): void {
    this.count++;
    if (this.sentences.length < NAMED_FAILURES) this.sentences.push(sentence);
  }
}
