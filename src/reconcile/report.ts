import type { PeerFault } from "../backend/backend.ts";

/** Failures that a report names; the others are counted. */
const NAMED_FAILURES = 20;

/** What one pass found and did. */
export interface PassReport {
  readonly startedAt: Date;
  readonly durationMs: number;
  /** Changes that the plan held, one a kernel object. */
  readonly planned: number;
  /** The first failures, one sentence each. */
  readonly failures: readonly string[];
  /** All failures. */
  readonly failureCount: number;
  /** Whether the links of the overlay are there, up and addressed, of one family at least: packets can be forwarded. */
  readonly isForwarding: boolean;
  /** Peers that were left out. */
  readonly faults: readonly PeerFault[];
  /** Hosts that packets are sent to, of one family at least. */
  readonly reached: number;
  /** What can't be right in the registry and keeps nobody out, one sentence each. */
  readonly doubts: readonly string[];
  /** Remote leases that the pass was made for. */
  readonly remoteLeases: number;
  /** Hosts that this backend does not reach, as they have another one, one phrase a backend. */
  readonly otherBackends: readonly string[];
  /** Whether they are what an earlier process knew, and the registry has not been heard since. */
  readonly isRemembered: boolean;
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
