import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareByData, compareBySubnets, isAddressNewer, keptAges } from "../../src/registry/claim_age.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease, LeaseUpdate } from "../../src/model/lease.ts";
import { SEED } from "../double/random.ts";
import { lease } from "./local/local_world.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16")];
const OWN = lease("me", "10.244.1.0/24", "192.0.2.1");
const HOSTS = ["a", "b", "c", "d", "e"];

/** What a registry has said of one host, one state after the other, each with its ages. */
const someHistory = fc.array(
  fc.record({
    host: fc.constantFrom(...HOSTS),
    third: fc.integer({ min: 2, max: 4 }),
    last: fc.integer({ min: 1, max: 6 }),
    mac: fc.integer({ min: 1, max: 2 }),
    isReleased: fc.boolean(),
  }),
  { maxLength: 30 },
);

/** What a registry that counts tells of that: each change once, in order, and what there is at its end. */
function told(history: typeof someHistory extends fc.Arbitrary<infer T> ? T : never) {
  const held = new Map<string, Lease>();
  const updates: LeaseUpdate[] = [];
  for (const [at, { host, third, last, mac, isReleased }] of history.entries()) {
    const revision = at + 1;
    if (isReleased) {
      held.delete(host);
      updates.push({ kind: "released", host });
      continue;
    }
    const said = lease(host, `10.244.${third}.0/24`, `192.0.2.${last}`);
    const parts = said.parts.map((part) => ({ ...part, backendData: { VtepMAC: mac } }));
    const ages = { since: revision, dataSince: revision, addressSince: revision };
    const now = { ...said, parts, ...ages, ...keptAges(held.get(host), parts) };
    held.set(host, now);
    updates.push({ kind: "held", lease: now });
  }
  return { updates, end: [...held.values()] };
}

Deno.test(`all hosts judge claims alike, whatever news they have had, and after a restart too, seed ${SEED}`, () => {
  fc.assert(
    fc.property(someHistory, fc.infiniteStream(fc.nat(99)), (history, dice) => {
      const { updates, end } = told(history);
      const judgement = (set: LeaseSet) => {
        const { leases, faults } = set.remote(OWN, NETWORKS)!;
        return { all: set.all, leases, faults, older: set.olderThan(end[0]) };
      };
      const follower = new LeaseSet();
      follower.apply({ kind: "snapshot", leases: [] });
      for (const update of updates) follower.apply(update);
      // One that was cut off at some moment, had heard some of it twice before, and has read all then.
      const late = new LeaseSet();
      late.apply({ kind: "snapshot", leases: [] });
      const draw = () => dice.next().value as number;
      for (const update of updates.slice(0, draw() % (updates.length + 1))) {
        for (let times = 1 + draw() % 2; times > 0; times--) late.apply(update);
      }
      late.apply({ kind: "snapshot", leases: end.toSorted(() => draw() - 50) });
      const fresh = new LeaseSet();
      fresh.apply({ kind: "snapshot", leases: end.toReversed() });
      assertEquals(judgement(late), judgement(fresh));
      assertEquals(judgement(follower), judgement(fresh));
    }),
    { seed: SEED },
  );
});

const someLease = fc.record({
  host: fc.constantFrom(...HOSTS),
  since: fc.option(fc.nat(3), { nil: undefined }),
  dataSince: fc.option(fc.nat(3), { nil: undefined }),
}).map(({ host, since, dataSince }): Lease => ({
  ...lease(host, "10.244.2.0/24", "192.0.2.2"),
  ...since !== undefined && { since },
  ...dataSince !== undefined && { dataSince },
}));

Deno.test(`who was first is an order, also where a registry tells it of some only, seed ${SEED}`, () => {
  const orders = [compareBySubnets, compareByData];
  fc.assert(
    fc.property(someLease, someLease, someLease, (a, b, c) => {
      for (const order of orders) {
        assertEquals(Math.sign(order(a, b)), 0 - Math.sign(order(b, a)));
        if (order(a, b) <= 0 && order(b, c) <= 0) assertEquals(order(a, c) <= 0, true);
      }
    }),
    { seed: SEED },
  );
});

Deno.test("keptAges() keeps the age of what a host says again, each by itself", () => {
  const ages = { since: 1, dataSince: 2, addressSince: 3 };
  const before = { ...lease("a", "10.244.2.0/24", "192.0.2.2"), ...ages };
  const [part] = before.parts;
  assertEquals(keptAges(before, before.parts), ages);
  assertEquals(keptAges(before, [{ ...part!, underlayAddress: parseAddress("192.0.2.9") }]), {
    since: 1,
    dataSince: 2,
  });
  assertEquals(keptAges(before, [{ ...part!, backendData: { VNI: 2 } }]), { since: 1, addressSince: 3 });
  assertEquals(keptAges(before, [{ ...part!, subnet: parsePrefix("10.244.3.0/24") }]), {
    dataSince: 2,
    addressSince: 3,
  });
  const [second] = lease("a", "fd00:244:0:2::/64", "2001:db8::2").parts;
  assertEquals(keptAges(before, [part!, second!]), { since: 1 }, "what a second family says is new");
  assertEquals(keptAges(undefined, before.parts), {});
});

Deno.test("isAddressNewer() compares an address with the subnet that it lies in", () => {
  const holder = { ...lease("a", "10.244.2.0/24", "192.0.2.2"), since: 5 };
  const at = (addressSince: number) => ({ ...lease("b", "10.244.3.0/24", "10.244.2.7"), addressSince });
  assertEquals([isAddressNewer(at(6), holder), isAddressNewer(at(4), holder)], [true, false]);
  assertEquals(isAddressNewer(lease("b", "10.244.3.0/24", "10.244.2.7"), holder), true);
});

Deno.test("a host that says to have been there for longer than it was seen stands behind those that were there", () => {
  const victim = { ...lease("b", "10.244.2.0/24", "192.0.2.2"), since: 5, dataSince: 5, addressSince: 5 };
  const liar = { ...lease("a", "10.244.3.0/24", "192.0.2.3"), since: 1, dataSince: 1, addressSince: 1 };
  const taking = { ...liar, parts: [{ ...liar.parts[0]!, backendData: { VNI: 2 } }] };
  const set = new LeaseSet();
  set.apply({ kind: "snapshot", leases: [victim, liar] });
  const order = () => set.all!.map(({ host }) => host);
  assertEquals(order(), ["a", "b"]);
  set.apply({ kind: "held", lease: taking });
  assertEquals(order(), ["b", "a"]);
  assertEquals(set.of("a")!.since, 1, "its subnet is as it was");
  for (
    const update of [{ kind: "held", lease: taking }, { kind: "snapshot", leases: [taking, victim] }] as const
  ) {
    assertEquals(set.apply(update), false, "it is told again");
    assertEquals(order(), ["b", "a"]);
  }
  const newcomer = { ...lease("0", "10.244.2.0/24", "192.0.2.9"), since: 5, dataSince: 5, addressSince: 5 };
  set.apply({ kind: "held", lease: newcomer });
  assertEquals(order(), ["b", "a", "0"], "who comes in the same second comes later");
});
