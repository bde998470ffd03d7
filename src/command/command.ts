import type { Flag } from "../config/flag.ts";
import type { Output } from "./output.ts";

/** What the process ends with: the table of the README, "Run it on a host". */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** What a command is run in. */
export interface Place {
  readonly output: Output;
  readonly signal: AbortSignal;
}

/** One option of a command: what its help, completion and the man page are made from. */
export interface CommandFlag extends Omit<Flag, "group" | "isNew" | "later"> {
  /** What it is where it is given without a value, which then never is the next word. */
  readonly bare?: string;
}

/** How a command is asked for. */
export interface CommandUsage {
  /** The command and the words that it takes, as `loden explain ADDRESS`. */
  readonly line: string;
  /** What it does, in a few lines of at most 78 characters. */
  readonly about: string;
  readonly flags: readonly CommandFlag[];
  /** The words that it takes beside flags, where there are only some. */
  readonly words?: readonly string[];
  /** Whether it takes the agent's flags and variables too. */
  readonly takesAgentFlags?: true;
}

/** One thing that the program does when it is asked for by name. */
export interface Command {
  /** What it does, as `loden help` says it. */
  readonly summary: string;
  /** How it is asked for; absent where it has no flags, or reads them by itself. */
  readonly usage?: CommandUsage;
  /** The same, where it is loaded only when it is asked for. */
  readonly loadUsage?: () => Promise<CommandUsage>;
  /** Whether it goes on until it is asked to end: any other has then not done what it was run for. */
  readonly isEndless?: true;
  /** What wrong words end it with, where that is not 2. */
  readonly usageExit?: number;
  readonly run: (args: readonly string[], place: Place) => Promise<number> | number;
}
