import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { releaseLeases } from "../../../src/registry/local/local_changes.ts";
import { LocalFile } from "../../../src/registry/local/local_file.ts";
import { LocalReader } from "../../../src/registry/local/local_reader.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import { parseAddress } from "../../../src/model/address.ts";
import type { LeaseUpdate } from "../../../src/model/lease.ts";
import { LocalWorld, request, seedLeases, Watcher } from "./local_world.ts";

const { signal } = new AbortController();
const HOUR_MS = 3_600_000;

Deno.test("watch() begins with a snapshot, then says who holds and who released a subnet", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a");
  const own = await registry.acquire(request("192.0.2.1"), { signal });
  await using watcher = new Watcher(registry);
  assertEquals(await watcher.next(), { kind: "snapshot", leases: [own] });
  const other = world.open("b");
  const lease = await other.acquire(request("192.0.2.2"), { signal });
  assertEquals(await watcher.next(), { kind: "held", lease });
  const [held] = await other.held({ addresses: new Set([parseAddress("192.0.2.2")]) }, { signal });
  assertEquals(await held!.release({ signal }), true);
  assertEquals(await watcher.next(), { kind: "released", host: "b" });
  const back = await other.acquire(request("192.0.2.2"), { signal });
  assertEquals(await watcher.next(), { kind: "held", lease: back });
});

Deno.test("watch() says what this process writes as well", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a", { pollMs: 60_000 });
  await using watcher = new Watcher(registry);
  assertEquals(await watcher.next(), { kind: "snapshot", leases: [] });
  const update = watcher.next();
  const lease = await registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(await update, { kind: "held", lease });
});

Deno.test("watch() releases what has ended, once for all hosts, and lets an agent that starts renew first", async () => {
  await using world = new LocalWorld();
  const silent = { beatMs: Infinity };
  const [a, b] = [world.open("a", silent), world.open("b", silent)];
  await a.acquire(request("192.0.2.1"), { signal });
  await b.acquire(request("192.0.2.2"), { signal });
  await using watchA = new Watcher(a);
  await using watchB = new Watcher(b);
  for (const watcher of [watchA, watchB]) assertEquals((await watcher.next()).kind, "snapshot");
  world.pass(23 * HOUR_MS);
  await b.acquire(request("192.0.2.2"), { signal });
  for (const watcher of [watchA, watchB]) assertEquals((await watcher.next()).kind, "held");
  world.pass(HOUR_MS);
  const released: LeaseUpdate = { kind: "released", host: "a" };
  for (const watcher of [watchA, watchB]) assertEquals(await watcher.next(), released);
  assertEquals(world.events.filter(({ event }) => event === "lease expired").length, 1);
});

Deno.test("watch() ends nobody's lease in its first minute", async () => {
  await using world = new LocalWorld();
  await world.open("a").acquire(request("192.0.2.1"), { signal });
  world.pass(25 * HOUR_MS);
  await using watcher = new Watcher(world.open("b"));
  const snapshot = await watcher.next();
  assertEquals(snapshot.kind === "snapshot" && snapshot.leases.map(({ host }) => host), ["a"]);
  const next = watcher.next();
  world.pass(61_000);
  assertEquals(await next, { kind: "released", host: "a" });
});

Deno.test("watch() renews the own lease when the clock is set ahead, and ends nobody's for a minute", async () => {
  await using world = new LocalWorld();
  const [a, b] = [world.open("a"), world.open("b")];
  await a.acquire(request("192.0.2.1"), { signal });
  await b.acquire(request("192.0.2.2"), { signal });
  await using watcher = new Watcher(a);
  await watcher.next();
  const next = watcher.next();
  world.elapsedMs += 120_000;
  world.nowMs += 300 * 24 * HOUR_MS;
  const update = await next;
  assert(update.kind === "held" && update.lease.host === "a");
  assertEquals(update.lease.expiresAtMs, world.nowMs + 24 * HOUR_MS);
  const released = watcher.next();
  world.pass(61_000);
  assertEquals(await released, { kind: "released", host: "b" });
});

Deno.test("watch() starts over with a snapshot when it was away for more releases than are remembered", async () => {
  await using world = new LocalWorld();
  seedLeases(world.path, 1100, world.nowMs + HOUR_MS);
  await using watcher = new Watcher(world.open("a"));
  assertEquals((await watcher.next()).kind, "snapshot");
  using other = world.open("b");
  await other.acquire(request("192.0.2.2"), { signal });
  using file = new LocalFile(world.path);
  for (let n = 1; n <= 1100; n++) releaseLeases(file, "host = ?", `host-${n}`);
  const update = await watcher.next();
  assertEquals(update.kind === "snapshot" && update.leases.map(({ host }) => host), ["b"]);
});

Deno.test("watch() ends when its signal aborts, however long it would have waited", async () => {
  await using world = new LocalWorld();
  const controller = new AbortController();
  const updates = world.open("a", { pollMs: 3_600_000 }).watch({ signal: controller.signal });
  assertEquals((await updates.next()).done, false);
  const end = updates.next();
  controller.abort();
  assertEquals((await end).done, true);
});

Deno.test("watch() ends when the registry is closed, and acquire() says that it is", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a", { pollMs: 3_600_000 });
  const updates = registry.watch({ signal });
  await updates.next();
  const end = updates.next();
  registry[Symbol.dispose]();
  assertEquals((await end).done, true);
  await assertRejects(
    () => registry.acquire(request("192.0.2.1"), { signal }),
    RegistryError,
    "it is closed",
  );
});

Deno.test("watch() reads 20,000 leases in under a second, and a look at an unchanged file costs under 1 ms", async () => {
  await using world = new LocalWorld();
  seedLeases(world.path, 20_000, world.nowMs + HOUR_MS);
  const registry = world.open("a");
  const startedMs = performance.now();
  await using watcher = new Watcher(registry);
  const snapshot = await watcher.next();
  assertEquals(snapshot.kind === "snapshot" && snapshot.leases.length, 20_000);
  assertLess(performance.now() - startedMs, 1000);

  using file = new LocalFile(world.path);
  const deps = {
    now: () => 0,
    elapsedMs: () => 0,
    random: () => 0n,
    log: { write: () => {} },
  };
  const reader = new LocalReader(file, { ...deps, host: () => "a", ttlMs: HOUR_MS, refused: () => {} });
  reader.read();
  const unchangedMs = performance.now();
  for (let n = 0; n < 1000; n++) assertEquals(reader.read(), []);
  assertLess(performance.now() - unchangedMs, 1000);
});
