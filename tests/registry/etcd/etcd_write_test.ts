import { assert, assertEquals } from "@std/assert";
import {
  absent,
  EtcdWriter,
  noneSince,
  removeUnchanged,
  unchanged,
} from "../../../src/registry/etcd/etcd_write.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { signal } from "./etcd_world.ts";

let server: EtcdServer;
let nowMs = 1_000_000;
Deno.test.beforeAll(async () => {
  server = await EtcdServer.open();
});
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

function writerFor(ttlMs: number): EtcdWriter {
  return new EtcdWriter(server.client, { ttlMs, now: () => nowMs++, tokens: new Set() });
}

async function entryAt(key: string) {
  return (await server.client.range(key, { signal, isOneKey: true })).entries[0];
}

Deno.test("EtcdWriter.putLiving() writes a key that is absent, and not over one that is there", async () => {
  const writer = writerFor(60_000);
  const before = nowMs;
  const written = await writer.putLiving("/w/1", "a", [absent("/w/1")], { signal });
  assertEquals(written!.expiresAtMs, before + 60_000);
  assertEquals(await writer.putLiving("/w/1", "b", [absent("/w/1")], { signal }), undefined);
  assertEquals((await entryAt("/w/1"))!.value, "a");
});

Deno.test("EtcdWriter and removeUnchanged() write what is as it was seen, and nothing else", async () => {
  const writer = writerFor(60_000);
  await writer.putLiving("/w/2", "a", [], { signal });
  const seen = (await entryAt("/w/2"))!;
  assert(await writer.putLasting("/w/2", "b", [unchanged(seen)], { signal }) !== undefined);
  assertEquals(await writer.putLasting("/w/2", "c", [unchanged(seen)], { signal }), undefined);
  assertEquals(await removeUnchanged(server.client, seen, { signal }), false);
  const now = (await entryAt("/w/2"))!;
  assertEquals([now.value, now.lease], ["b", "0"]);
  assertEquals(await removeUnchanged(server.client, now, { signal }), true);
  assertEquals(await entryAt("/w/2"), undefined);
});

Deno.test("noneSince() holds while no key of a range was made later, though others were changed, or made elsewhere", async () => {
  const writer = writerFor(60_000);
  await server.put("/w/range/b", "1");
  const { revision } = await server.client.range("/w/range/", { signal });
  const compare = [noneSince(revision, "/w/range/b", "/w/range/d")];
  await server.put("/w/range/b", "2");
  await server.put("/w/range/d", "1");
  assert(await writer.putLiving("/w/elsewhere", "", compare, { signal }) !== undefined);
  await server.put("/w/range/c", "1");
  assertEquals(await writer.putLiving("/w/elsewhere", "", compare, { signal }), undefined);
});

Deno.test("EtcdWriter.keepAlive() knows a lease that has ended, and one of another length", async () => {
  const writer = writerFor(60_000);
  const [same, other] = [
    await server.client.grant(60, { signal }),
    await server.client.grant(90, { signal }),
  ];
  const before = nowMs;
  assertEquals(await writer.keepAlive(same, { signal }), before + 60_000);
  assertEquals(await writer.keepAlive(other, { signal }), undefined);
  assertEquals(await writer.keepAlive("77", { signal }), undefined);
});

Deno.test("EtcdWriter.release() gives back a lease that nothing lives by, and keeps one that a key does", async () => {
  const before = (await server.leases()).length;
  const loser = writerFor(60_000);
  await server.put("/w/4", "");
  await loser.putLiving("/w/4", "", [absent("/w/4")], { signal });
  await loser.putLiving("/w/4", "", [absent("/w/4")], { signal });
  assertEquals((await server.leases()).length, before + 1, "granted once");
  await loser.release({ signal });
  assertEquals((await server.leases()).length, before);
  const winner = writerFor(60_000);
  await winner.putLiving("/w/5", "", [absent("/w/5")], { signal });
  await winner.release({ signal });
  assert(await entryAt("/w/5") !== undefined);
  await writerFor(60_000).release({ signal });
});
