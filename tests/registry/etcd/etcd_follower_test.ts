import { assert, assertEquals } from "@std/assert";
import { waitUntil } from "../../../src/lab/wait.ts";
import type { LeaseUpdate } from "../../../src/model/lease.ts";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import { Membership } from "../../../src/registry/membership.ts";
import { EtcdFront, EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, request, signal } from "./etcd_world.ts";

const NET = "/coreos.com/network";
const BEAT_MS = 200;

function isSnapshot(update: LeaseUpdate): boolean {
  return update.kind === "snapshot";
}

function isHeld(host: string): (update: LeaseUpdate) => boolean {
  return (update) =>
    update.kind === "held" && update.lease.host === host ||
    update.kind === "snapshot" && update.leases.some((lease) => lease.host === host);
}

function subnet(third: number): [key: string, value: string] {
  return [`${NET}/subnets/10.5.${third}.0-24`, flannelValue(`192.0.2.${third}`)];
}

async function soon<T>(what: string, isIt: () => T | undefined, host: EtcdHost): Promise<T> {
  return await waitUntil(
    what,
    isIt,
    { deadlineMs: 30_000, signal },
    () => JSON.stringify([host.said, host.updates.map(({ kind }) => kind), host.registry.contact.reason]),
  );
}

/** Moves etcd's revision on by writing something else. */
async function write(server: EtcdServer, times: number): Promise<void> {
  for (let at = 0; at < times; at++) await server.put("/elsewhere", String(at));
}

/** Who is in the overlay, as the host was told. */
function hostsOf({ updates }: EtcdHost): string[] {
  const set = new LeaseSet();
  for (const update of updates) set.apply(update);
  return set.all!.map(({ host }) => host).sort();
}

const restores: [how: string, writes: number, options: { token?: string }][] = [
  ["at a smaller revision", 0, {}],
  ["and is further than before by the time that it is heard", 80, {}],
  ["and is another cluster now", 0, { token: "restored" }],
];

for (const [how, writes, options] of restores) {
  Deno.test(`an etcd that was restored from a backup is read anew, where it is ${how}`, async () => {
    await using server = await EtcdServer.open();
    await server.put(...subnet(7));
    const backup = await server.backUp();
    await write(server, 50);
    await server.put(...subnet(8));
    await using front = new EtcdFront(server);
    using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
      addresses: ["192.0.2.1"],
      beatMs: BEAT_MS,
    });
    host.follow();
    await soon("follow", () => host.registry.contact.reason === undefined || undefined, host);
    assertEquals(hostsOf(host), ["10.5.7.0-24", "10.5.8.0-24"]);
    // Nobody is let in meanwhile: the host meets what has become of etcd.
    await front.whileClosed(async () => {
      await server.restore(backup, options);
      await server.put(...subnet(9));
      await write(server, writes);
    });
    await host.heard("who has joined", isHeld("10.5.9.0-24"));
    assertEquals(hostsOf(host), ["10.5.7.0-24", "10.5.9.0-24"]);
    await server.put(...subnet(10));
    await host.heard("who joins then", isHeld("10.5.10.0-24"));
    assertEquals(host.updates.filter(isSnapshot).length, 2);
    assertEquals(host.registry.conditions, []);
  });
}

Deno.test("an etcd that was restored is read anew though what stands before it has kept the watch open", async () => {
  await using server = await EtcdServer.open();
  await server.put(...subnet(7));
  const backup = await server.backUp();
  await write(server, 50);
  await using front = new EtcdFront(server);
  front.keepWatches();
  using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs: BEAT_MS,
  });
  host.follow();
  await soon("follow", () => host.registry.contact.reason === undefined || undefined, host);
  front.between("kv/range", async () => {
    await server.restore(backup);
    await server.put(...subnet(9));
  });
  await host.heard("who has joined", isHeld("10.5.9.0-24"));
  assertEquals(hostsOf(host), ["10.5.7.0-24", "10.5.9.0-24"]);
});

Deno.test("a watch that is kept open and tells nothing is found out, and all is read anew", async () => {
  await using server = await EtcdServer.open();
  await server.put(...subnet(7));
  await using front = new EtcdFront(server);
  using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs: BEAT_MS,
    proofMs: 500,
  });
  host.follow();
  await soon("follow", () => host.registry.contact.reason === undefined || undefined, host);
  front.mute();
  await server.put(...subnet(9));
  await host.heard("who has joined", isHeld("10.5.9.0-24"));
  assertEquals(hostsOf(host), ["10.5.7.0-24", "10.5.9.0-24"]);
  assert(host.updates.length < 5);
});

