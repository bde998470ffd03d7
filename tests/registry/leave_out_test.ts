import { assertEquals, assertLess, assertStrictEquals, assertStringIncludes } from "@std/assert";
import { addressFact, coveredBy, type GroundFact, GroundIndex } from "../../src/registry/ground.ts";
import { leaveOut } from "../../src/registry/leave_out.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { lease } from "./local/local_world.ts";

const OWN = lease("me", "10.244.1.0/24", "192.0.2.1");
const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];
const PEER = lease("peer", "10.244.2.0/24", "192.0.2.2");
/** A host whose own address lies in the subnet of `PEER`. */
const NODE = lease("node", "10.244.9.0/24", "10.244.2.7");
const V6_PART = {
  subnet: parsePrefix("fd00:10:244:2::/64"),
  underlayAddress: parseAddress("2001:db8::2"),
  backendData: {},
};
const BOTH: Lease = { ...PEER, parts: [...PEER.parts, V6_PART] };

function left(leases: readonly Lease[], ground: readonly GroundFact[]) {
  const found = leaveOut(leases, { own: OWN, ground, networks: NETWORKS });
  return { leases: found.leases, hosts: found.covering.map(({ host }) => host), covering: found.covering };
}

Deno.test("leaveOut() leaves out the part that covers what the host needs, and the other part stays", () => {
  const v6 = addressFact(parseAddress("fd00:10:244:2::1"), "the gateway fd00:10:244:2::1 of eth0");
  const { leases, hosts, covering } = left([BOTH], [v6]);
  assertEquals([leases, hosts], [[PEER], ["peer"]]);
  assertStringIncludes(covering[0]!.reason, "its subnet fd00:10:244:2::/64 covers the gateway");
  const v4 = addressFact(parseAddress("10.244.2.1"), "the gateway 10.244.2.1 of eth0");
  assertEquals(left([BOTH], [v4]).leases, [{ ...PEER, parts: [V6_PART] }]);
  assertEquals(left([BOTH], [v4, v6]).leases, []);
});

Deno.test("leaveOut() returns the very same leases where nobody covers anything", () => {
  const leases = [BOTH, NODE];
  const other = addressFact(parseAddress("10.244.77.1"), "10.244.77.1, an address of eth0");
  const apart = [BOTH, lease("node", "10.244.9.0/24", "192.0.2.9")];
  assertStrictEquals(left(apart, []).leases, apart);
  assertStrictEquals(left(apart, [other]).leases, apart);
  assertEquals(left(leases, []).leases, [{ ...PEER, parts: [V6_PART] }, NODE]);
});

const ages: [since: number | undefined, addressSince: number | undefined, why: string][] = [
  [5, 5, "both came at once"],
  [6, 5, "the subnet came later"],
  [undefined, undefined, "the registry does not tell"],
];

for (const [since, addressSince, why] of ages) {
  Deno.test(`leaveOut() leaves out a lease over another host's underlay address where ${why}`, () => {
    const peer = since === undefined ? PEER : { ...PEER, since };
    const node = addressSince === undefined ? NODE : { ...NODE, since: 1, addressSince };
    const { leases, hosts, covering } = left([peer, node], []);
    assertEquals([leases, hosts], [[node], ["peer"]]);
    assertStringIncludes(covering[0]!.reason, "covers 10.244.2.7, the underlay address of node");
  });
}

Deno.test("leaveOut() leaves out a host that moves its address into the subnet of one that was there", () => {
  const [peer, node] = [{ ...PEER, since: 5 }, { ...NODE, since: 1, addressSince: 6 }];
  const { leases, hosts, covering } = left([peer, node], []);
  assertEquals([leases, hosts], [[peer], ["node"]]);
  assertStringIncludes(covering[0]!.reason, "10.244.2.7 lies in 10.244.2.0/24, the subnet of peer");
  assertEquals(left([node, peer], []).hosts, ["node"], "in any order");
});

Deno.test("leaveOut() leaves out a host that says to be in the own subnet", () => {
  const liar = lease("liar", "10.244.9.0/24", "10.244.1.7");
  assertEquals(left([PEER, liar], []).hosts, ["liar"]);
});

Deno.test(`GroundIndex finds what coveredBy() finds, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  const pick = (count: number) => Math.floor(random() * count);
  const prefix = () =>
    random() < 0.5
      ? parsePrefix(`10.${pick(4)}.${pick(4)}.${pick(4)}/${8 + pick(25)}`)
      : parsePrefix(`fd00:${pick(4)}:${pick(4)}::${pick(4)}/${16 + pick(113)}`);
  for (let round = 0; round < 300; round++) {
    const facts = Array.from({ length: pick(40) }, () => ({ prefix: prefix(), what: "a segment" }));
    const subnet = prefix();
    const found = new Set(new GroundIndex(facts).coveredBy(subnet));
    assertEquals(found, new Set(facts.filter((fact) => coveredBy(subnet, [fact]) !== undefined)));
  }
});

Deno.test("leaveOut() takes a moment for 5,000 leases, 1,000 facts and hosts in the cluster network", () => {
  const leases = Array.from({ length: 5000 }, (_, at) => {
    const [high, low] = [at >> 8, at & 255];
    return lease(
      `h${at}`,
      `10.${100 + high}.${low}.0/24`,
      `10.${200 + (high & 1)}.${low}.${1 + (high >> 1)}`,
    );
  });
  const ground = Array.from(
    { length: 1000 },
    (_, at) => addressFact(parseAddress(`10.99.${at >> 8}.${at & 255}`), "an address of eth0"),
  );
  const context = { own: OWN, ground, networks: [parsePrefix("10.0.0.0/8")] };
  const times = Array.from({ length: 5 }, () => {
    const startedMs = performance.now();
    assertStrictEquals(leaveOut(leases, context).leases, leases);
    return performance.now() - startedMs;
  });
  // Some milliseconds on an idle machine; others may be busy on this one.
  assertLess(Math.min(...times), 100);
});
