import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { listLeases } from "../../../src/registry/etcd/etcd_list.ts";
import { waitUntil } from "../../../src/lab/wait.ts";
import { EtcdFront, EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, signal } from "./etcd_world.ts";

const NET = "/coreos.com/network";
const JUNK = "x".repeat(1_400_000);

function subnet(at: number): [key: string, value: string] {
  return [`${NET}/subnets/10.${5 + (at >> 8)}.${at & 255}.0-24`, flannelValue(`192.0.2.${at & 127}`)];
}

async function fill(server: EtcdServer, leases: number): Promise<void> {
  for (let at = 0; at < leases; at += 100) {
    await server.putAll([...Array(Math.min(100, leases - at)).keys()].map((next) => subnet(at + next)));
  }
}

function through(front: EtcdFront, beatMs = 10_000): EtcdHost {
  return new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs,
  });
}

Deno.test("listLeases() reads thousands of leases in pages, as of one moment", async () => {
  await using server = await EtcdServer.open();
  await fill(server, 3000);
  await server.put(`${NET}/subnets/notes`, "hello");
  await using front = new EtcdFront(server);
  using host = through(front);
  // What changes while it is read comes behind it.
  const changing = server.put(...subnet(3001));
  const list = await listLeases(host.client, `${NET}/subnets/`, { signal });
  await changing;
  assert(front.asked.length > 1 && front.asked.length < 6, front.asked.join(" "));
  assert(list.entries.length === 3000 || list.entries.length === 3001);
  assertEquals(new Set(list.entries.map(({ key }) => key)).size, list.entries.length);
  assertEquals(list.strangers, { count: 1, names: ["notes"] });
});

Deno.test("listLeases() begins anew where etcd has compacted what it began with", async () => {
  await using server = await EtcdServer.open();
  await fill(server, 1200);
  await using front = new EtcdFront(server);
  using host = through(front);
  let hasCompacted = false;
  front.between("kv/range", () => {
    front.between("kv/range", async () => {
      await server.put(...subnet(0));
      await server.compact();
      hasCompacted = true;
    });
    return Promise.resolve();
  });
  const list = await listLeases(host.client, `${NET}/subnets/`, { signal });
  assertEquals([hasCompacted, list.entries.length], [true, 1200]);
});

Deno.test("values of megabytes cost their hosts only, as they are listed and as they are watched", async () => {
  await using server = await EtcdServer.open();
  await server.put(...subnet(7));
  for (let at = 0; at < 12; at++) await server.put(subnet(20 + at)[0], JUNK);
  await server.put(`${NET}/subnets/${"k".repeat(60_000)}`, JUNK);
  await server.put(`${NET}/subnets/10.5.99.0-24`, flannelValue("192.0.2.99"));
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"] });
  host.follow();
  const first = await host.heard("a snapshot", ({ kind }) => kind === "snapshot");
  assert(first.kind === "snapshot");
  assertEquals(first.leases.map(({ host }) => host), ["10.5.7.0-24", "10.5.99.0-24"]);
  const faults = host.registry.faults;
  assertEquals(faults.length, 13);
  const reason = "its value has 1400001 bytes, and at most 8192 are read";
  assertEquals(faults[0], { host: "10.5.20.0-24", reason });
  assertStringIncludes(faults.at(-1)!.reason, "its key is not that of a lease");
  await server.put(subnet(40)[0], JUNK);
  await server.put(...subnet(41));
  await host.heard(
    "what comes behind it",
    (update) => update.kind === "held" && update.lease.host === "10.5.41.0-24",
  );
  assertEquals(host.registry.faults.find(({ host }) => host === "10.5.40.0-24")?.reason, reason);
  assertEquals(host.updates.filter(({ kind }) => kind === "snapshot").length, 1);
});

Deno.test("a whole list may take as long as the line needs for it, and other answers must not be silent", async () => {
  await using server = await EtcdServer.open();
  await fill(server, 5000);
  await using front = new EtcdFront(server);
  // 2 Mbit/s.
  front.slow(250_000);
  using host = through(front, 1000);
  const startedMs = performance.now();
  host.follow();
  const first = await host.heard("a snapshot", ({ kind }) => kind === "snapshot");
  assert(first.kind === "snapshot" && first.leases.length === 5000);
  assert(performance.now() - startedMs > 5000, "the line was not slow");
  await server.put(...subnet(5001));
  await host.heard("the next change", ({ kind }) => kind === "held");
});

Deno.test("an answer that comes byte by byte is ended, and said to be too slow", async () => {
  await using server = await EtcdServer.open();
  await fill(server, 100);
  await using front = new EtcdFront(server);
  front.slow(1);
  using host = through(front);
  host.follow();
  const reason = await waitUntil(
    "say why",
    () => host.registry.contact.reason?.includes("slowly") ? host.registry.contact.reason : undefined,
    { deadlineMs: 60_000, signal },
    () => String(host.registry.contact.reason),
  );
  assertStringIncludes(reason, `etcd at ${front.url} answers too slowly`);
});
