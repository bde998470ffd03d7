import { printable } from "../log/printable.ts";
import type { Log, LogLevel } from "../log/log.ts";
import { type Condition, type ConditionCode, severityOf } from "../model/condition.ts";
import type { Reason, Severity } from "../model/reason.ts";
import { REASONS } from "../model/reasons.ts";
import { QuietLines } from "./quiet_lines.ts";

const LEVEL: Readonly<Record<Severity, LogLevel>> = { blocking: "warn", degraded: "warn", info: "info" };

function levelOf(condition: Condition): LogLevel {
  const { isExpected }: Reason = REASONS[condition.code];
  return isExpected ? "info" : LEVEL[severityOf(condition)];
}

/** A condition that holds now. */
export interface StandingCondition extends Condition {
  /** When it was first seen with these words. */
  readonly since: Date;
  /** How often its code has come since the agent was started, this time included. */
  readonly times: number;
}

/**
 * Knows which conditions hold, since when and how often, and logs what is new and what is over. It compares lists: who
 * finds a condition hands over all that hold, each time, and nobody has to say that one is over.
 */
export class Conditions {
  readonly #deps: { readonly log: Log; readonly now: () => Date; readonly elapsedMs: () => number };
  /** By code and sentence. */
  #standing: ReadonlyMap<string, StandingCondition> = new Map();
  readonly #times = new Map<ConditionCode, number>();
  /** What the log says of each code that holds. */
  readonly #told = new Map<ConditionCode, ReadonlySet<string>>();
  /** Each code has its own, so that much of one hides no other. */
  readonly #lines = new Map<ConditionCode, QuietLines>();

  /** @param deps.elapsedMs A clock that nobody sets. */
  constructor(deps: { readonly log: Log; readonly now: () => Date; readonly elapsedMs: () => number }) {
    this.#deps = deps;
  }

  /** Takes in all conditions that hold now, and answers with them in the same order. */
  see(found: readonly Condition[]): readonly StandingCondition[] {
    const before = new Set([...this.#standing.values()].map(({ code }) => code));
    const now = this.#deps.now();
    const standing = new Map<string, StandingCondition>();
    for (const { code, sentence: said } of found) {
      // Others' words may be in it.
      const sentence = printable(said);
      const key = `${code} ${sentence}`;
      if (standing.has(key)) continue;
      if (!before.has(code)) {
        before.add(code);
        this.#times.set(code, (this.#times.get(code) ?? 0) + 1);
      }
      const { since } = this.#standing.get(key) ?? { since: now };
      standing.set(key, { code, sentence, since, times: this.#times.get(code)! });
    }
    this.#standing = standing;
    const list = [...standing.values()];
    this.#tell(list);
    return list;
  }

  /** Logs what is new, and the codes that hold no more. What may not be said now is due again the next time. */
  #tell(list: readonly StandingCondition[]): void {
    const { log } = this.#deps;
    const sentences = Map.groupBy(list, ({ code }) => code);
    for (const code of [...this.#told.keys()].filter((code) => !sentences.has(code))) {
      if (!this.#isDue(code, "")) continue;
      log.write("info", "condition cleared", { code });
      this.#told.delete(code);
    }
    for (const [code, conditions] of sentences) {
      const told = this.#told.get(code) ?? new Set();
      const now = conditions.filter(({ sentence }) => told.has(sentence) || this.#isDue(code, sentence));
      for (const condition of now.filter(({ sentence }) => !told.has(sentence))) {
        log.write(levelOf(condition), "condition set", { code, reason: condition.sentence });
      }
      if (now.length > 0) this.#told.set(code, new Set(now.map(({ sentence }) => sentence)));
    }
  }

  /** Whether a line of a code may be logged; it counts as logged then. */
  #isDue(code: ConditionCode, line: string): boolean {
    const lines = this.#lines.get(code) ?? new QuietLines(this.#deps.elapsedMs);
    this.#lines.set(code, lines);
    return lines.isDue(line);
  }
}
