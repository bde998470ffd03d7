/** `blocking`: the host is not ready; `degraded`: it is ready, with a note; `info`: to be known, and nothing is wrong. */
export type Severity = "blocking" | "degraded" | "info";

/** One entry of the catalogue: what all conditions of a code have in common. */
export interface Reason {
  readonly severity: Severity;
  /** What is the matter, as a sentence for the documentation. */
  readonly cause: string;
  /** What to do, as a sentence. */
  readonly remedy: string;
  /** Whether it belongs to each start, and is nothing to be warned of. */
  readonly isExpected?: true;
}

/** What an entry says, beside the severity that it stands under. */
export type ReasonWords = Omit<Reason, "severity">;
