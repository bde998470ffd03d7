import { assertEquals } from "@std/assert";
import { Conditions } from "../../src/loop/conditions.ts";
import { ENOBUFS } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { reconcileOnce } from "../../src/reconcile/reconciler.ts";
import { RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { conditionsOf } from "../../src/status/health.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { refusingAll } from "../double/refusing.ts";
import { leaseOf, TestHost } from "../double/test_host.ts";
import { HOST, OWN } from "../status/facts.ts";

Deno.test("passes that fail one after the other, each in another number of changes, say once that they do, and nothing of what they did not change", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  const peers = (count: number) =>
    Array.from(
      { length: count },
      (_, at) =>
        leaseOf(
          `h${at}`,
          `10.244.${at + 2}.0/24`,
          `192.0.2.${at + 2}`,
          `0e:2a:00:00:01:${(16 + at).toString(16)}`,
        ),
    );
  const log = new RecordedLog();
  const conditions = new Conditions({ log, now: () => new Date(0), elapsedMs: () => 0 });
  const full = refusingAll(host.transport, ENOBUFS, ({ type }) => type === RTM_NEWROUTE);
  const said: number[] = [];
  for (let count = 30; count < 35; count++) {
    const lastPass = reconcileOnce({ ...host.deps(peers(count), full), log })!;
    assertEquals([lastPass.failureCount, lastPass.failures.length], [count, 20]);
    conditions.see(conditionsOf({
      lastPass,
      lease: { own: OWN, reason: undefined },
      underlay: { reason: undefined },
      shortfalls: [],
      families: [2],
      podFiles: { fault: undefined, note: undefined },
      host: HOST,
      rules: undefined,
      hasSnapshot: true,
      contact: { reason: undefined },
    }));
    const failing = log.lines.filter((line) => line.includes('"changes-failed"'));
    said.push(failing.length);
  }
  assertEquals(said, [1, 1, 1, 1, 1]);
  const changed = log.lines.filter((line) => line.includes("table changed"));
  assertEquals(changed.filter((line) => line.includes('"routes"') || line.includes('"rows":0')), []);
});
