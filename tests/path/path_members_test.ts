import { assertEquals } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { type MemberChoice, pathMembers } from "../../src/path/path_members.ts";

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
    const { families } = pathMembers(LEASES, { ...CHOICE, ...choice });
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
  const { at, families } = pathMembers(LEASES, CHOICE);
  const b = families.get(2)!.byHost.get("b")!;
  assertEquals(at.get(parseAddress("192.0.2.2")), { member: b, network: "underlay" });
  assertEquals(at.get(parseAddress("10.244.2.0")), { member: b, network: "overlay" });
  assertEquals([b.port, at.size], [9000, 4]);
});

Deno.test("where packets are not encapsulated the underlay alone counts", () => {
  const { at } = pathMembers(LEASES, { ...CHOICE, hasOverlay: false });
  assertEquals(at.get(parseAddress("10.244.2.0")), undefined);
});

Deno.test("an address that two hosts claim is nobody's", () => {
  const thief = lease("thief", ["10.244.9.0/24"], ["192.0.2.2"], 8475);
  const third = lease("third", ["10.244.8.0/24"], ["192.0.2.2"], 8475);
  for (const leases of [[...LEASES, thief], [thief, ...LEASES], [...LEASES, thief, third]]) {
    const { at } = pathMembers(leases, CHOICE);
    assertEquals(at.get(parseAddress("192.0.2.2")), undefined);
    assertEquals(at.get(parseAddress("10.244.9.0"))?.member.host, "thief");
  }
});
