/** Something of this host that an operator may have to know. */
export interface Finding {
  /** Whether the host is not ready for it; else it is a note. */
  readonly isBlocking: boolean;
  /** What is, what that means, what to do: one sentence. */
  readonly sentence: string;
}
