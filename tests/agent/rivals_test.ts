import { assertEquals } from "@std/assert";
import { followRivals, rivalsIn } from "../../src/agent/rivals.ts";
import { pass } from "../status/facts.ts";

const PEER = { host: "a", reason: "its data is malformed" };
const RIVAL = { host: "b", reason: "has the same MAC", isContest: true } as const;

Deno.test("rivalsIn() names the hosts that claim what this host claims", () => {
  assertEquals(rivalsIn(pass({ faults: [PEER, RIVAL] })), ["b"]);
});

Deno.test("followRivals() calls once for each list of faults, and has met a rival only where one is in it", () => {
  const calls: string[] = [];
  const follow = followRivals({ changed: () => calls.push("changed"), met: () => calls.push("met") });
  const alone = pass({ faults: [PEER] });
  const contested = pass({ faults: [PEER, RIVAL] });
  for (const report of [alone, alone, contested, contested, alone]) follow(report);
  assertEquals(calls, ["changed", "changed", "met", "changed"]);
});
