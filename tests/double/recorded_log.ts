import type { Log, LogFields, LogLevel } from "../../src/log/log.ts";

/** A log that keeps what is written to it, as `LEVEL EVENT FIELDS`. */
export class RecordedLog implements Log {
  readonly lines: string[] = [];

  write(level: LogLevel, event: string, fields: LogFields = {}): void {
    this.lines.push(`${level} ${event} ${JSON.stringify(fields)}`);
  }
}
