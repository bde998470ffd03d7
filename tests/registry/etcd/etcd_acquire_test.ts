import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import { readEntry } from "../../../src/registry/etcd/etcd_format.ts";
import { toBase64 } from "../../../src/registry/etcd/etcd_wire.ts";
import { EtcdFront, EtcdServer } from "../../double/etcd.ts";
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

/** A host that reaches the server through `front` alone. */
function through(
  { url }: EtcdFront,
  prefix: string,
  previous: readonly string[] = [],
  addresses: readonly string[] = ["192.0.2.1"],
): EtcdHost {
  const previousSubnets = previous.map(parsePrefix);
  return new EtcdHost({ access: { endpoints: [url], tls: {} } }, prefix, { addresses, previousSubnets });
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

Deno.test("a host in dual stack writes both parts into one key", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1", "2001:db8::1"] });
  const lease = await host.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  const [ipv4, ipv6] = subnetsOf(lease);
  assertEquals(Object.keys(await server.list(prefix)), [
    `${prefix}/subnets/${ipv4!.replace("/", "-")}&${ipv6!.replace("/", "-")}`,
  ]);
});

Deno.test("a host finds its lease again by its address, and renews it without waking another host", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const first = await host.registry.acquire(request("192.0.2.1"), { signal });
  const before = await server.client.range(prefix, { signal });
  using again = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  assertEquals((await again.registry.previous(request("192.0.2.1"), { signal }))?.host, first.host);
  const second = await again.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(second.host, first.host);
  assertEquals((await server.client.range(prefix, { signal })).entries, before.entries);
});

