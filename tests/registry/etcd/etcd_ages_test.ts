import { assertEquals } from "@std/assert";
import { LeaseSet } from "../../../src/registry/lease_set.ts";
import type { Lease } from "../../../src/model/lease.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { EtcdHost, flannelValue, request, signal } from "./etcd_world.ts";

const MAC = "aa:bb:cc:dd:ee:ff";
let server: EtcdServer;
let serial = 0;
Deno.test.beforeAll(async () => {
  server = await EtcdServer.open();
});
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

function fresh(): string {
  return `/test/${++serial}`;
}

/** All leases, those first that have published their data for longer, as one host has seen it since it began. */
async function order(host: EtcdHost): Promise<string[]> {
  await host.heard("a snapshot", ({ kind }) => kind === "snapshot");
  const set = new LeaseSet();
  for (const update of host.updates) set.apply(update);
  return set.all!.map(({ host }) => host);
}

/** The same as a host sees it that starts now, and remembers nothing. */
async function freshOrder(prefix: string): Promise<string[]> {
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.99"] });
  host.follow();
  return await order(host);
}

Deno.test("a claim on another host's MAC stands behind that host's, however old its key is, and after a restart", async () => {
  const prefix = fresh();
  const [older, victim] = ["10.5.2.0-24", "10.5.7.0-24"];
  await server.put(`${prefix}/subnets/${older}`, flannelValue("192.0.2.2"));
  await server.put(`${prefix}/subnets/${victim}`, flannelValue("192.0.2.7", MAC));
  using follower = new EtcdHost(server, prefix, { addresses: ["192.0.2.98"] });
  follower.follow();
  assertEquals(await order(follower), [older, victim]);
  await server.put(`${prefix}/subnets/${older}`, flannelValue("192.0.2.2", MAC));
  await follower.heard("the claim", (update) => update.kind === "held" && update.lease.host === older);
  assertEquals(await order(follower), [victim, older]);
  assertEquals(await freshOrder(prefix), [victim, older]);
});

Deno.test("a host that changes its address was there before one that has claimed its MAC meanwhile", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const ask = (address: string) => host.registry.acquire(request(address), { signal });
  const first = await ask("192.0.2.1");
  const ages = ({ since, dataSince, addressSince }: Lease) => [since, dataSince, addressSince];
  assertEquals(ages(first), [first.since, first.since, first.since]);
  const other = first.host === "10.5.1.0-24" ? "10.5.2.0-24" : "10.5.1.0-24";
  await server.put(`${prefix}/subnets/${other}`, flannelValue("192.0.2.2", MAC));
  const moved = await ask("192.0.2.9");
  assertEquals(ages(moved).slice(0, 2), [first.since, first.since]);
  assertEquals(moved.addressSince! > first.since!, true);
  assertEquals(await freshOrder(prefix), [first.host, other]);
  assertEquals(ages(await ask("192.0.2.9")), ages(moved), "what is renewed stays as it is");
  const back = await ask("192.0.2.1");
  assertEquals(ages(back).slice(0, 2), [first.since, first.since]);
  assertEquals(await freshOrder(prefix), [first.host, other]);
});

Deno.test("a lease that has ended in etcd and is written again under another one is as old as it was", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"], previousSubnets: [] });
  await server.put(`${prefix}/subnets/10.5.3.0-24`, flannelValue("192.0.2.1", MAC));
  const reserved = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(reserved.dataSince, reserved.since);
  const { expiresAtMs: _, ...again } = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(again, reserved);
  // Loden's next word about it names the revision, as the key is written anew.
  const named = { ...request("192.0.2.1"), origin: { name: "node1" } };
  const said = await host.registry.acquire(named, { signal });
  assertEquals([said.since, said.dataSince], [reserved.since, reserved.since]);
  const [value] = Object.values(await server.list(prefix));
  assertEquals(JSON.parse(value!).LodenSince, { Data: reserved.since, Address: reserved.since });
});
