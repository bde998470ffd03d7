import { assert, assertEquals } from "@std/assert";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import { Membership } from "../../../src/registry/membership.ts";
import { waitUntil } from "../../../src/lab/wait.ts";
import type { Log } from "../../../src/log/log.ts";
import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Origin } from "../../../src/model/lease.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, signal } from "./etcd_world.ts";

/** A holder counts as gone after three of these. */
const BEAT_MS = 1000;
const MACHINE = "1".repeat(32);
const [MAC, OTHER_MAC] = ["52:54:00:00:00:01", "52:54:00:00:00:02"] as const;
const QUIET: Log = { write: () => {} };

let server: EtcdServer;
Deno.test.beforeAll(async () => {
  server = await EtcdServer.open();
});
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

/** What a host asks for that says who it is. */
function asked(address: string, origin: Origin, mac = "0e:2a:00:00:00:09") {
  const parts = [{ underlayAddress: parseAddress(address), backendData: { VNI: 1, VtepMAC: mac } }];
  return { backendType: "vxlan", parts, origin };
}

function hostAt(
  prefix: string,
  address: string,
  options: { previousSubnets?: readonly string[] } = {},
): EtcdHost {
  const previousSubnets = (options.previousSubnets ?? []).map(parsePrefix);
  return new EtcdHost(server, prefix, { addresses: [address], beatMs: BEAT_MS, previousSubnets });
}

Deno.test("a host that boots with another address has its lease again, once its holder has been silent", async () => {
  const origin = { machine: MACHINE, mac: MAC };
  using before = hostAt("/boot", "192.0.2.1");
  const first = await before.registry.acquire(asked("192.0.2.1", origin), { signal });
  using after = hostAt("/boot", "192.0.2.101");
  const startedMs = performance.now();
  const second = await after.registry.acquire(asked("192.0.2.101", origin), { signal });
  assertEquals(second.host, first.host);
  assert(performance.now() - startedMs > BEAT_MS, "it has waited for a sign of life");
  assertEquals(Object.keys(await server.list("/boot")), [`/boot/subnets/${first.host}`]);
});

for (
  const [why, origin] of [
    ["a clone of a host", { machine: MACHINE, mac: OTHER_MAC }],
    ["a clone with the very MAC", { machine: MACHINE, mac: MAC }],
  ] as const
) {
  Deno.test(`${why} takes nothing from the original while that lives`, async () => {
    const prefix = `/${why.replaceAll(" ", "-")}`;
    using original = hostAt(prefix, "192.0.2.1");
    const held = await original.registry.acquire(asked("192.0.2.1", { machine: MACHINE, mac: MAC }), {
      signal,
    });
    original.follow();
    const subnet = held.host.replace("-", "/");
    using clone = hostAt(prefix, "192.0.2.2", { previousSubnets: [subnet] });
    assertEquals(await clone.registry.previous(asked("192.0.2.2", origin), { signal }), undefined);
    const lease = await clone.registry.acquire(asked("192.0.2.2", origin), { signal });
    assert(lease.host !== held.host);
    assertEquals(clone.said.filter(({ event }) => event === "lease of a living host left alone").length, 1);
    assertEquals(Object.keys(await server.list(prefix)).length, 2);
  });
}

Deno.test("of a reservation nobody shows signs of life, so a clone takes none", async () => {
  const key = "/reserved/subnets/10.5.42.0-24";
  const origin = `,"LodenOrigin":{"Machine":"${MACHINE}","Card":"${MAC}"}}`;
  await server.put(key, flannelValue("192.0.2.1").replace(/\}$/, origin));
  using clone = hostAt("/reserved", "192.0.2.2");
  const taken = await clone.registry.acquire(asked("192.0.2.2", { machine: MACHINE, mac: OTHER_MAC }), {
    signal,
  });
  assert(taken.host !== "10.5.42.0-24");
  using owner = hostAt("/reserved", "192.0.2.3");
  const again = await owner.registry.acquire(asked("192.0.2.3", { machine: MACHINE, mac: MAC }), {
    signal,
  });
  assertEquals([again.host, again.expiresAtMs], ["10.5.42.0-24", undefined]);
});

Deno.test("isSilent() tells a holder that is gone from one that lives, and knows nothing of a flanneld", async () => {
  using host = hostAt("/silent", "192.0.2.1");
  const { host: key } = await host.registry.acquire(asked("192.0.2.1", { mac: MAC }), { signal });
  await server.put("/silent/subnets/10.5.7.0-24", flannelValue("192.0.2.7"));
  assertEquals(await host.registry.isSilent(key, { signal }), false);
  assertEquals(await host.registry.isSilent("10.5.7.0-24", { signal }), false);
  assertEquals(await host.registry.isSilent("10.5.8.0-24", { signal }), true, "there is no such lease");
  await waitUntil("see it silent", async () => await host.registry.isSilent(key, { signal }) || undefined, {
    deadlineMs: 20_000,
    signal,
  });
});

const twins: [why: string, origins: readonly [Origin, Origin]][] = [
  ["say who they are", [{ machine: MACHINE, mac: MAC }, { machine: "2".repeat(32), mac: OTHER_MAC }]],
  ["say nothing of themselves, as hosts of an early release", [{}, {}]],
];

for (const [why, origins] of twins) {
  Deno.test(`two hosts with one address don't rewrite each other's lease without end, where they ${why}`, async () => {
    const prefix = `/twins-${why.length}`;
    const controller = new AbortController();
    const hosts = origins.map(() => hostAt(prefix, "192.0.2.1"));
    const members = hosts.map(({ registry }, at) =>
      new Membership({
        registry,
        leases: new LeaseSet(),
        request: () => asked("192.0.2.1", origins[at]!, `0e:00:00:00:00:0${at + 1}`),
        changed: () => {},
        now: Date.now,
        elapsedMs: () => performance.now(),
        log: QUIET,
      }, { renewMarginMs: 3_600_000 })
    );
    const runs: Promise<void>[] = [];
    try {
      // One after the other: the second finds the lease of the first.
      for (const member of members) {
        runs.push(member.hold(controller), member.follow(controller));
        await waitUntil("see it hold a lease", () => member.own && true, { deadlineMs: 20_000, signal });
      }
      const revision = async () => (await server.client.range(prefix, { signal })).revision;
      const before = await revision();
      const untilMs = performance.now() + 3000;
      await waitUntil("let three seconds pass", () => performance.now() > untilMs || undefined, {
        deadlineMs: 10_000,
        signal,
      });
      const writes = await revision() - before;
      assert(writes < 10, `${writes} writes in 3 s`);
      const isFight = origins[0].machine === undefined;
      assertEquals(members.every(({ contest }) => (contest !== undefined) === isFight), true);
      assertEquals(new Set(members.map(({ own }) => own!.host)).size, isFight ? 1 : 2);
    } finally {
      controller.abort();
      await Promise.allSettled(runs);
      for (const host of hosts) host[Symbol.dispose]();
    }
  });
}
