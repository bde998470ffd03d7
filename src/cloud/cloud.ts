import type { Condition } from "../model/condition.ts";
import type { ChangeList } from "../model/host_plan.ts";
import type { CloudPath, DesiredCloud } from "../model/state.ts";

/** What a cloud was found to be, and what is done to it. */
export interface CloudReport {
  /** What packets for this host's pods come in by: `eni-0abc`. */
  readonly interfaceId: string;
  /** The route tables, and how many routes each has. */
  readonly tables: readonly { readonly id: string; readonly routes: number }[];
  /** When the tables were read. */
  readonly lookedAt: Date;
  /** Calls since the start, by action. */
  readonly calls: ReadonlyMap<string, number>;
}

/** The routers of a cloud, which have to know where the pods of this host are. */
export interface Cloud {
  /** Says what must be there. Answers whether it is other than before, so that a turn is due. */
  want(desired: DesiredCloud, options: { readonly isRemembered: boolean }): boolean;
  /** Compares it with what is there, and makes it so. Answers whether nothing is left to be done. */
  turn(options: { readonly signal: AbortSignal }): Promise<boolean>;
  /**
   * Looks as a turn does, and writes down what it would change; nothing is learnt by it. Answers with what packets for pods
   * would come in by, and what stands in the way of what is wanted.
   */
  dryRun(
    desired: DesiredCloud,
    options: { readonly isRemembered: boolean; readonly list: ChangeList; readonly signal: AbortSignal },
  ): Promise<{ readonly path: CloudPath | "none" | undefined; readonly conditions: readonly Condition[] }>;
  /** What is wrong. */
  readonly conditions: readonly Condition[];
  /**
   * What packets for pods come in by, if that is not the underlay's (`none`); `undefined` before it is known. The same
   * object until it is found anew.
   */
  readonly path: CloudPath | "none" | undefined;
  /** What was found last; `undefined` before the first look. */
  readonly report: CloudReport | undefined;
}
