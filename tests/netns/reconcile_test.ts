import { assertEquals, assertGreater } from "@std/assert";
import type { Family } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { Libc } from "../../src/linux/libc.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";
import { counting, refusing } from "../double/refusing.ts";
import { TestHost, type TestHostOptions } from "../double/test_host.ts";
import { scenarios } from "../scenarios.ts";

const FAMILIES: readonly (readonly [name: string, family: Family])[] = [["IPv4", 2], ["IPv6", 10]];
const WALK_STEPS = 60;

/** What another program may do to the overlay's kernel state, as arguments of ip(8) or bridge(8). */
function faults(family: Family): readonly (readonly [name: string, commands: readonly string[][]])[] {
  const link = family === 2 ? "flannel.1" : "flannel-v6.1";
  const version = family === 2 ? "-4" : "-6";
  const [own, peer, host, elsewhere] = family === 2
    ? ["10.244.1.0/32", "10.244.2.0", "192.0.2.2", "192.0.2.99"] as const
    : ["fd00:10:244:1::/128", "fd00:10:244:2::", "2001:db8::2", "2001:db8::99"] as const;
  const peers = family === 2
    ? ["10.244.2.0", "10.244.3.0", "10.244.255.0"]
    : ["fd00:10:244:2::", "fd00:10:244:3::", "fd00:10:244:4::"];
  const length = family === 2 ? 24 : 64;
  const other = family === 2 ? "10.244.77.0" : "fd00:10:244:77::";
  const mac = "0e:2a:00:00:00:0a";
  const metric = ["metric", family === 2 ? "3" : "1024"];
  return [
    ["a route is deleted", [["ip", version, "route", "delete", `${peer}/${length}`]]],
    ["a route loses its gateway", [
      ["ip", version, "route", "replace", `${peer}/${length}`, "dev", link],
    ]],
    ["a route is over the loopback", [
      ["ip", version, "route", "replace", `${peer}/${length}`, "dev", "lo", "proto", "76", ...metric],
    ]],
    ["a route is over the underlay", [
      ["ip", version, "route", "replace", `${peer}/${length}`, "dev", "eth0", "proto", "76", ...metric],
    ]],
    ["a route has another metric", [
      ["ip", version, "route", "delete", `${peer}/${length}`],
      ["ip", version, "route", "add", `${peer}/${length}`, "dev", link, "proto", "76", "metric", "7"],
    ]],
    [
      "all routes are deleted",
      peers.map((subnet) => ["ip", version, "route", "delete", `${subnet}/${length}`]),
    ],
    ["a stale route of flanneld is there", [
      ["ip", version, "route", "add", `${other}/${length}`, "via", other, "dev", link, "onlink"],
    ]],
    ["a neighbour is deleted", [["ip", "neigh", "delete", peer, "dev", link]]],
    ["a neighbour's MAC is changed", [
      ["ip", "neigh", "replace", peer, "lladdr", "02:00:00:00:00:77", "dev", link, "nud", "permanent"],
    ]],
    ["all neighbours are flushed", [["ip", "neigh", "flush", "dev", link, "nud", "permanent"]]],
    ["an FDB entry is deleted", [["bridge", "fdb", "delete", mac, "dev", link, "dst", host]]],
    ["an FDB entry points elsewhere", [
      ["bridge", "fdb", "replace", mac, "dev", link, "dst", elsewhere, "self", "permanent"],
    ]],
    ["unknown MACs are flooded to two hosts", [
      ["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", link, "dst", host],
      ["bridge", "fdb", "append", "00:00:00:00:00:00", "dev", link, "dst", elsewhere],
    ]],
    ["an FDB entry of no host is there", [
      ["bridge", "fdb", "append", "02:00:00:00:00:55", "dev", link, "dst", host],
    ]],
    ["the link is set down and up", [["ip", "link", "set", link, "down"], ["ip", "link", "set", link, "up"]]],
    ["the link is left down", [["ip", "link", "set", link, "down"]]],
    ["the link is deleted", [["ip", "link", "delete", link]]],
    ["the link's MAC is changed", [["ip", "link", "set", link, "address", "02:00:00:00:00:66"]]],
    ["the link's MTU is changed", [["ip", "link", "set", link, "mtu", "1280"]]],
    ["the link learns", [["ip", "link", "set", link, "type", "vxlan", "learning"]]],
    ["the link's address is removed", [["ip", "address", "delete", own, "dev", link]]],
    ["a foreign address is on the link", [["ip", "address", "add", `${other}/${length}`, "dev", link]]],
    ["the link is another VXLAN", [
      ["ip", "link", "delete", link],
      ["ip", "link", "add", link, "type", "vxlan", "id", "99", "dev", "eth0", "dstport", "4789"],
    ]],
    ["the link is a bridge", [["ip", "link", "delete", link], ["ip", "link", "add", link, "type", "bridge"]]],
  ];
}

async function inflict(host: TestHost, commands: readonly string[][]): Promise<void> {
  // A fault that finds nothing to break, as a route that is not there, is no fault of the test.
  for (const [command, ...args] of commands) await host.netns.run(command!, ...args);
}

/** How many requests a pass sends that change something, from nothing to `remote`. */
async function countWrites(libc: Libc, options: TestHostOptions, remote: readonly Lease[]): Promise<number> {
  await using host = await TestHost.open(libc, options);
  const counted = counting(host.transport);
  host.reconcile(remote, counted);
  assertGreater(counted.writes, 5);
  return counted.writes;
}

