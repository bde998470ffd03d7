import { assertEquals } from "@std/assert";
import { AF_INET, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
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
    counts: { total: 1, well: 1, unwell: {} },
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
    assertEquals(counts, { total: 2, well: 1, unwell: { [state]: 1 } });
    assertEquals(peers.map(({ host }) => host), ["h0002", "h0001"]);
    assertEquals([peers[0]!.state, peers[0]!.reason, peers[0]!.ways], [state, reason, []]);
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
  assertEquals(counts, { total: 1, well: 1, unwell: {} });
});

Deno.test("peerCounts() counts hosts that are too many to be named as so many", () => {
  const faults = [{ host: "900 more hosts", reason: "their entries can't be read", count: 900 }];
  assertEquals(peerCounts(factsOf([OWN, leaseOf(2)], { faults })), {
    total: 901,
    well: 1,
    unwell: { "left out": 900 },
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
