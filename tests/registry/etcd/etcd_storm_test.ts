import { assertEquals } from "@std/assert";
import { waitUntil } from "../../../src/lab/wait.ts";
import { pause } from "../../../src/loop/pause.ts";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import { readEntry } from "../../../src/registry/etcd/etcd_format.ts";
import { listLeases } from "../../../src/registry/etcd/etcd_list.ts";
import { EtcdFront, EtcdServer } from "../../double/etcd.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";
import { EtcdHost, flannelValue, signal } from "./etcd_world.ts";

const NET = "/coreos.com/network";
const FOLDER = `${NET}/subnets/`;
const ROUNDS = 150;

Deno.test(`whatever befalls etcd and the way to it, a host knows in the end what is there, seed ${SEED}`, async () => {
  const random = seededRandom(SEED);
  await using server = await EtcdServer.open();
  await using front = new EtcdFront(server);
  using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs: 200,
    proofMs: 1000,
  });
  const key = () => `${FOLDER}10.5.${Math.floor(random() * 30)}.0-24`;
  const value = () => flannelValue(`192.0.2.${Math.floor(random() * 99)}`);
  let backup = await server.backUp();
  const deeds: readonly [weight: number, deed: () => Promise<unknown>][] = [
    [20, () => server.put(key(), value())],
    [10, () => server.delete(key())],
    [5, () => server.put(key(), pick(random, ["", "{", "x".repeat(20_000)]))],
    [5, () => server.put(`${FOLDER}junk${Math.floor(random() * 30)}`, "0123456789")],
    [3, () => server.delete(`${FOLDER}junk${Math.floor(random() * 30)}`)],
    [5, () => server.put("/elsewhere", String(random()))],
    // Nothing may have changed since the last time.
    [3, () => server.compact().catch(() => {})],
    [2, async () => backup = await server.backUp()],
    [1, () => server.restore(backup)],
    [1, () => server.restore(backup, { token: `t${Math.floor(random() * 1000)}` })],
    [2, async () => {
      await server.stop();
      await server.start();
    }],
    [3, () => front.whileClosed(() => server.put(key(), value()))],
    [2, async () => {
      front.freeze();
      await pause(random() * 100);
      front.thaw();
    }],
    [2, () => {
      front.loseAnswer(pick(random, ["kv/range", "watch"]));
      return Promise.resolve();
    }],
    [2, () => {
      front.cut();
      return Promise.resolve();
    }],
    [20, () => pause(random() * 50)],
  ];
  const hat = deeds.flatMap(([weight, deed]) => Array(weight).fill(deed) as (() => Promise<unknown>)[]);
  host.follow();
  for (let round = 0; round < ROUNDS; round++) await pick(random, hat)();
  // What the host knows is what a fresh start would find: leases, and what is no lease.
  const found = async () => {
    const { entries, strangers } = await listLeases(server.client, FOLDER, { signal });
    const readings = entries.map((entry) => [entry.key.slice(FOLDER.length), entry] as const);
    return {
      leases: readings.filter(([name, entry]) => "lease" in readEntry(name, entry)).map(([name]) => name),
      faults: strangers.count + readings.filter(([name, entry]) => "reason" in readEntry(name, entry)).length,
    };
  };
  const known = () => {
    const set = new LeaseSet();
    for (const update of host.updates) set.apply(update);
    const leases = (set.all ?? []).map(({ host }) => host).sort();
    return { leases, faults: host.registry.faults.reduce((sum, { count = 1 }) => sum + count, 0) };
  };
  await waitUntil(
    "know what is there",
    async () => {
      const there = await found();
      return JSON.stringify(there) === JSON.stringify(known()) || undefined;
    },
    { deadlineMs: 120_000, signal },
    () => JSON.stringify([SEED, known(), host.registry.contact.reason, host.said.slice(-5)]),
  );
  await waitUntil("follow", () => host.registry.contact.reason === undefined || undefined, {
    deadlineMs: 30_000,
    signal,
  });
  assertEquals(known(), await found());
});
