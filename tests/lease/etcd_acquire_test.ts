import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { RegistryError } from "../../src/lease/registry_error.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { EtcdServer } from "../double/etcd.ts";
import { EtcdHost, flannelValue, IPV4, IPV6, request, signal } from "./etcd_world.ts";

let server: EtcdServer;
let serial = 0;
Deno.test.beforeAll(async () => {
  server = await EtcdServer.open();
});
Deno.test.afterAll(() => server[Symbol.asyncDispose]());

/** A prefix that nobody else uses. */
function fresh(): string {
  return `/test/${++serial}`;
}

function subnetsOf(lease: Lease): string[] {
  return lease.parts.map(({ subnet }) => formatPrefix(subnet));
}

/** The etcd lease that a key lives by, as seconds of its life; 0 if it has none. */
async function ttlOf(key: string): Promise<number> {
  const { entries } = await server.client.range(key, { signal, isOneKey: true });
  return entries[0]!.lease === "0" ? 0 : await server.client.keepAlive(entries[0]!.lease, { signal });
}

Deno.test("a host takes a free subnet, and writes flanneld's key and value for a day", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const before = Date.now();
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  const key = `${prefix}/subnets/${lease.host}`;
  assertEquals(await server.list(prefix), { [key]: flannelValue("192.0.2.1", "aa:bb:cc:dd:ee:ff") });
  assertEquals(await ttlOf(key), 86_400);
  assert(Math.abs(lease.expiresAtMs! - before - 86_400_000) < 10_000);
  assertEquals(host.registry.host, lease.host);
});

Deno.test("a host in dual stack writes both halves into one key", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1", "2001:db8::1"] });
  const lease = await host.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  const [ipv4, ipv6] = subnetsOf(lease);
  assertEquals(Object.keys(await server.list(prefix)), [
    `${prefix}/subnets/${ipv4!.replace("/", "-")}&${ipv6!.replace("/", "-")}`,
  ]);
});

Deno.test("a host finds its lease again by its address, and renews it without waking anybody", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const first = await host.registry.acquire(request("192.0.2.1"), { signal });
  const before = await server.client.range(prefix, { signal });
  using again = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  assertEquals((await again.registry.previous({ signal }))?.host, first.host);
  const second = await again.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(second.host, first.host);
  assertEquals((await server.client.range(prefix, { signal })).entries, before.entries);
});

Deno.test("a host writes its lease anew where it publishes something else", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  await host.registry.acquire({ ...request("192.0.2.1"), backendType: "host-gw" }, { signal });
  const key = `${prefix}/subnets/${lease.host}`;
  assert((await server.list(prefix))[key]!.includes('"BackendType":"host-gw"'));
  assertEquals(await ttlOf(key), 86_400);
});

Deno.test("a host takes the subnet that it had before, if nobody else has it", async () => {
  const prefix = fresh();
  const previousSubnets = [parsePrefix("10.5.77.0/24")];
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"], previousSubnets });
  assertEquals(subnetsOf(await host.registry.acquire(request("192.0.2.1"), { signal })), ["10.5.77.0/24"]);
  using late = new EtcdHost(server, prefix, { addresses: ["192.0.2.2"], previousSubnets });
  assertNotEquals(subnetsOf(await late.registry.acquire(request("192.0.2.2"), { signal })), ["10.5.77.0/24"]);
  assertEquals(late.said.map(({ event }) => event), ["previous subnet not taken"]);
});

Deno.test("a host whose key somebody else has written takes another subnet, and leaves that key alone", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const first = await host.registry.acquire(request("192.0.2.1"), { signal });
  const key = `${prefix}/subnets/${first.host}`;
  await server.put(key, flannelValue("192.0.2.66"));
  const second = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertNotEquals(second.host, first.host);
  assertEquals((await server.list(prefix))[key], flannelValue("192.0.2.66"));
});

Deno.test("a host never writes over a key whose value it can't read", async () => {
  const prefix = fresh();
  const key = `${prefix}/subnets/10.5.77.0-24`;
  await server.put(key, "not JSON");
  using host = new EtcdHost(server, prefix, {
    addresses: ["192.0.2.1"],
    previousSubnets: [parsePrefix("10.5.77.0/24")],
  });
  assertNotEquals(subnetsOf(await host.registry.acquire(request("192.0.2.1"), { signal })), ["10.5.77.0/24"]);
  assertEquals((await server.list(prefix))[key], "not JSON");
});

