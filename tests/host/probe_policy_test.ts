import { assert, assertEquals } from "@std/assert";
import {
  probeNote,
  ProbePolicy,
  type ProbeResult,
  type ProbeTarget,
  probeTargets,
} from "../../src/host/probe_policy.ts";
import {
  AF_INET,
  AF_INET6,
  familyOf,
  formatAddress,
  parseAddress,
  parsePrefix,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { SEED, seededRandom } from "../double/random.ts";

function peer(number: number, family: 2 | 10 = AF_INET): ProbeTarget {
  const [source, target] = family === AF_INET
    ? ["10.244.0.0", `10.244.${number}.0`]
    : ["fd00::", `fd00:0:0:${number.toString(16)}::`];
  return { host: `h${number}`, source: parseAddress(source), target: parseAddress(target) };
}

function peers(count: number, family: 2 | 10 = AF_INET): ProbeTarget[] {
  return Array.from({ length: count }, (_, index) => peer(index + 1, family));
}

/** A policy that has asked `rounds` times, once a second, and heard nothing. */
function mute(targets: readonly ProbeTarget[], rounds: number): ProbePolicy {
  const policy = new ProbePolicy(seededRandom(SEED));
  for (let round = 0; round < rounds; round++) policy.choose(targets, round * 1000);
  return policy;
}

Deno.test("a probe waits until it has asked a peer", () => {
  assertEquals(mute([], 0).result(5000), { state: "waiting", peers: [], sinceMs: 0 });
});

Deno.test("a host without peers has proved its data path at once", () => {
  assertEquals(mute([], 1).result(0), { state: "proved", peers: [], sinceMs: 0 });
});

Deno.test("one answer proves a family, and only that one", () => {
  const policy = new ProbePolicy(() => 0);
  const targets = [...peers(5), ...peers(5, AF_INET6)];
  const sample = policy.choose(targets, 0);
  assertEquals(sample.map(({ target }) => familyOf(target)), [2, 2, 2, 10, 10, 10]);
  policy.answered(sample[1]!);
  assertEquals(policy.result(100).state, "waiting");
  const next = policy.choose(targets, 1000);
  assertEquals(next.map(({ target }) => familyOf(target)), [10, 10, 10]);
  policy.answered(next[0]!);
  assertEquals(policy.result(1100), {
    state: "proved",
    peers: [
      { host: sample[1]!.host, target: sample[1]!.target, asked: 1, outcome: "answered" },
      { host: next[0]!.host, target: next[0]!.target, asked: 1, outcome: "answered" },
    ],
    sinceMs: 1100,
  });
});

Deno.test(`every peer is asked before one is asked again, at most three at a time (seed ${SEED})`, () => {
  const policy = new ProbePolicy(seededRandom(SEED));
  const targets = peers(10);
  const asked = new Map<string, number>();
  for (let round = 0; round < 10; round++) {
    const sample = policy.choose(targets, round * 1000);
    assertEquals(new Set(sample).size, 3);
    for (const { host } of sample) asked.set(host, (asked.get(host) ?? 0) + 1);
    const times = targets.map(({ host }) => asked.get(host) ?? 0);
    assert(Math.max(...times) - Math.min(...times) <= 1, `round ${round}: ${times}`);
  }
});

Deno.test(`hosts that start at once do not all ask the same peers (seed ${SEED})`, () => {
  const random = seededRandom(SEED);
  const targets = peers(100);
  const first = new Set<string>();
  for (let host = 0; host < 100; host++) {
    for (const { host: name } of new ProbePolicy(random).choose(targets, 0)) first.add(name);
  }
  // Of 300 draws from 100, 95 differ on average.
  assert(first.size > 70, `${first.size} of 100 were asked`);
});

Deno.test("a peer that has come is asked next, one that has gone no more", () => {
  const policy = mute(peers(3), 5);
  const sample = policy.choose([peer(1), peer(9)], 5000);
  assertEquals(sample.map(({ host }) => host), ["h9", "h1"]);
});

Deno.test("peers that all have gone leave nothing to prove", () => {
  const policy = mute(peers(3), 5);
  policy.choose([], 5000);
  assertEquals(policy.result(5000).state, "proved");
});

const patience: [nowMs: number, state: ProbeResult["state"], intervalMs: number][] = [
  [0, "waiting", 1000],
  [9_999, "waiting", 1000],
  [10_000, "unanswered", 10_000],
  [3_600_000, "unanswered", 10_000],
];

for (const [nowMs, state, intervalMs] of patience) {
  Deno.test(`a probe that nobody has answered for ${nowMs} ms is ${state}, and goes on every ${intervalMs} ms`, () => {
    const policy = mute(peers(1), 1);
    assertEquals(policy.result(nowMs).state, state);
    assertEquals(policy.intervalMs(nowMs), intervalMs);
  });
}

Deno.test("an answer that comes late proves the path as well", () => {
  const policy = mute(peers(1), 31);
  assertEquals(policy.result(31_000).state, "unanswered");
  policy.answered(peer(1));
  assertEquals(policy.result(31_000).state, "proved");
});

Deno.test("what is said of an unanswered path stays the same, however many peers are asked after that", () => {
  const policy = mute(peers(20), 9);
  const said = [11, 12, 60].map((seconds) => {
    policy.choose(peers(20), seconds * 1000);
    return probeNote(policy.result(seconds * 1000), 8472);
  });
  assertEquals(new Set(said).size, 1, said.join("\n"));
});

Deno.test("probeNote() names the silent peers and what to look at", () => {
  const policy = mute([...peers(2), peer(7, AF_INET6)], 30);
  policy.answered(peer(7, AF_INET6));
  policy.refused(peer(2), "this host says EPERM");
  const result = policy.result(30_500);
  // The order is one of chance.
  const sorted = { ...result, peers: result.peers.toSorted((a, b) => a.host < b.host ? -1 : 1) };
  assertEquals(
    probeNote(sorted, 8472),
    "no packet has come back over the overlay, peers that were asked are h1 (10.244.1.0), " +
      "h2 (10.244.2.0: this host says EPERM); look whether a firewall between the hosts drops UDP port 8472, " +
      "and whether these hosts are up",
  );
  assert(probeNote(sorted)!.endsWith("look whether these hosts are up and on this host's segment"));
  assertEquals(probeNote(policy.result(100), 8472), undefined);
});

const UNDERLAY: Underlay = {
  linkIndex: 2,
  linkName: "eth0",
  mtuBytes: 1500,
  addresses: [["192.0.2.1", "203.0.113.1"], ["2001:db8::1", "2001:db8::1"]].map(([address, advertised]) => ({
    family: familyOf(parseAddress(address!)),
    address: parseAddress(address!),
    advertised: parseAddress(advertised!),
    mtuBytes: 1500,
    segments: [],
  })),
};

function lease(host: string, backendType: string, number: number, families: readonly (2 | 10)[]): Lease {
  const part = (subnet: string, underlayAddress: string) => ({
    subnet: parsePrefix(subnet),
    underlayAddress: parseAddress(underlayAddress),
    backendData: {},
  });
  const parts = families.map((family) =>
    family === AF_INET
      ? part(`10.244.${number}.0/24`, `192.0.2.${number}`)
      : part(`fd00:0:0:${number}::/64`, `2001:db8::${number}`)
  );
  return { host, backendType, parts };
}

const REMOTE = [
  lease("both", "vxlan", 2, [AF_INET, AF_INET6]),
  lease("four", "vxlan", 3, [AF_INET]),
  lease("gw", "host-gw", 4, [AF_INET, AF_INET6]),
  lease("none", "alloc", 5, [AF_INET]),
];

const targets: [why: string, own: Lease, underlay: Underlay, targets: string[]][] = [
  ["the VTEPs of VXLAN peers", lease("own", "vxlan", 1, [AF_INET, AF_INET6]), UNDERLAY, [
    "both 10.244.1.0 > 10.244.2.0",
    "both fd00:0:0:1:: > fd00:0:0:2::",
    "four 10.244.1.0 > 10.244.3.0",
  ]],
  ["a family that this host has no subnet in is left out", lease("own", "vxlan", 1, [AF_INET6]), UNDERLAY, [
    "both fd00:0:0:1:: > fd00:0:0:2::",
  ]],
  [
    "a family that can't leave this host is left out",
    lease("own", "vxlan", 1, [AF_INET, AF_INET6]),
    { ...UNDERLAY, addresses: UNDERLAY.addresses.slice(1) },
    ["both fd00:0:0:1:: > fd00:0:0:2::"],
  ],
  [
    "underlay addresses with host-gw, from the link's own and not the advertised one",
    lease("own", "host-gw", 1, [AF_INET, AF_INET6]),
    UNDERLAY,
    ["gw 192.0.2.1 > 192.0.2.4", "gw 2001:db8::1 > 2001:db8::4"],
  ],
  ["nobody with alloc, as Loden moves no packets then", lease("own", "alloc", 1, [AF_INET]), UNDERLAY, []],
];

for (const [why, own, underlay, expected] of targets) {
  Deno.test(`probeTargets() chooses ${why}`, () => {
    const found = [...probeTargets(own, REMOTE, underlay)];
    assertEquals(
      found.map(({ host, source, target }) => `${host} ${formatAddress(source)} > ${formatAddress(target)}`),
      expected,
    );
  });
}
