import { assertEquals } from "@std/assert";
import { formatBitRate, formatLatency, formatTable } from "../../src/lab/table.ts";

Deno.test("formatTable() makes columns as wide as their widest cell, and no blanks at the end", () => {
  const rows = [["host", "subnet", "ms to h1"], ["h1", "10.244.1.0/24", "-"], ["h10", "none", "0.052"]];
  assertEquals(formatTable(rows), [
    "host  subnet         ms to h1",
    "h1    10.244.1.0/24  -",
    "h10   none           0.052",
  ]);
});

const latencies: [sent: number, received: number, averageMs: number | undefined, text: string][] = [
  [5, 5, 0.05, "0.050"],
  [5, 3, 12.5, "12.500 (2 of 5 lost)"],
  [5, 0, undefined, "lost"],
  [0, 0, undefined, "lost"],
];

for (const [sent, received, averageMs, text] of latencies) {
  Deno.test(`formatLatency() says "${text}" where ${received} of ${sent} pings were answered`, () => {
    assertEquals(formatLatency({ sent, received, averageMs }), text);
  });
}

const rates: [bitsPerSecond: number, text: string][] = [
  [9_423_000_000, "9.42 Gbit/s"],
  [123_456_789, "123 Mbit/s"],
  [56_000, "56.0 kbit/s"],
];

for (const [bitsPerSecond, text] of rates) {
  Deno.test(`formatBitRate() says "${text}"`, () => assertEquals(formatBitRate(bitsPerSecond), text));
}
