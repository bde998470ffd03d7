import { assertEquals } from "@std/assert";
import { retryAfterMs } from "../../src/loop/retry_after.ts";

const NOW = Date.parse("2026-01-01T00:00:00Z");

const rows: [header: string | undefined, date: string | undefined, ms: number | undefined, why: string][] = [
  ["7", undefined, 7000, "seconds"],
  [" 7 ", undefined, 7000, "with space around them"],
  ["0", undefined, undefined, "no time is none"],
  ["86400", undefined, 60_000, "no more than a minute"],
  ["9".repeat(400), undefined, 60_000, "however many digits"],
  ["-7", undefined, undefined, "nothing negative"],
  ["1.5", undefined, undefined, "no fractions, says RFC 9110"],
  ["1e9", undefined, undefined, "nothing else that a machine takes for a number"],
  ["2027", undefined, 60_000, "seconds also where they could be a year"],
  ["soon", undefined, undefined, "no words"],
  ["", undefined, undefined, "an empty header"],
  [undefined, undefined, undefined, "none"],
  ["Thu, 01 Jan 2026 00:00:09 GMT", undefined, 9000, "a date"],
  ["Thursday, 01-Jan-26 00:00:09 GMT", undefined, 9000, "in the form of RFC 850"],
  ["Thu Jan  1 00:00:09 2026", undefined, 9000, "in the form of asctime()"],
  ["Wed, 31 Dec 2025 23:59:59 GMT", undefined, undefined, "one that is over"],
  ["Thu, 01 Jan 2099 00:00:00 GMT", undefined, 60_000, "one that is far"],
  ["Thu, 99 Foo 2026", undefined, undefined, "one that is none"],
  ["2026-01-01T00:00:09Z", undefined, undefined, "one in no form of HTTP's"],
  ["Thu, 01 Jan 2026 05:00:09 GMT", "Thu, 01 Jan 2026 05:00:00 GMT", 9000, "by the server's clock"],
  ["Thu, 01 Jan 2026 00:00:09 GMT", "yesterday", 9000, "by this host's where the server's is not told"],
];

for (const [header, date, ms, why] of rows) {
  Deno.test(`retryAfterMs() reads ${header?.slice(0, 40)} as ${ms}: ${why}`, () => {
    const headers = new Headers({
      ...header !== undefined && { "retry-after": header },
      ...date !== undefined && { date },
    });
    assertEquals(retryAfterMs(headers, { nowMs: NOW }), ms);
  });
}
