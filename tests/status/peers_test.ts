import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { NetworkPath, PathReport, PathState, PeerPath } from "../../src/model/peer_path.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import type { PeerFault } from "../../src/overlay/backend/backend.ts";
import type { OverlayFacts } from "../../src/status/facts.ts";
import { answerPeers, peerCounts, type PeerFacts, peersReport } from "../../src/status/peers.ts";
import { OWN, pass, UNDERLAY } from "./facts.ts";

const AT = new Date("2026-01-01T00:00:00Z");

function leaseOf(number: number, changes: Partial<Lease> = {}): Lease {
  return {
    host: `h${String(number).padStart(4, "0")}`,
    backendType: "vxlan",
    parts: [{
      subnet: parsePrefix(`10.244.${number % 250}.0/24`),
      underlayAddress: parseAddress(`192.0.2.${number % 250}`),
      backendData: { VtepMAC: "not to be told" },
    }],
    ...changes,
  };
}

const OVERLAY: Omit<OverlayFacts, "leases"> = {
  backend: "vxlan",
  carriage: "tunnel",
  leaseType: "vxlan",
  mtuBytes: 1450,
};

function factsOf(
  leases: readonly Lease[] | undefined,
  { faults = [], ...overlay }: Partial<OverlayFacts> & { readonly faults?: readonly PeerFault[] } = {},
): PeerFacts {
  return {
    overlay: () => ({ ...OVERLAY, ...overlay, leases }),
    ownLease: () => OWN,
    lastPass: () => pass({ faults }),
    underlay: () => UNDERLAY,
  };
}

Deno.test("peersReport() tells how each peer is reached, and not the own host", () => {
  const report = peersReport(factsOf([OWN, leaseOf(2)]), { at: AT, offset: 0, limit: 9 });
  assertEquals(report, {
    at: "2026-01-01T00:00:00.000Z",
    counts: { total: 1, well: 1, unwell: {}, probed: 0 },
    offset: 0,
    peers: [{
      host: "h0002",
      count: 1,
      subnets: ["10.244.2.0/24"],
      underlayAddresses: ["192.0.2.2"],
      backendType: "vxlan",
      ways: ["vxlan"],
      state: "well",
      reason: null,
      paths: [],
    }],
  });
});

const unwell: [why: string, lease: Lease | undefined, faults: PeerFault[], state: string, reason: string][] =
  [
    [
      "what it publishes can't be used",
      leaseOf(2),
      [{ host: "h0002", reason: "no MAC" }, { host: "h0002", reason: "no\nsubnet\u202e" }],
      "left out",
      "no MAC; no subnet\\u202e",
    ],
    ["its entry can't be read", undefined, [{ host: "h0002", reason: "no JSON" }], "left out", "no JSON"],
    [
      "it has another backend",
      leaseOf(2, { backendType: "host-gw" }),
      [],
      "other backend",
      "its backend is host-gw, and this host's vxlan",
    ],
  ];

for (const [why, lease, faults, state, reason] of unwell) {
  Deno.test(`peersReport() names a peer before those that are well when ${why}`, () => {
    const leases = [OWN, leaseOf(1), ...lease === undefined ? [] : [lease]];
    const { counts, peers } = peersReport(factsOf(leases, { faults }), { at: AT, offset: 0, limit: 9 });
    assertEquals(counts, { total: 2, well: 1, unwell: { [state]: 1 }, probed: 0 });
    assertEquals(peers.map(({ host }) => host), ["h0002", "h0001"]);
    assertEquals([peers[0]!.state, peers[0]!.reason, peers[0]!.ways], [state, reason, []]);
  });
}

const MISLED = {
  host: "h0002",
  reason: "route blackhole 10.244.2.0/25 takes a part of 10.244.2.0/24",
  taken: "part",
} as const;

const misled: [why: string, faults: PeerFault[], state: string, ways: string[]][] = [
  ["another's route takes a part of its subnet", [MISLED], "misled", ["vxlan"]],
  ["so two do", [MISLED, MISLED], "misled", ["vxlan"]],
  [
    "its lease can't be used beside that",
    [MISLED, { host: "h0002", reason: "no MAC" }],
    "left out",
    [],
  ],
];

for (const [why, faults, state, ways] of misled) {
  Deno.test(`peersReport() calls a peer ${state} when ${why}`, () => {
    const report = peersReport(factsOf([leaseOf(2)], { faults }), { at: AT, offset: 0, limit: 9 });
    const [peer] = report.peers;
    assertEquals([peer!.state, peer!.ways], [state, ways]);
    assertEquals(peer!.reason, faults.map(({ reason }) => reason).join("; "));
  });
}

const segment: Underlay = {
  ...UNDERLAY,
  addresses: [{
    ...UNDERLAY.addresses[0]!,
    family: AF_INET,
    reaches: new Map([[parseAddress("192.0.2.3"), { place: "elsewhere" as const, why: "by a router" }]]),
  }],
};

const ways: [carriage: OverlayFacts["carriage"], ways: string[]][] = [
  ["tunnel", ["vxlan", "vxlan"]],
  ["tunnel or segment", ["direct", "vxlan"]],
  ["segment", ["direct", "none"]],
  ["router", ["cloud", "cloud"]],
  ["none", ["none", "none"]],
];

for (const [carriage, expected] of ways) {
  Deno.test(`peersReport() tells the ways of a backend that carries by ${carriage}`, () => {
    const facts = { ...factsOf([leaseOf(2), leaseOf(3)], { carriage }), underlay: () => segment };
    const { peers } = peersReport(facts, { at: AT, offset: 0, limit: 9 });
    assertEquals(peers.flatMap(({ ways }) => ways), expected);
  });
}