Deno.test("a reservation stays one: it is taken, and does not end", async () => {
  const prefix = fresh();
  const key = `${prefix}/subnets/10.5.42.0-24`;
  await server.put(key, '{"PublicIP":"192.0.2.1"}');
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  for (let time = 1; time <= 2; time++) {
    const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
    assertEquals([subnetsOf(lease), lease.expiresAtMs], [["10.5.42.0/24"], undefined]);
    assertEquals(await server.list(prefix), { [key]: flannelValue("192.0.2.1", "aa:bb:cc:dd:ee:ff") });
    assertEquals(await ttlOf(key), 0);
  }
});

const changes: [name: string, key: string, addresses: string[]][] = [
  ["lies outside of SubnetMin and SubnetMax", "10.5.0.0-24", ["192.0.2.1"]],
  ["has another length", "10.5.9.0-25", ["192.0.2.1"]],
  ["lies in another network", "10.99.1.0-24", ["192.0.2.1"]],
  ["lacks the family that was turned on", "10.5.9.0-24", ["192.0.2.1", "2001:db8::1"]],
];

for (const [name, old, addresses] of changes) {
  Deno.test(`a host whose lease ${name} takes another first, and then gives that one up`, async () => {
    const prefix = fresh();
    await server.put(`${prefix}/subnets/${old}`, flannelValue("192.0.2.1"));
    using host = new EtcdHost(server, prefix, { addresses });
    const lease = await host.registry.acquire(request(...addresses), { signal });
    assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${lease.host}`]);
    assertEquals(host.said.map(({ event }) => event), ["own subnet not kept"]);
  });
}

Deno.test("a host keeps its IPv4 subnet when the cluster becomes dual stack", async () => {
  const prefix = fresh();
  const previousSubnets = [parsePrefix("10.5.9.0/24")];
  await server.put(`${prefix}/subnets/10.5.9.0-24`, flannelValue("192.0.2.1"));
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1", "2001:db8::1"], previousSubnets });
  const lease = await host.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  assertEquals(subnetsOf(lease)[0], "10.5.9.0/24");
});

Deno.test("a host says what to do when all subnets are held", async () => {
  const prefix = fresh();
  const families = [{ ...IPV4, subnetMin: parseAddress("10.5.1.0"), subnetMax: parseAddress("10.5.2.0") }];
  await server.putAll(
    [1, 2].map((n) => [`${prefix}/subnets/10.5.${n}.0-24`, flannelValue(`192.0.2.${n + 10}`)]),
  );
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"], families });
  await assertRejects(
    () => host.registry.acquire(request("192.0.2.1"), { signal }),
    RegistryError,
    `Cannot take a subnet of 10.5.0.0/16 in ${prefix}/subnets/: all are held, subnets are /24 from 10.5.1.0 to 10.5.2.0; ` +
      "make the network larger or the subnets smaller, or remove hosts",
  );
});

const crowds: [count: number, name: string, families: 1 | 2][] = [[50, "IPv4", 1], [30, "dual stack", 2]];

for (const [count, name, families] of crowds) {
  Deno.test(`${count} hosts that join at once in ${name} get subnets that no two share`, async () => {
    const prefix = fresh();
    // Few subnets more than hosts, so that they meet.
    const narrow = [
      { ...IPV4, subnetMax: parseAddress(`10.5.${count + 4}.0`) },
      { ...IPV6, subnetMax: parseAddress(`fd00:5:0:${(count + 4).toString(16)}::`) },
    ].slice(0, families);
    const hosts = Array.from({ length: count }, (_, at) =>
      new EtcdHost(server, prefix, {
        addresses: [`192.0.2.${at + 1}`, `2001:db8::${at + 1}`].slice(0, families),
        families: narrow,
      }));
    try {
      const leases = await Promise.all(
        hosts.map(({ registry }, at) =>
          registry.acquire(request(...[`192.0.2.${at + 1}`, `2001:db8::${at + 1}`].slice(0, families)), {
            signal,
          })
        ),
      );
      for (let half = 0; half < families; half++) {
        assertEquals(new Set(leases.map((lease) => subnetsOf(lease)[half])).size, count);
      }
      assertEquals(Object.keys(await server.list(prefix)).length, count);
    } finally {
      for (const host of hosts) host[Symbol.dispose]();
    }
  });
}
