import { assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import { AF_INET6, formatPrefix, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import { IPV4, IPV6, LocalWorld, request, subnetsOf } from "./local_world.ts";

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;

function subnets(lease: Lease | undefined): string[] | undefined {
  return lease?.parts.map(({ subnet }) => formatPrefix(subnet));
}

/** Four subnets, of which the last two can be held. */
const SMALL = subnetsOf("10.244.0.0/22", 24, "10.244.2.0", "10.244.3.0");

Deno.test("acquire() takes a free subnet of each family for a day, and says what was asked for", async () => {
  await using world = new LocalWorld();
  const registry = world.open("192.0.2.1", { families: [IPV4, IPV6] });
  const lease = await registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  assertEquals(lease.host, "192.0.2.1");
  assertEquals(lease.backendType, "vxlan");
  assertEquals(lease.expiresAtMs, world.nowMs + 24 * HOUR_MS);
  assertMatch(subnets(lease)!.join(" "), /^10\.244\.\d+\.0\/24 fd00:244:0:[0-9a-f]+::\/64$/);
  assertEquals(await registry.previous(request("192.0.2.1"), { signal }), lease);
  using again = world.open("192.0.2.1", { families: [IPV4, IPV6] });
  assertEquals(await again.previous(request("192.0.2.1"), { signal }), lease);
});

Deno.test("acquire() renews: the subnet stays, the end time moves, what the host publishes changes", async () => {
  await using world = new LocalWorld();
  const registry = world.open("192.0.2.1");
  const first = await registry.acquire(request("192.0.2.1"), { signal });
  world.pass(HOUR_MS);
  const changed = { ...request("198.51.100.1"), backendType: "host-gw" };
  const second = await registry.acquire(changed, { signal });
  assertEquals(subnets(second), subnets(first));
  assertEquals(second.expiresAtMs, first.expiresAtMs! + HOUR_MS);
  assertEquals(second.backendType, "host-gw");
  assertEquals(second.parts[0]!.underlayAddress, changed.parts[0]!.underlayAddress);
});

Deno.test("acquire() keeps since when a host says what it says, and begins anew with what is new", async () => {
  await using world = new LocalWorld();
  const registry = world.open("192.0.2.1");
  const first = await registry.acquire(request("192.0.2.1"), { signal });
  const { since } = first;
  assertEquals([first.dataSince, first.addressSince], [since, since]);
  world.pass(HOUR_MS);
  const at = request("192.0.2.9");
  const { backendData } = request("192.0.2.1").parts[0]!;
  const moved = await registry.acquire({ ...at, parts: [{ ...at.parts[0]!, backendData }] }, { signal });
  assertEquals([moved.since, moved.dataSince], [since, since]);
  assertEquals(moved.addressSince, world.nowMs);
  world.pass(HOUR_MS);
  const renamed = await registry.acquire(at, { signal });
  assertEquals([renamed.since, renamed.dataSince, renamed.addressSince], [
    since,
    world.nowMs,
    moved.addressSince,
  ]);
  // As another process reads it.
  assertEquals(await world.open("192.0.2.1").previous(at, { signal }), renamed);
});

Deno.test("acquire() finds the own lease again after the process has ended", async () => {
  await using world = new LocalWorld();
  const first = world.open("192.0.2.1");
  const before = await first.acquire(request("192.0.2.1"), { signal });
  first[Symbol.dispose]();
  const after = await world.open("192.0.2.1").acquire(request("192.0.2.1"), { signal });
  assertEquals(subnets(after), subnets(before));
});

Deno.test("acquire() gives up a subnet that the configuration no longer allows, and says so", async () => {
  await using world = new LocalWorld();
  await world.open("192.0.2.1").acquire(request("192.0.2.1"), { signal });
  const longer = subnetsOf("10.244.0.0/16", 26, "10.244.0.64", "10.244.255.192");
  const lease = await world.open("192.0.2.1", { families: [longer] }).acquire(request("192.0.2.1"), {
    signal,
  });
  assertMatch(subnets(lease)![0]!, /\/26$/);
  assertEquals(world.events.map(({ event }) => event), ["own subnet not kept"]);
  const elsewhere = subnetsOf("10.9.0.0/16", 26, "10.9.0.64", "10.9.255.192");
  const moved = await world.open("192.0.2.1", { families: [elsewhere] }).acquire(request("192.0.2.1"), {
    signal,
  });
  assertMatch(subnets(moved)![0]!, /^10\.9\./);
});

Deno.test("acquire() adds a family to the lease and takes one away, and keeps the other's subnet", async () => {
  await using world = new LocalWorld();
  const one = await world.open("h").acquire(request("192.0.2.1"), { signal });
  const both = world.open("h", { families: [IPV4, IPV6] });
  const two = await both.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  assertEquals([two.parts.length, subnets(two)![0]], [2, subnets(one)![0]]);
  const only6 = await world.open("h", { families: [IPV6] }).acquire(request("2001:db8::1"), { signal });
  assertEquals(subnets(only6), [subnets(two)![1]!]);
  assertEquals((await both.previous(request("192.0.2.1"), { signal }))?.parts.length, 1);
});

Deno.test("acquire() takes the previous subnet if it is free, and the own lease before it", async () => {
  await using world = new LocalWorld();
  const options = { previousSubnets: [parsePrefix("10.244.77.0/24")] };
  const lease = await world.open("a", options).acquire(request("192.0.2.1"), { signal });
  assertEquals(subnets(lease), ["10.244.77.0/24"]);
  const other = { previousSubnets: [parsePrefix("10.244.78.0/24")] };
  assertEquals(
    subnets(await world.open("a", other).acquire(request("192.0.2.1"), { signal })),
    subnets(lease),
  );
});

const notReused: [previous: string, why: string][] = [
  ["10.244.77.0/24", "another host holds it"],
  ["10.244.76.0/23", "it overlaps another host's"],
  ["10.244.0.0/24", "it is below the first subnet"],
  ["10.9.1.0/24", "it is in another network"],
  ["10.244.80.0/25", "it has another length"],
];

for (const [previous, why] of notReused) {
  Deno.test(`acquire() does not take the previous subnet ${previous}, because ${why}`, async () => {
    await using world = new LocalWorld();
    await world.open("a", { previousSubnets: [parsePrefix("10.244.77.0/24")] })
      .acquire(request("192.0.2.1"), { signal });
    const lease = await world.open("b", { previousSubnets: [parsePrefix(previous)] })
      .acquire(request("192.0.2.2"), { signal });
    assertMatch(subnets(lease)![0]!, /^10\.244\.\d+\.0\/24$/);
    assertNotEquals(subnets(lease), ["10.244.77.0/24"]);
    assertEquals(world.events.map(({ event }) => event), ["previous subnet not taken"]);
  });
}

Deno.test("acquire() takes again what this process held when its lease is gone from the registry", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a");
  const lease = await registry.acquire(request("192.0.2.1"), { signal });
  world.sql("DELETE FROM lease");
  assertEquals(await registry.previous(request("192.0.2.1"), { signal }), undefined);
  assertEquals(subnets(await registry.acquire(request("192.0.2.1"), { signal })), subnets(lease));
});

Deno.test("acquire() gives every subnet to one host each, and refuses the next with what to do", async () => {
  await using world = new LocalWorld();
  const held: string[] = [];
  for (const n of [1, 2]) {
    const lease = await world.open(`h${n}`, { families: [SMALL] }).acquire(request(`192.0.2.${n}`), {
      signal,
    });
    held.push(...subnets(lease)!);
  }
  assertEquals(held.toSorted(), ["10.244.2.0/24", "10.244.3.0/24"]);
  const late = world.open("h3", { families: [SMALL] });
  const error = await assertRejects(() => late.acquire(request("192.0.2.3"), { signal }), RegistryError);
  assertEquals(
    error.message,
    `Cannot take a subnet of 10.244.0.0/22 in ${world.path}: all are held, subnets are /24 from 10.244.2.0 ` +
      "to 10.244.3.0; make the network larger or the subnets smaller, or remove hosts",
  );
  world.pass(25 * HOUR_MS);
  assertEquals((await late.acquire(request("192.0.2.3"), { signal })).parts.length, 1);
});

Deno.test("acquire() leaves no part of a lease behind when the second family has no free subnet", async () => {
  await using world = new LocalWorld();
  const one = subnetsOf("fd00:244::/62", 64, "fd00:244:0:1::", "fd00:244:0:1::");
  const families = [IPV4, one];
  await world.open("a", { families }).acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  const late = world.open("b", { families });
  await assertRejects(() => late.acquire(request("192.0.2.2", "2001:db8::2"), { signal }), RegistryError);
  assertEquals(await late.previous(request("192.0.2.1"), { signal }), undefined);
});

Deno.test("acquire() keeps a reservation, a lease that was made by hand without an end", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a");
  await registry.acquire(request("192.0.2.1"), { signal });
  world.sql("UPDATE lease SET expires_at_ms = NULL");
  const lease = await registry.acquire(request("192.0.2.1"), { signal });
  assertEquals("expiresAtMs" in lease, false);
});

Deno.test("acquire() refuses backend data that others would not read", async () => {
  await using world = new LocalWorld();
  const parts = [{ ...request("192.0.2.1").parts[0]!, backendData: "x".repeat(4096) }];
  const asked = world.open("a").acquire({ ...request("192.0.2.1"), parts }, { signal });
  await assertRejects(
    () => asked,
    RegistryError,
    "the backend data has 4098 bytes, and others read at most 4096",
  );
});

Deno.test("acquire() refuses a request without an address for a family of the configuration", async () => {
  await using world = new LocalWorld();
  const asked = world.open("a", { families: [IPV6] }).acquire(request("192.0.2.1"), { signal });
  await assertRejects(
    () => asked,
    RegistryError,
    "no underlay address of a family in use was given",
  );
  assertEquals(IPV6.family, AF_INET6);
});

Deno.test("acquire() throws the reason of a signal that has aborted", async () => {
  await using world = new LocalWorld();
  const reason = new DOMException("enough", "AbortError");
  const asked = world.open("a").acquire(request("192.0.2.1"), { signal: AbortSignal.abort(reason) });
  assertEquals(await asked.catch((error) => error), reason);
});