Deno.test("a host that starts again reads all leases once, and hears of all that has changed since", async () => {
  const prefix = fresh();
  using before = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const own = await before.registry.acquire(request("192.0.2.1"), { signal });
  await using front = new EtcdFront(server);
  using host = through(front, prefix);
  assertEquals((await host.registry.previous(request("192.0.2.1"), { signal }))?.host, own.host);
  const other = own.host === "10.5.3.0-24" ? "10.5.4.0-24" : "10.5.3.0-24";
  await server.put(`${prefix}/subnets/${other}`, flannelValue("192.0.2.3"));
  assertEquals((await host.registry.acquire(request("192.0.2.1"), { signal })).host, own.host);
  host.follow();
  await host.heard("who has come", (update) => update.kind === "held" && update.lease.host === other);
  const snapshots = host.updates.filter(({ kind }) => kind === "snapshot");
  assertEquals([snapshots.length, front.asked.filter((method) => method === "kv/range").length], [1, 1]);
  // What is not as it was then is read anew.
  await host.registry.acquire(request("192.0.2.9"), { signal });
  assertEquals(front.asked.filter((method) => method === "kv/range").length, 2);
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

Deno.test("a host whose key another program has spoilt says since when it says what it says, as before", async () => {
  const prefix = fresh();
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const { host: name, since } = await host.registry.acquire(request("192.0.2.1"), { signal });
  const key = `${prefix}/subnets/${name}`;
  for (const value of ["nonsense", flannelValue("192.0.2.1", "aa:bb:cc:dd:ee:ff")]) {
    const put = { key: toBase64(key), value: toBase64(value), lease: host.registry.token! };
    await server.client.transact({ compare: [], success: [{ request_put: put }] }, { signal });
    const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
    assertEquals([lease.since, lease.dataSince, lease.addressSince], [since, since, since]);
    const { entries } = await server.client.range(key, { signal, isOneKey: true });
    const reading = readEntry(name, entries[0]!);
    assert("lease" in reading, JSON.stringify(reading));
    assertEquals([reading.lease.dataSince, reading.lease.addressSince], [since, since]);
  }
});

for (const [what, value] of [["junk", "junk"], ["nothing", ""], ["an empty object", "{}"]] as const) {
  Deno.test(`a host whose key another program has replaced by ${what} keeps its subnet, for a day`, async () => {
    const prefix = fresh();
    using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
    const { host: name } = await host.registry.acquire(request("192.0.2.1"), { signal });
    const key = `${prefix}/subnets/${name}`;
    await server.put(key, value);
    const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
    assertEquals(lease.host, name);
    assertEquals(await ttlOf(key), 86_400);
    assertEquals(Object.keys(await server.list(prefix)), [key]);
  });
}

Deno.test("a host takes the subnet that it had before, if nobody else has it", async () => {
  const prefix = fresh();
  const previousSubnets = [parsePrefix("10.5.77.0/24")];
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"], previousSubnets });
  assertEquals(subnetsOf(await host.registry.acquire(request("192.0.2.1"), { signal })), ["10.5.77.0/24"]);
  using late = new EtcdHost(server, prefix, { addresses: ["192.0.2.2"], previousSubnets });
  const [part] = request("192.0.2.2").parts;
  const backendData = { VNI: 1, VtepMAC: "aa:bb:cc:dd:ee:02" };
  const other = { ...request(), parts: [{ ...part!, backendData }] };
  assertNotEquals(subnetsOf(await late.registry.acquire(other, { signal })), ["10.5.77.0/24"]);
  assertEquals(late.said.map(({ event }) => event), ["previous subnet not taken"]);
});

Deno.test("a host whose key another program has written takes another subnet, and leaves that key alone", async () => {
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
    const { LodenSince, ...value } = JSON.parse((await server.list(prefix))[key]!);
    assertEquals(JSON.stringify(value), flannelValue("192.0.2.1", "aa:bb:cc:dd:ee:ff"));
    assertEquals(LodenSince, { Address: lease.since }, "where it is was said already");
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

Deno.test("a host keeps the subnet that still suits also where its subnet file is lost", async () => {
  const prefix = fresh();
  await server.put(`${prefix}/subnets/10.5.9.0-24`, flannelValue("192.0.2.1"));
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1", "2001:db8::1"] });
  const lease = await host.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  assertEquals(subnetsOf(lease)[0], "10.5.9.0/24");
});

Deno.test("a host of IPv6 alone has a key of Loden's own, and finds it again", async () => {
  const prefix = fresh();
  const options = { addresses: ["2001:db8::1"], families: [IPV6] };
  using host = new EtcdHost(server, prefix, options);
  const lease = await host.registry.acquire(request("2001:db8::1"), { signal });
  assertEquals(lease.host, `&${subnetsOf(lease)[0]!.replace("/", "-")}`);
  using again = new EtcdHost(server, prefix, options);
  assertEquals((await again.registry.acquire(request("2001:db8::1"), { signal })).host, lease.host);
  assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${lease.host}`]);
});

Deno.test("a host that gives up IPv4 keeps its IPv6 subnet, and leaves no key behind", async () => {
  const prefix = fresh();
  using both = new EtcdHost(server, prefix, { addresses: ["192.0.2.1", "2001:db8::1"] });
  const before = await both.registry.acquire(request("192.0.2.1", "2001:db8::1"), { signal });
  using one = new EtcdHost(server, prefix, { addresses: ["2001:db8::1"], families: [IPV6] });
  const after = await one.registry.acquire(request("2001:db8::1"), { signal });
  assertEquals(subnetsOf(after), subnetsOf(before).slice(1));
  assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${after.host}`]);
});

Deno.test("a host does not take a reservation whose subnet has host bits, which others would refuse", async () => {
  const prefix = fresh();
  await server.put(`${prefix}/subnets/10.5.42.7-24`, flannelValue("192.0.2.1"));
  using host = new EtcdHost(server, prefix, { addresses: ["192.0.2.1"] });
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${lease.host}`]);
  assertMatch(lease.host, /\.0-24$/);
});

Deno.test("a host has its new lease though it can't give up the old one, which it does the next time", async () => {
  const prefix = fresh();
  await server.put(`${prefix}/subnets/10.99.1.0-24`, flannelValue("192.0.2.1"));
  await using front = new EtcdFront(server);
  using host = through(front, prefix);
  // The first transaction takes the new lease, the second one deletes the old.
  const fail = () => Promise.reject(new Error("cut"));
  front.between("kv/txn", () => Promise.resolve(front.between("kv/txn", fail)));
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertEquals(host.said.map(({ event }) => event), ["own subnet not kept", "own subnet not given up"]);
  assertEquals(Object.keys(await server.list(prefix)).length, 2);
  assertEquals((await host.registry.acquire(request("192.0.2.1"), { signal })).host, lease.host);
  assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${lease.host}`]);
});

