/** Formats rows as columns of equal width, two blanks between them; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length);
  }
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
}

/** Formats a round trip with its unit in the heading: `0.052`, or `lost`. */
export function formatLatency(
  result: { readonly sent: number; readonly received: number; readonly averageMs: number | undefined },
): string {
  const { sent, received, averageMs } = result;
  if (averageMs === undefined) return "lost";
  const lost = sent - received;
  return lost === 0 ? averageMs.toFixed(3) : `${averageMs.toFixed(3)} (${lost} of ${sent} lost)`;
}

/** Formats bits a second with a prefix: `9.42 Gbit/s`. */
export function formatBitRate(bitsPerSecond: number): string {
  const [factor, unit] = bitsPerSecond >= 1e9
    ? [1e9, "Gbit/s"]
    : bitsPerSecond >= 1e6
    ? [1e6, "Mbit/s"]
    : [1e3, "kbit/s"];
  return `${(bitsPerSecond / factor).toPrecision(3)} ${unit}`;
}
