/** Seconds in a minute, an hour and a day. */
const [MINUTE, HOUR, DAY] = [60, 3600, 86_400];

/** A moment to the second, in UTC: `2026-11-30T15:40:01Z`. */
export function momentWords(at: Date): string {
  return `${at.toISOString().slice(0, 19)}Z`;
}

/** How long something is or was, roughly: `3 s`, `12 min`, `5 h`, `9 d`. */
export function spanWords(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 2 * MINUTE) return `${seconds} s`;
  if (seconds < 2 * HOUR) return `${Math.floor(seconds / MINUTE)} min`;
  if (seconds < 2 * DAY) return `${Math.floor(seconds / HOUR)} h`;
  return `${Math.floor(seconds / DAY)} d`;
}

/** How long ago a moment was, seen from `now`; `at an unknown time` for a text that is no moment. */
export function agoWords(text: string | null, now: Date): string {
  const at = text === null ? NaN : Date.parse(text);
  return Number.isNaN(at) ? "at an unknown time" : `${spanWords(now.getTime() - at)} ago`;
}

/** Lines of two columns, the first as wide as its widest. */
export function twoColumns(rows: readonly (readonly [name: string, text: string])[]): string[] {
  const width = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`.trimEnd());
}

/** A table as text, columns as wide as their widest cell; the last one is not padded. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at]!)).join("  ").trimEnd());
}

/** `1 route`, `2 routes`. */
export function countWords(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
