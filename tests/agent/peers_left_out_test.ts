import { assertEquals } from "@std/assert";
import { logPeersLeftOut } from "../../src/agent/peers_left_out.ts";
import type { Log } from "../../src/log/log.ts";
import { pass } from "../status/facts.ts";

Deno.test("logPeersLeftOut() names each peer that is left out once, and again when it comes back with another fault", () => {
  const said: unknown[] = [];
  const log: Log = { write: (_, __, fields) => said.push([fields?.host, fields?.reason]) };
  const tell = logPeersLeftOut(log, () => 0);
  const a = { host: "a", reason: "overlaps" };
  tell(pass({ faults: [a] }));
  tell(pass({ faults: [a, { host: "b", reason: "x".repeat(1000) }] }));
  tell(pass({ faults: [] }));
  tell(pass({ faults: [{ host: "a", reason: "is ours" }] }));
  assertEquals(said, [["a", "overlaps"], ["b", "x".repeat(300)], ["a", "is ours"]]);
});

Deno.test("logPeersLeftOut() does not flood the log with thousands", () => {
  let said = 0;
  const log: Log = { write: () => said++ };
  logPeersLeftOut(log, () => 0)(
    pass({ faults: Array.from({ length: 5000 }, (_, n) => ({ host: `h${n}`, reason: "no" })) }),
  );
  assertEquals(said, 20);
});

Deno.test("logPeersLeftOut() says of a peer that comes and goes once a minute that it is left out", () => {
  const said: number[] = [];
  let nowMs = 0;
  const log: Log = { write: () => said.push(nowMs) };
  const tell = logPeersLeftOut(log, () => nowMs);
  const faults = [{ host: "a", reason: "overlaps" }];
  for (; nowMs < 150_000; nowMs += 1000) tell(pass({ faults: nowMs % 2000 === 0 ? faults : [] }));
  assertEquals(said, [0, 60_000, 120_000]);
  // What was held back is said later, while it stands.
  for (; nowMs < 300_000; nowMs += 1000) tell(pass({ faults }));
  assertEquals(said, [0, 60_000, 120_000, 180_000]);
});

Deno.test("logPeersLeftOut() says no more than sixty sentences a minute, and the others after that", () => {
  const said: unknown[] = [];
  let nowMs = 0;
  const log: Log = { write: (_, __, fields) => said.push(fields?.reason) };
  const tell = logPeersLeftOut(log, () => nowMs);
  const at = (n: number) => pass({ faults: [{ host: "a", reason: `route with metric ${n}` }] });
  for (; nowMs < 1000; nowMs++) tell(at(nowMs));
  assertEquals(said.length, 60);
  const last = at(999);
  tell(last);
  nowMs = 61_000;
  tell(last);
  assertEquals(said.slice(60), ["route with metric 999"]);
  tell(last);
  assertEquals(said.length, 61);
});
