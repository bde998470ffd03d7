import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { compareBySubnets } from "../../src/registry/claim_age.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import { parsePrefix } from "../../src/model/address.ts";
import type { Lease, LeaseUpdate } from "../../src/model/lease.ts";
import { remoteLeases } from "../../src/registry/remote_leases.ts";
import { SEED } from "../double/random.ts";
import { lease } from "./local/local_world.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16")];
const OWN = lease("me", "10.244.1.0/24", "192.0.2.1");

const someLease = fc.record({
  host: fc.constantFrom("me", "a", "b", "c", "d"),
  third: fc.integer({ min: 0, max: 7 }),
  length: fc.constantFrom(22, 23, 24, 25),
  last: fc.integer({ min: 1, max: 6 }),
  expiresAtMs: fc.integer({ min: 0, max: 9 }),
}).map(({ host, third, length, last, expiresAtMs }) =>
  lease(host, `10.244.${third}.0/${length}`, `192.0.2.${last}`, { expiresAtMs })
);
const snapshot = fc.uniqueArray(someLease, { selector: ({ host }) => host })
  .map((leases): LeaseUpdate => ({ kind: "snapshot", leases }));
const someUpdate: fc.Arbitrary<LeaseUpdate> = fc.oneof(
  snapshot,
  someLease.map((lease): LeaseUpdate => ({ kind: "held", lease })),
  fc.constantFrom("me", "a", "b", "c", "d").map((host): LeaseUpdate => ({ kind: "released", host })),
);

Deno.test("LeaseSet holds what the last snapshot says, though updates were lost, repeated or late before it", () => {
  fc.assert(
    fc.property(fc.array(someUpdate), snapshot, (updates, last) => {
      const set = new LeaseSet();
      for (const update of updates) {
        set.apply(update);
        set.remote(OWN, NETWORKS);
      }
      set.apply(last);
      const fresh = new LeaseSet();
      fresh.apply(last);
      const [after, expected] = [set.remote(OWN, NETWORKS)!, fresh.remote(OWN, NETWORKS)!];
      assertEquals(byHost(set.all!.map(withoutEnd)), byHost(fresh.all!.map(withoutEnd)));
      assertEquals(byHost(after.leases.map(withoutEnd)), byHost(expected.leases.map(withoutEnd)));
      assertEquals(after.faults.length, expected.faults.length);
    }),
    { seed: SEED },
  );
});

Deno.test("LeaseSet.remote() yields leases that share no address, and one reason for each that it leaves out", () => {
  fc.assert(
    fc.property(snapshot, (update) => {
      const set = new LeaseSet();
      set.apply(update);
      const { leases, faults } = set.remote(OWN, NETWORKS)!;
      const all = update.kind === "snapshot" ? update.leases.filter(({ host }) => host !== "me") : [];
      assertEquals(leases.length + faults.length, all.length);
      const held = [OWN, ...leases].map(({ parts }) => parts[0]!);
      for (const [at, one] of held.entries()) {
        for (const other of held.slice(at + 1)) {
          const [x, y] = [range(one.subnet), range(other.subnet)];
          assert(x.end <= y.start || y.end <= x.start);
        }
      }
    }),
    { seed: SEED },
  );
});

function range({ address, length }: { address: unknown; length: number }): { start: number; end: number } {
  return { start: Number(address), end: Number(address) + 2 ** (32 - length) };
}

function withoutEnd({ host, backendType, parts }: Lease): Omit<Lease, "expiresAtMs"> {
  return { host, backendType, parts };
}

function byHost<T extends { readonly host: string }>(entries: readonly T[]): readonly T[] {
  return entries.toSorted((a, b) => a.host < b.host ? -1 : 1);
}

Deno.test("LeaseSet.remote() checks 20,000 leases, all of which overlap, in under 2 s", () => {
  const leases = Array.from({ length: 20_000 }, (_, n) => lease(`host-${n}`, "10.244.2.0/24", "192.0.2.2"));
  const startedMs = performance.now();
  const set = new LeaseSet();
  set.apply({ kind: "snapshot", leases });
  const { faults } = set.remote(OWN, NETWORKS)!;
  assertEquals(faults.length, 19_999);
  assert(performance.now() - startedMs < 2000);
});

Deno.test("LeaseSet.remote() after changes of one host each is what all leases come to, and says which changes led there", () => {
  const hosts = Array.from({ length: 24 }, (_, n) => `h${n}`);
  // Mostly each host has its own subnet and address; at times it claims another's, or what is none.
  const change: fc.Arbitrary<LeaseUpdate> = fc.record({
    host: fc.constantFrom(...hosts, "me"),
    kind: fc.constantFrom(
      "usual",
      "usual",
      "usual",
      "usual",
      "usual",
      "usual",
      "usual",
      "released",
      "odd",
      "bad",
    ),
    third: fc.integer({ min: 0, max: 40 }),
    last: fc.integer({ min: 1, max: 60 }),
    length: fc.constantFrom(23, 24, 25),
    mac: fc.integer({ min: 0, max: 3 }),
  }).map(({ host, kind, third, last, length, mac }): LeaseUpdate => {
    if (kind === "released") return { kind, host };
    const number = hosts.indexOf(host) + 2;
    const [subnet, address] = kind === "usual"
      ? [`10.244.${number}.0/24`, `192.0.2.${number}`]
      : kind === "odd"
      ? [`10.244.${third - third % 2}.0/${length}`, `192.0.2.${last}`]
      : ["10.245.0.0/24", `192.0.2.${last}`];
    const told = lease(host, subnet, address);
    const parts = told.parts.map((part) => ({ ...part, backendData: { VtepMAC: `02:00:00:00:00:0${mac}` } }));
    return { kind: "held", lease: { ...told, parts } };
  });
  let apart = 0;
  fc.assert(
    fc.property(fc.array(change, { minLength: 10, maxLength: 60 }), (changes) => {
      const set = new LeaseSet();
      set.apply({ kind: "snapshot", leases: [] });
      let before = set.remote(OWN, NETWORKS)!;
      for (const one of changes) {
        set.apply(one);
        const after = set.remote(OWN, NETWORKS)!;
        const { leases, faults, doubts } = remoteLeases(set.all!, OWN, NETWORKS, compareBySubnets);
        assertEquals([after.leases, after.faults, after.doubts], [leases, faults, doubts]);
        const steps = set.changesSince(before);
        if (steps !== undefined) {
          if (steps.length > 0) apart++;
          const left = new Map(before.leases.map((each) => [each.host, each]));
          for (const { before: old, after: now } of steps) {
            if (old !== undefined) assert(left.delete(old.host));
            if (now !== undefined) left.set(now.host, now);
          }
          assertEquals(byHost([...left.values()]), byHost(leases));
        }
        before = after;
      }
    }),
    { seed: SEED },
  );
  assert(apart > 300, `${apart} changes were told apart`);
});
