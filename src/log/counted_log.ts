import type { Log, LogFields, LogLevel } from "./log.ts";

/** Events are constant texts: there are far fewer. */
const MOST_EVENTS = 512;

/** A log that counts what passes through it, also below the level from which lines are written. */
export class CountedLog implements Log {
  readonly #log: Log;
  readonly levels: Record<LogLevel, number> = { debug: 0, info: 0, warn: 0, error: 0 };
  readonly #events = new Map<string, number>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** How often an event was said. */
  times(event: string): number {
    return this.#events.get(event) ?? 0;
  }

  write(level: LogLevel, event: string, fields?: LogFields): void {
    this.levels[level]++;
    const times = this.times(event);
    if (times > 0 || this.#events.size < MOST_EVENTS) this.#events.set(event, times + 1);
    this.#log.write(level, event, fields);
  }
}
