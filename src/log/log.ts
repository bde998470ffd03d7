import { escapedIn } from "./printable.ts";

/** `info`: this host's state changed; `debug`: every pass; `warn`: tried again; `error`: a person must act. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Facts of one event, units in their names. Nothing secret is a field. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Where events are said: an event is lower case, past tense and constant text. */
export interface Log {
  write(level: LogLevel, event: string, fields?: LogFields): void;
}

/** What a log needs of the world. */
export interface LogDeps {
  readonly now: () => Date;
  readonly writeLine: (line: string) => void;
  /** Events below this level are dropped. */
  readonly level: LogLevel;
}

const RANK: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** A log of JSON lines: `time`, `level`, `event`, then the fields. */
export function jsonLog(deps: LogDeps): Log {
  return {
    write(level, event, fields = {}) {
      if (RANK[level] < RANK[deps.level]) return;
      const head = { time: deps.now().toISOString(), level, event };
      // Written twice: the first gives the order, the second keeps a field of the same name from winning.
      deps.writeLine(JSON.stringify(escapedIn({ ...head, ...fields, ...head }), bigintAsText));
    },
  };
}

/** A log for a person at a terminal: time of day, level, event, then `name=value`. */
export function readableLog(deps: LogDeps): Log {
  return {
    write(level, event, fields = {}) {
      if (RANK[level] < RANK[deps.level]) return;
      const facts = Object.entries(fields)
        .map(([name, value]) => ` ${name}=${readable(value)}`);
      const time = deps.now().toISOString().slice(11, 19);
      deps.writeLine(`${time} ${level.padEnd(5)} ${event}${facts.join("")}`);
    },
  };
}

/** A log of nothing. */
export const SILENT: Log = { write: () => {} };

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}

/** A value as a person reads it; text that could pass for another field or line is quoted. */
function readable(value: unknown): string {
  const shown = escapedIn(value);
  const isPlain = typeof shown === "string" && !/[\n\t]/.test(shown);
  return isPlain ? shown : JSON.stringify(shown, bigintAsText);
}
