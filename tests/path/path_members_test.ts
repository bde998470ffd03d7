import { assertEquals } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";
import { type MemberChoice, MemberTable, type PathMembers } from "../../src/path/path_members.ts";

function lease(host: string, subnets: readonly string[], underlays: readonly string[], port?: number): Lease {
  return {
    host,
    backendType: "vxlan",
    parts: subnets.map((subnet, at) => ({
      subnet: parsePrefix(subnet),
      underlayAddress: parseAddress(underlays[at]!),
      backendData: null,
    })),
    ...port !== undefined && { origin: { probePort: port } },
  };
}

const CHOICE: MemberChoice = { own: "a", backendType: "vxlan", hasOverlay: true, withOthers: false };
const LEASES: readonly Lease[] = [
  lease("a", ["10.244.1.0/24"], ["192.0.2.1"], 8475),
  lease("b", ["10.244.2.0/24", "fd00:2::/64"], ["192.0.2.2", "2001:db8::2"], 9000),
  lease("flanneld", ["10.244.3.0/24"], ["192.0.2.3"]),
  { ...lease("other", ["10.244.4.0/24"], ["192.0.2.4"], 8475), backendType: "host-gw" },
];

const choices: [choice: Partial<MemberChoice>, hosts: string[], why: string][] = [
  [{}, ["2 b", "10 b"], "those of this backend take part that say so, and not this host"],
  [{ withOthers: true }, ["2 b", "2 flanneld", "10 b"], "all are asked"],
  [{ backendType: "host-gw" }, ["2 other"], "the backend is another one"],
];

for (const [choice, hosts, why] of choices) {
  Deno.test(`members are ${hosts.join(", ")} when ${why}`, () => {
    const { families } = new MemberTable(LEASES, { ...CHOICE, ...choice });
    const found = [...families].flatMap(([family, { byHost }]) =>
      [...byHost.keys()].map((host) => `${family} ${host}`)
    );
    assertEquals(found.sort(), hosts.toSorted());
    for (const { ring } of families.values()) {
      assertEquals(ring.includes("a"), true, "this host is in the ring");
    }
  });
}

Deno.test("a member is known by its address in each network, and has its own port", () => {
  const { at, families } = new MemberTable(LEASES, CHOICE);
  const b = families.get(2)!.byHost.get("b")!;
  assertEquals(at.get(parseAddress("192.0.2.2")), { member: b, network: "underlay" });
  assertEquals(at.get(parseAddress("10.244.2.0")), { member: b, network: "overlay" });
  assertEquals([b.port, at.size], [9000, 4]);
});

Deno.test("where packets are not encapsulated the underlay alone counts", () => {
  const { at } = new MemberTable(LEASES, { ...CHOICE, hasOverlay: false });
  assertEquals(at.get(parseAddress("10.244.2.0")), undefined);
});

Deno.test("an address that two hosts claim is nobody's", () => {
  const thief = lease("thief", ["10.244.9.0/24"], ["192.0.2.2"], 8475);
  const third = lease("third", ["10.244.8.0/24"], ["192.0.2.2"], 8475);
  for (const leases of [[...LEASES, thief], [thief, ...LEASES], [...LEASES, thief, third]]) {
    const { at } = new MemberTable(leases, CHOICE);
    assertEquals(at.get(parseAddress("192.0.2.2")), undefined);
    assertEquals(at.get(parseAddress("10.244.9.0"))?.member.host, "thief");
  }
});

Deno.test(`after any changes of single hosts members are those of all leases (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const hosts = ["a", "b", "c", "d", "e", "f"];
  const leases = new Map(LEASES.map((one) => [one.host, one]));
  const table = new MemberTable(leases.values(), CHOICE);
  for (let change = 0; change < 2000; change++) {
    const host = pick(random, hosts);
    // Few addresses, so that two hosts claim one.
    const [third, fourth] = [Math.floor(random() * 6), Math.floor(random() * 6)];
    const isDual = random() < 0.5;
    const after = random() < 0.3 ? undefined : lease(
      host,
      [`10.244.${third}.0/24`, ...isDual ? [`fd00:${third}::/64`] : []],
      [`192.0.2.${fourth}`, ...isDual ? [`2001:db8::${fourth}`] : []],
      random() < 0.2 ? undefined : 8475,
    );
    if (after === undefined) leases.delete(host);
    else leases.set(host, after);
    table.set(host, after);
    const whole = new MemberTable(leases.values(), CHOICE);
    assertEquals(shown(table), shown(whole), `after change ${change} of ${host}`);
  }
});

function shown({ families, at }: PathMembers): unknown {
  return {
    families: [...families].sort(([a], [b]) => a - b).map(([family, { byHost, ring }]) => ({
      family,
      hosts: [...byHost.values()].sort((a, b) => a.host < b.host ? -1 : 1),
      ring,
    })),
    at: [...at].map(([address, place]) => [String(address), place]).sort(),
  };
}