Deno.test("peersReport() calls hosts of every backend well where this one reaches none by design", () => {
  const { counts } = peersReport(factsOf([leaseOf(2)], { leaseType: "", carriage: "none" }), {
    at: AT,
    offset: 0,
    limit: 9,
  });
  assertEquals(counts, { total: 1, well: 1, unwell: {}, probed: 0 });
});

Deno.test("peerCounts() counts hosts that are too many to be named as so many", () => {
  const faults = [{ host: "900 more hosts", reason: "their entries can't be read", count: 900 }];
  assertEquals(peerCounts(factsOf([OWN, leaseOf(2)], { faults })), {
    total: 901,
    well: 1,
    unwell: { "left out": 900 },
    probed: 0,
  });
});

Deno.test("peerCounts() says nothing until it is known who is in the overlay", () => {
  assertEquals(peerCounts(factsOf(undefined)), undefined);
  assertEquals(peerCounts({ ...factsOf([]), overlay: () => undefined }), undefined);
  const { counts, peers } = answerPeers(factsOf(undefined), new URLSearchParams());
  assertEquals([counts, peers], [null, []]);
});

Deno.test("answerPeers() tells 5000 peers page by page, each once, however much is asked for", () => {
  const leases = Array.from({ length: 5000 }, (_, number) => leaseOf(number));
  const facts = factsOf(leases, { faults: [{ host: "h4999", reason: "no MAC" }] });
  const seen: string[] = [];
  for (let offset = 0; offset < 5000; offset += 500) {
    const { counts, peers } = answerPeers(
      facts,
      new URLSearchParams({ offset: `${offset}`, limit: "100000" }),
    );
    assertEquals([counts?.total, peers.length], [5000, 500]);
    seen.push(...peers.map(({ host }) => host));
  }
  assertEquals([seen[0], new Set(seen).size], ["h4999", 5000]);
  assertEquals(answerPeers(facts, new URLSearchParams({ offset: "5000" })).peers, []);
});

for (const query of ["limit=-1", "limit=x", "offset=-5", "limit=1e9", "limit=99999999999999999999"]) {
  Deno.test(`answerPeers() takes ${query} for nothing that was said`, () => {
    assertEquals(answerPeers(factsOf([leaseOf(2)]), new URLSearchParams(query)).peers.length, 1);
  });
}

const AT_MS = AT.getTime();

/** The path to a peer in one state. */
function pathOf(host: string, state: PathState, reason?: string): PeerPath {
  const network: NetworkPath = {
    state,
    roundTripMs: 0.5,
    lossRatio: 0.25,
    mtu: { expectedBytes: 1450, foundBytes: 1400 },
    askedAtMs: AT_MS,
    answeredAtMs: AT_MS,
  };
  const underlay = { ...network, roundTripMs: 99 };
  return { host, family: AF_INET, state, ...reason !== undefined && { reason }, overlay: network, underlay };
}

function probed(...peers: PeerPath[]): () => PathReport {
  const totals = { asked: 0, answered: 0, lost: 0, served: 0, refused: 0, roundTripMsSum: 0 };
  return () => ({ mode: "auto", port: 8473, peerCount: 2, peers, totals });
}

Deno.test("peersReport() tells what probes have found over the overlay, the worst of two families first", () => {
  const paths = probed(
    pathOf("h0002", "good"),
    pathOf("h0003", "lossy"),
    { ...pathOf("h0003", "broken", "no answer of 192.0.2.3"), family: AF_INET6 },
  );
  const facts = { ...factsOf([leaseOf(2), leaseOf(3)]), paths };
  const { counts, peers } = peersReport(facts, { at: AT, offset: 0, limit: 9 });
  assertEquals(counts, { total: 2, well: 1, unwell: { broken: 1 }, probed: 2 });
  assertEquals(peers.map(({ host, state, reason, ways }) => [host, state, reason, ways]), [
    ["h0003", "broken", "its path is lossy; no answer of 192.0.2.3", ["vxlan"]],
    ["h0002", "well", null, ["vxlan"]],
  ]);
  assertEquals(peers[1]!.paths, [{
    family: "ipv4",
    state: "good",
    roundTripMs: 0.5,
    lossRatio: 0.25,
    mtuBytes: 1400,
    answeredAt: "2026-01-01T00:00:00.000Z",
  }]);
});

Deno.test("peersReport() takes a peer that was not probed yet for well, and a bad lease for worse than a bad path", () => {
  const paths = probed(pathOf("h0002", "unknown"), pathOf("h0003", "silent"));
  const facts = {
    ...factsOf([leaseOf(2), leaseOf(3)], { faults: [{ host: "h0003", reason: "no MAC" }] }),
    paths,
  };
  const { peers } = peersReport(facts, { at: AT, offset: 0, limit: 9 });
  assertEquals(peers.map(({ state }) => state), ["left out", "well"]);
});

Deno.test("peersReport() says why the kernel takes another way to a peer, before what probes have found of it", () => {
  const facts = {
    ...factsOf([leaseOf(2), leaseOf(3)]),
    paths: probed(pathOf("h0003", "silent")),
    peerTruth: () => new Map([["h0003", "rule 100 leads to table 7"]]),
  };
  const { counts, peers } = peersReport(facts, { at: AT, offset: 0, limit: 9 });
  assertEquals(counts?.unwell, { misled: 1 });
  assertEquals([peers[0]!.host, peers[0]!.state, peers[0]!.reason], [
    "h0003",
    "misled",
    "rule 100 leads to table 7",
  ]);
});
