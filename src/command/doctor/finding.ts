/** How a host is in one respect. `doubtful` may be meant so; `unseen` could not be looked at. */
export type Verdict = "ok" | "wrong" | "doubtful" | "unseen";

/** What a judge says. */
export interface Said {
  readonly verdict: Verdict;
  /** What is, as a clause. */
  readonly text: string;
  /** What to do, as a clause; absent where there is nothing to be done. */
  readonly remedy?: string;
}

/** What was found, and by which check. */
export interface Finding extends Said {
  readonly check: string;
}

export const ok = (text: string): Said => ({ verdict: "ok", text });
export const wrong = (text: string, remedy: string): Said => ({ verdict: "wrong", text, remedy });
export const doubtful = (text: string, remedy: string): Said => ({ verdict: "doubtful", text, remedy });
export const unseen = (text: string, remedy?: string): Said => ({
  verdict: "unseen",
  text,
  ...remedy !== undefined && { remedy },
});

/** What can't be looked at now, and why: not what is wrong with the host. */
export class UnseenError extends Error {}
