import { assertEquals } from "@std/assert";
import { restMs } from "../../src/status/rest.ts";

const rests: [tookMs: number, restMs: number, why: string][] = [
  [0, 1, "each turn is followed by another's"],
  [0.2, 1, "each turn is followed by another's"],
  [1.25, 3.75, "passes have three quarters of the time"],
  [500, 4, "the process was halted amid a turn, and a probe may wait"],
];

for (const [tookMs, expected, why] of rests) {
  Deno.test(`a server that served many in ${tookMs} ms lets others have the thread for ${expected} ms: ${why}`, () => {
    assertEquals(restMs(tookMs), expected);
  });
}
