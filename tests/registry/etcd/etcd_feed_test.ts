import { assertEquals, assertLess } from "@std/assert";
import { EtcdFeed } from "../../../src/registry/etcd/etcd_feed.ts";
import type { EtcdChange } from "../../../src/registry/etcd/etcd_wire.ts";
import { flannelValue } from "./etcd_world.ts";

const FOLDER = "/net/subnets/";
const NOTHING = { count: 0, names: [] };
const HEADER = { clusterId: "1", revision: 10 };

function change(name: string, modRevision: number, { value, createRevision = modRevision }: {
  value?: string;
  createRevision?: number;
}): EtcdChange {
  const entry = { key: FOLDER + name, value: value ?? "", modRevision, createRevision, lease: "0" };
  return { entry, isDeletion: value === undefined };
}

Deno.test("EtcdFeed counts keys that are no leases', and names some of them", () => {
  const feed = new EtcdFeed(FOLDER);
  const names = Array.from({ length: 10 }, (_, at) => `junk${at}`);
  feed.readAll({ header: HEADER, entries: [], strangers: { count: 12, names }, unread: NOTHING });
  assertEquals([feed.faults.length, feed.known], [11, { count: 12, latest: undefined }]);
  assertEquals(feed.read(change("junk3", 11, {})), undefined);
  assertEquals(feed.read(change("more", 12, { value: "0123456789" })), undefined);
  assertEquals(feed.read(change("more", 13, { value: "9876543210", createRevision: 12 })), undefined);
  assertEquals(feed.known.count, 12);
  assertEquals(feed.faults.slice(-2), [
    { host: "more", reason: "its key is not that of a lease, as 10.5.1.0-24" },
    { host: "2 more keys", reason: "they are not those of leases", count: 2 },
  ]);
  feed.read(change("10.5.1.0-24", 14, { value: flannelValue("192.0.2.1") }));
  const latest = { key: `${FOLDER}10.5.1.0-24`, modRevision: 14 };
  assertEquals(feed.known, { count: 13, latest });
  assertEquals([14, 15].map((modRevision) => feed.isTold({ key: latest.key, modRevision })), [true, false]);
  assertEquals(feed.isTold({ key: `${FOLDER}junk99`, modRevision: 99 }), true, "there is nothing to tell");
});

Deno.test("EtcdFeed names leases that are too much to be read", () => {
  const feed = new EtcdFeed(FOLDER);
  const unread = { count: 3, names: ["10.5.1.0-24"] };
  feed.readAll({ header: HEADER, entries: [], strangers: NOTHING, unread });
  assertEquals(feed.faults, [
    { host: "10.5.1.0-24", reason: "all leases together are too large to be read" },
    { host: "2 more leases", reason: "they are too large together to be read", count: 2 },
  ]);
  assertEquals(feed.known.count, 3);
});

Deno.test("EtcdFeed reads 30,000 other keys, and asks for faults each time, in a moment", () => {
  const feed = new EtcdFeed(FOLDER);
  const startedMs = performance.now();
  for (let at = 0; at < 30_000; at++) {
    feed.read(change(`junk${at}`, at + 1, { value: "0123456789" }));
    void feed.faults;
  }
  assertEquals(feed.faults.at(-1)!.count, 29_990);
  // Built whole each time it takes half a minute.
  assertLess(performance.now() - startedMs, 5000);
});
