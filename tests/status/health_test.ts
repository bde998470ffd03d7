import { assertEquals } from "@std/assert";
import { type HealthFacts, readiness } from "../../src/status/health.ts";
import { HOST, OWN, pass } from "./facts.ts";

const ready: HealthFacts = {
  lastPass: pass(),
  lease: { own: OWN, reason: undefined },
  underlay: { reason: undefined },
  shortfalls: [],
  podFiles: { fault: undefined, note: undefined },
  host: HOST,
  rules: undefined,
  hasSnapshot: true,
  contact: { reason: undefined },
};

const cases: [name: string, facts: Partial<HealthFacts>, reasons: string[]][] = [
  ["all is well", {}, []],
  ["there is no lease, and why", { lease: { own: undefined, reason: "all are held" } }, [
    "this host has no lease: all are held",
  ]],
  ["there is no lease, and nobody knows why", { lease: { own: undefined, reason: undefined } }, [
    "this host has no lease",
  ]],
  ["the registry is silent", { hasSnapshot: false, lastPass: undefined }, [
    "the registry has not said yet who is in the overlay",
  ]],
  ["the registry is silent, and why", {
    hasSnapshot: false,
    lastPass: undefined,
    contact: { reason: "nobody answers" },
  }, ["the registry has not said yet who is in the overlay: nobody answers"]],
  ["there is no lease, which is the cause of all else", {
    lease: { own: undefined, reason: "all are held" },
    lastPass: undefined,
    hasSnapshot: false,
    podFiles: { fault: "the subnet file is not written yet", note: undefined },
  }, ["this host has no lease: all are held"]],
  ["no pass was made", { lastPass: undefined }, ["no pass was made yet"]],
  ["the last pass failed", {
    lastPass: pass({ planned: 9, failureCount: 2, failures: ["no route", "no link"] }),
  }, [
    "2 of 9 changes failed in the last pass",
    "no route",
    "no link",
  ]],
  ["the underlay is gone", { underlay: { reason: "no link fits" } }, ["no link fits"]],
  ["nothing can work", {
    host: { ...HOST, prerequisites: [{ name: "vxlan", verdict: "fatal", detail: "no VXLAN" }] },
  }, ["no VXLAN"]],
  ["packets have not come back since the boot", {
    host: { ...HOST, dataPath: { state: "waiting", isAwaited: true, peers: ["b: silent"], note: undefined } },
  }, ["no packet has come back over the overlay yet: b: silent"]],
  ["pods don't reach the outside", {
    rules: { changes: 0, isMasquerading: true, effective: [], failures: ["no table"], warnings: [] },
  }, ["no table"]],
  ["the links are down", { lastPass: pass({ isForwarding: false }) }, [
    "the links of the overlay are not as they must be",
  ]],
  ["the subnet file is missing", {
    podFiles: { fault: "the subnet file is not written yet", note: undefined },
  }, [
    "the subnet file is not written yet",
  ]],
  ["a peer was left out", { lastPass: pass({ faults: [{ host: "b", reason: "overlaps" }] }) }, []],
];

for (const [name, facts, reasons] of cases) {
  Deno.test(`readiness() is ${reasons.length === 0} when ${name}`, () => {
    assertEquals(readiness({ ...ready, ...facts }), { isReady: reasons.length === 0, reasons, notes: [] });
  });
}

const noted: [name: string, facts: Partial<HealthFacts>, note: string][] = [
  [
    "the lease can't be renewed",
    { lease: { own: OWN, reason: "nobody answers" } },
    "the lease can't be renewed: nobody answers",
  ],
  [
    "the registry is away",
    { contact: { reason: "nobody answers" } },
    "the registry can't be followed: nobody answers",
  ],
  [
    "one family has no underlay",
    { shortfalls: ["link eth0 has no usable IPv6 address"] },
    "link eth0 has no usable IPv6 address; the other family goes on without it",
  ],
  [
    "another address would be better if somebody answered there",
    { underlay: { reason: undefined, note: "192.0.2.9 on eth0 would carry the overlay" } },
    "192.0.2.9 on eth0 would carry the overlay",
  ],
  [
    "some hosts have another backend",
    { lastPass: pass({ otherBackends: ["2 hosts of backend host-gw"] }) },
    "2 hosts of backend host-gw: this one does not reach them",
  ],
  [
    "something works less well",
    {
      host: { ...HOST, prerequisites: [{ name: "rp_filter", verdict: "degraded", detail: "it is strict" }] },
    },
    "it is strict",
  ],
  [
    "no peer answers",
    { host: { ...HOST, dataPath: { ...HOST.dataPath, state: "unanswered", note: "nobody answers" } } },
    "nobody answers",
  ],
  [
    "the rules fail, and nothing is masqueraded",
    { rules: { changes: 0, isMasquerading: false, effective: [], failures: ["no table"], warnings: [] } },
    "no table",
  ],
  [
    "somebody else's chain drops packets of pods",
    { rules: { changes: 0, isMasquerading: true, effective: [], failures: [], warnings: ["a chain drops"] } },
    "a chain drops",
  ],
  [
    "the peers are remembered",
    { lastPass: pass({ isRemembered: true }) },
    "the peers are those that were known before the agent started",
  ],
];

for (const [name, facts, note] of noted) {
  Deno.test(`readiness() is true, with a note, when ${name}: what is built stays`, () => {
    assertEquals(readiness({ ...ready, ...facts }), { isReady: true, reasons: [], notes: [note] });
  });
}

Deno.test("readiness() names who contests this host's place; of one that is gone it is a note", () => {
  const reason = "underlay address 192.0.2.1 is ours; it is node7";
  const lastPass = {
    ...pass(),
    faults: [{ host: "n7", reason, isContest: true as const }, { host: "n8", reason: "x" }],
  };
  const contested = readiness({ ...ready, lastPass });
  assertEquals(contested.isReady, false);
  assertEquals(contested.reasons, [
    `this host's place is contested by n7: ${reason}; one of the two has to change, or if it is gone its lease has to be removed`,
  ]);
  const left = readiness({ ...ready, lastPass, isGone: (host) => host === "n7" });
  assertEquals(left.isReady, true);
  assertEquals(left.notes, [
    `n7 claims what is this host's, and shows no sign of life; remove it if it is gone: ${reason}`,
  ]);
  const lease = {
    own: OWN,
    reason: undefined,
    contest: "the lease n1 of this host is written by another host too",
  };
  assertEquals(readiness({ ...ready, lease }).reasons, [
    "this host's place is contested: the lease n1 of this host is written by another host too",
  ]);
});

Deno.test("readiness() has a finding among the reasons where it blocks, and among the notes where it does not", () => {
  const findings = [
    { isBlocking: true, sentence: "pods can't be attached" },
    { isBlocking: false, sentence: "one route is slower than it could be" },
  ];
  assertEquals(readiness({ ...ready, findings }), {
    isReady: false,
    reasons: ["pods can't be attached"],
    notes: ["one route is slower than it could be"],
  });
});