Deno.test("a host whose renewal was done but not answered keeps its key all the while", async () => {
  const prefix = fresh();
  await using front = new EtcdFront(server);
  const access = { endpoints: [front.url, server.url], tls: {} };
  using host = new EtcdHost({ access }, prefix, { addresses: ["192.0.2.1"] });
  const first = await host.registry.acquire(request("192.0.2.1"), { signal });
  const { revision } = await server.client.range(prefix, { signal });
  front.loseAnswer("kv/txn");
  const second = await host.registry.acquire({ ...request("192.0.2.1"), backendType: "host-gw" }, { signal });
  assertEquals(second.host, first.host);
  const watch = server.client.watch(prefix, revision + 1, { signal });
  await watch.next();
  const { value } = await watch.next();
  await watch.return("compacted");
  assert(typeof value === "object");
  assertEquals(value.changes.map(({ isDeletion }) => isDeletion), [false], "written once, never deleted");
  assertEquals(Object.keys(await server.list(prefix)), [`${prefix}/subnets/${second.host}`]);
  assertEquals(await ttlOf(`${prefix}/subnets/${second.host}`), 86_400);
});

Deno.test("a host that another one is faster than takes another subnet, and leaves no etcd lease unused", async () => {
  const prefix = fresh();
  await using front = new EtcdFront(server);
  using host = through(front, prefix, ["10.5.77.0/24"]);
  const key = `${prefix}/subnets/10.5.77.0-24`;
  front.between("kv/txn", () => server.put(key, flannelValue("192.0.2.2")));
  const before = (await server.leases()).length;
  const lease = await host.registry.acquire(request("192.0.2.1"), { signal });
  assertNotEquals(lease.host, "10.5.77.0-24");
  assertEquals((await server.list(prefix))[key], flannelValue("192.0.2.2"));
  assertEquals((await server.leases()).length, before + 1);
});

Deno.test("a host gives back the etcd lease of a race that it need not win any more", async () => {
  const prefix = fresh();
  await using front = new EtcdFront(server);
  using host = through(front, prefix, ["10.5.77.0/24"]);
  const before = (await server.leases()).length;
  // Just now an operator writes a reservation for it.
  front.between(
    "kv/txn",
    () => server.put(`${prefix}/subnets/10.5.77.0-24`, flannelValue("192.0.2.1", "aa:bb:cc:dd:ee:ff")),
  );
  assertEquals((await host.registry.acquire(request("192.0.2.1"), { signal })).expiresAtMs, undefined);
  assertEquals((await server.leases()).length, before);
});

const races: [name: string, first: string, addresses: string[]][] = [
  ["IPv4", "10.5.77.0-24&fd00:5:0:7::-64", ["192.0.2.1"]],
  ["dual stack", "10.5.9.0-24&fd00:5:0:77::-64", ["192.0.2.1", "2001:db8::1"]],
];

for (const [name, first, addresses] of races) {
  Deno.test(`a host in ${name} sees that another was faster with one subnet of what it is about to take`, async () => {
    const prefix = fresh();
    await using front = new EtcdFront(server);
    using host = through(front, prefix, ["10.5.77.0/24", "fd00:5:0:77::/64"], addresses);
    const foreign = '{"PublicIP":"192.0.2.2","PublicIPv6":"2001:db8::2"}';
    front.between("kv/txn", () => server.put(`${prefix}/subnets/${first}`, foreign));
    const lease = await host.registry.acquire(request(...addresses), { signal });
    const taken = first.replaceAll("-", "/").split("&");
    assertEquals(subnetsOf(lease).filter((subnet) => taken.includes(subnet)), []);
  });
}

Deno.test("a host does not mind a foreign key that begins like the one it takes", async () => {
  const prefix = fresh();
  await server.put(`${prefix}/subnets/10.5.77.0-24&notes`, "milk");
  using host = new EtcdHost(server, prefix, {
    addresses: ["192.0.2.1"],
    previousSubnets: [parsePrefix("10.5.77.0/24")],
  });
  assertEquals(subnetsOf(await host.registry.acquire(request("192.0.2.1"), { signal })), ["10.5.77.0/24"]);
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

const crowds: [count: number, name: string, families: 1 | 2][] = [[50, "IPv4", 1], [30, "dual stack", 2], [
  200,
  "dual stack",
  2,
]];

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
      for (let at = 0; at < families; at++) {
        assertEquals(new Set(leases.map((lease) => subnetsOf(lease)[at])).size, count);
      }
      assertEquals(Object.keys(await server.list(prefix)).length, count);
    } finally {
      for (const host of hosts) host[Symbol.dispose]();
    }
  });
}
