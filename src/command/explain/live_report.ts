import type { ChainLink } from "./facts.ts";

/** What sending some packets has shown. */
export interface LiveReport {
  /** What stopped them, if something did. */
  readonly cause: ChainLink | undefined;
  /** Codes of the chain's links that speak of the same thing, and may name it better. */
  readonly isAlike: readonly string[];
  /** For a person. */
  readonly lines: readonly string[];
  readonly json: object;
}