for (const [name, family] of FAMILIES) {
  const all = scenarios(family);
  const busy = all.find((scenario) => scenario.name === "three peers")!;

  for (const scenario of all) {
    Deno.test(`reconcileOnce() makes "${scenario.name}" from nothing in one pass, ${name}`, async () => {
      using libc = new Libc();
      await using host = await TestHost.open(libc, { family });
      assertEquals(host.reconcile(scenario.remote).failures, []);
      assertEquals(await host.show(), [...scenario.kernel]);
    });
  }

  for (const [fault, commands] of faults(family)) {
    Deno.test(`reconcileOnce() mends it in one pass when ${fault}, ${name}`, async () => {
      using libc = new Libc();
      await using host = await TestHost.open(libc, { family });
      host.reconcile(busy.remote);
      await inflict(host, commands);
      const { links, tables } = host.drift(busy.remote);
      assertGreater(links.length + tables.length, 0, "the fault must be seen");
      assertEquals(host.reconcile(busy.remote).failures, []);
      assertEquals(await host.show(), [...busy.kernel]);
    });
  }

  Deno.test(`reconcileOnce() settles from any state in one pass, and then rests, ${name}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    const random = seededRandom(SEED + family);
    for (let step = 1; step <= WALK_STEPS; step++) {
      const scenario = pick(random, all);
      const [fault, commands] = random() < 0.5 ? pick(random, faults(family)) : ["nothing", []];
      const context = `seed ${SEED}, step ${step}: ${fault}, then "${scenario.name}"`;
      await inflict(host, commands);
      assertEquals(host.reconcile(scenario.remote).failures, [], context);
      assertEquals(await host.show(), [...scenario.kernel], context);
      assertEquals(host.drift(scenario.remote), { links: [], tables: [] }, context);
    }
  });

  Deno.test(`reconcileOnce() writes nothing to a settled kernel, ${name}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    host.reconcile(busy.remote);
    const counted = counting(host.transport);
    assertEquals(host.reconcile(busy.remote, counted).planned, 0);
    assertEquals(counted.writes, 0);
    assertGreater(counted.dumps, 0, "the kernel was looked at");
  });

  for (const errno of [1, 4, 12, 16, 19, 22, 105]) {
    Deno.test(`a pass goes on with the rest, and the next one mends it, when a step fails with errno ${errno}, ${name}`, async () => {
      using libc = new Libc();
      const steps = await countWrites(libc, { family }, busy.remote);
      for (let step = 0; step < steps; step++) {
        await using host = await TestHost.open(libc, { family });
        const report = host.reconcile(busy.remote, refusing(host.transport, step, errno));
        if (report.failureCount === 0) {
          // IPv6 routes that the kernel finds invalid are set in two steps, at once.
          assertEquals([errno, family], [22, 10], `step ${step} was refused without a word`);
          assertEquals(await host.show(), [...busy.kernel], `step ${step}`);
        }
        assertEquals(host.reconcile(busy.remote).failures, [], `step ${step}`);
        assertEquals(await host.show(), [...busy.kernel], `step ${step}`);
      }
    });
  }
}

Deno.test("reconcileOnce() adopts what flanneld left under the same names without deleting a thing", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  const { netns } = host;
  const scenario = scenarios(2).find(({ name }) => name === "one peer")!;
  await netns.ip(
    ...["link", "add", "flannel.1", "address", "0e:2a:00:00:00:01", "mtu", "1450", "type", "vxlan"],
    ...["id", "1", "dev", "eth0", "local", "192.0.2.1", "dstport", "8472", "nolearning"],
  );
  await netns.ip("address", "add", "10.244.1.0/32", "dev", "flannel.1");
  await netns.ip("link", "set", "flannel.1", "up");
  const mac = "0e:2a:00:00:00:0a";
  await netns.ip("neigh", "replace", "10.244.2.0", "lladdr", mac, "dev", "flannel.1", "nud", "permanent");
  await netns.bridge("fdb", "replace", mac, "dst", "192.0.2.2", "dev", "flannel.1", "self", "permanent");
  await netns.ip("route", "add", "10.244.2.0/24", "via", "10.244.2.0", "dev", "flannel.1", "onlink");
  await netns.ip("route", "add", "10.244.9.0/24", "via", "10.244.9.0", "dev", "flannel.1", "onlink");
  const drift = host.drift(scenario.remote);
  assertEquals(drift.links, []);
  assertEquals(
    drift.tables.map(({ table, operation, indices }) => [table, operation, indices.length]),
    [["routes", "add", 1], ["routes", "delete", 2]],
  );
  assertEquals(host.reconcile(scenario.remote).failures, []);
  assertEquals(await host.show(), [...scenario.kernel]);
});

Deno.test("reconcileOnce() touches no route that is not ours", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc, { vxlan: { directRouting: true } });
  const { netns } = host;
  await netns.ip("route", "add", "10.244.200.0/24", "via", "192.0.2.77");
  await netns.ip("route", "add", "203.0.113.0/24", "via", "192.0.2.77", "proto", "76");
  host.reconcile([]);
  await netns.ip("route", "add", "198.51.100.0/24", "dev", "flannel.1");
  const before = await host.show();
  assertEquals(host.reconcile([]).planned, 0);
  assertEquals(await host.show(), before);
});
