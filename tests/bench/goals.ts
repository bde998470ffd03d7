/** A figure that is not to be above a number of milliseconds. */
export interface Goal {
  readonly what: string;
  readonly leases: number;
  /** The column that has it. */
  readonly figure: string;
  readonly atMostMs: number;
}

/** Of single passes. */
export const PASS_GOALS: readonly Goal[] = [
  { what: "a whole pass that finds nothing", leases: 5000, figure: "no-op pass ms", atMostMs: 4 },
  { what: "a whole pass that finds nothing", leases: 20_000, figure: "no-op pass ms", atMostMs: 15 },
  { what: "one join", leases: 20_000, figure: "one join ms", atMostMs: 5 },
  { what: "one repair", leases: 20_000, figure: "one repair ms", atMostMs: 5 },
];

/** Of starts, from the start of the process. */
export const START_GOALS: readonly Goal[] = [
  { what: "the last route of a cold start", leases: 5000, figure: "last route ms", atMostMs: 150 },
  { what: "the last route of a cold start", leases: 20_000, figure: "last route ms", atMostMs: 350 },
];

/** One row a goal: what of each kind of `rows`, named by `column`, comes to, and whether the last kind meets it. */
export function goalRows(
  goals: readonly Goal[],
  rows: readonly Readonly<Record<string, string | number>>[],
  column: string,
): Record<string, string | number>[] {
  return goals.map(({ what, leases, figure, atMostMs }) => {
    const found = rows.filter((row) => row["remote leases"] === String(leases));
    const last = Number(found.at(-1)?.[figure]);
    return {
      goal: `${what}, ${leases} leases`,
      "at most ms": atMostMs,
      ...Object.fromEntries(found.map((row) => [`${row[column]} ms`, row[figure] ?? "-"])),
      met: last <= atMostMs ? "yes" : "no",
    };
  });
}