Deno.test("a watch is left alone that has told all, and by a member that is behind the others", async () => {
  await using server = await EtcdServer.open();
  await server.put(...subnet(7));
  await write(server, 9);
  await using front = new EtcdFront(server);
  front.rewrite("lease/keepalive", (answer) => answer.replace(/"revision":"\d+"/, '"revision":"2"'));
  using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs: 50,
    proofMs: 100,
  });
  const { host: own } = await host.registry.acquire(request("192.0.2.1"), { signal });
  host.follow();
  const asked = (method: string) => front.asked.filter((one) => one === method).length;
  await soon("beat and prove", () => asked("lease/keepalive") > 20 || undefined, host);
  await server.put(...subnet(9));
  await host.heard("the next change", isHeld("10.5.9.0-24"));
  assertEquals(hostsOf(host), [own, "10.5.7.0-24", "10.5.9.0-24"].sort());
  assertEquals([host.updates.filter(isSnapshot).length, asked("watch")], [1, 1]);
  assert(asked("kv/range") < asked("lease/keepalive") * 2 + 5, front.asked.join(" "));
});

Deno.test("a watch that was cut goes on where it was, without reading all anew", async () => {
  await using server = await EtcdServer.open();
  await server.putAll([...Array(20).keys()].map((third) => subnet(third)));
  await server.put(`${NET}/subnets/notes`, "hello");
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"], beatMs: BEAT_MS });
  host.follow();
  await soon("follow", () => host.registry.contact.reason === undefined || undefined, host);
  for (let time = 0; time < 3; time++) {
    await server.delete(subnet(time)[0]);
    await server.put(`${NET}/subnets/notes${time}`, "hello");
    await write(server, 5);
    await server.stop();
    await server.start();
    await server.put(...subnet(100 + time));
    await host.heard("what has changed", isHeld(`10.5.${100 + time}.0-24`));
  }
  assertEquals([host.updates.filter(isSnapshot).length, hostsOf(host).length], [1, 20]);
});

Deno.test("a host takes its lease again that an etcd lacks which was restored, with the subnet that it had", async () => {
  await using server = await EtcdServer.open();
  const backup = await server.backUp();
  using host = new EtcdHost(server, NET, { addresses: ["192.0.2.1"], beatMs: BEAT_MS });
  const leases = new LeaseSet();
  const membership = new Membership({
    registry: host.registry,
    leases,
    request: () => request("192.0.2.1"),
    changed: () => {},
    now: () => Date.now(),
    elapsedMs: () => performance.now(),
    log: { write: () => {} },
  }, { renewMarginMs: 3_600_000 });
  const ended = new AbortController();
  const running = Promise.all([membership.hold(ended), membership.follow(ended)]);
  const own = await soon("have a lease", () => leases.all?.[0]?.host, host);
  await server.restore(backup);
  await server.put(...subnet(own === "10.5.9.0-24" ? 10 : 9));
  await waitUntil("have it again", async () => {
    return (await server.list(`${NET}/subnets/${own}`))[`${NET}/subnets/${own}`];
  }, { deadlineMs: 30_000, signal });
  await soon("know it", () => leases.all!.length === 2 || undefined, host);
  assertEquals(membership.own!.host, own);
  ended.abort();
  await running;
});

Deno.test("of two clusters behind one name one is followed, and that there are two is said", async () => {
  await using one = await EtcdServer.open();
  await using two = await EtcdServer.open();
  const backup = await two.backUp();
  await two.restore(backup, { token: "another" });
  await one.put(...subnet(7));
  await two.put(...subnet(8));
  await using front = new EtcdFront(one, two);
  using host = new EtcdHost({ access: { endpoints: [front.url], tls: {} } }, NET, {
    addresses: ["192.0.2.1"],
    beatMs: 50,
  });
  host.follow();
  await soon("tell that there are two", () => host.registry.conditions[0], host);
  assertEquals(host.registry.conditions[0]!.code, "registry-mixed");
  const asked = front.asked.length;
  await soon("be asked on", () => front.asked.length > asked + 100 || undefined, host);
  // It may have been told of both worlds in the beginning; then it stays with one.
  assert(host.updates.filter(isSnapshot).length <= 2, JSON.stringify(host.said));
  const [known] = hostsOf(host);
  const followed = known === "10.5.7.0-24" ? one : two;
  await followed.put(...subnet(20));
  await host.heard("what changes there", isHeld("10.5.20.0-24"));
  assertEquals(hostsOf(host), [known, "10.5.20.0-24"].sort());
});
