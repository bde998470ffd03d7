/** What kind of thing is changed. */
export type PlannedKind =
  | "link"
  | "address"
  | "neighbour"
  | "fdb"
  | "route"
  | "next hop"
  | "packet filter"
  | "ip rule"
  | "setting"
  | "offload"
  | "file"
  | "cloud route";

/** One object of this host, or of its cloud, that would be another one, in the words of ip(8), nft(8) and sysctl(8). */
export interface PlannedChange {
  readonly kind: PlannedKind;
  /** What stays while its value changes: `route 10.244.3.0/24 metric 3`. */
  readonly object: string;
  /** Its value now; absent where it is added. */
  readonly was?: string;
  /** Its value then; absent where it is deleted. */
  readonly becomes?: string;
  /** Why, as a clause, where the change does not say it. */
  readonly why?: string;
}

/** What one step of a pass, or a loop beside it, would do. */
export interface PlannedStage {
  readonly stage: string;
  /** The first of all changes, in the order in which they are made. */
  readonly changes: readonly PlannedChange[];
  /** How many changes there are. */
  readonly total: number;
  /** Why it is not known what it would do, as a clause; absent where it is. */
  readonly unseen?: string;
  /** What is left as it is, though it is not as wanted, and what else is to be known: one sentence each. */
  readonly notes: readonly string[];
}

/** What the agent of a host would do now. */
export interface HostPlan {
  /** Who says it: the agent, or this process with its flags, and what it knows of others by. */
  readonly source: string;
  readonly stages: readonly PlannedStage[];
  /** What is to be known of the whole, one sentence each. */
  readonly notes: readonly string[];
}

/** So many changes of one stage are listed unless all are asked for. */
export const LISTED_CHANGES = 100;

/** Collects the changes of one stage: the first of them, and how many there are. */
export class ChangeList {
  readonly #limit: number;
  readonly #changes: PlannedChange[] = [];
  #total = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get changes(): readonly PlannedChange[] {
    return this.#changes;
  }

  get total(): number {
    return this.#total;
  }

  add(change: PlannedChange): void {
    this.addRow(() => change);
  }

  /** Adds one of many: its words are made only if it is listed. */
  addRow(words: () => PlannedChange): void {
    if (this.#total++ < this.#limit) this.#changes.push(words());
  }
}

/** `+ route 10.244.3.0/24 …`, as a line of the plan. */
export function changeText({ object, was, becomes, why }: PlannedChange): string {
  const reason = why === undefined ? "" : ` (${why})`;
  const value = (text: string) => text === "" ? "" : ` ${text}`;
  if (becomes === undefined) return `- ${object}${value(was ?? "")}${reason}`;
  if (was === undefined) return `+ ${object}${value(becomes)}${reason}`;
  return `~ ${object}${value(was)} ->${value(becomes)}${reason}`;
}

/** How many changes a plan has. */
export function countChanges({ stages }: HostPlan): number {
  return stages.reduce((sum, { total }) => sum + total, 0);
}
