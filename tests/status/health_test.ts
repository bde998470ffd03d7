import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { assert, assertEquals } from "@std/assert";
import { conditionsOf, type HealthFacts } from "../../src/status/health.ts";
import { type Condition, isReady, severityOf } from "../../src/model/condition.ts";
import { HOST, OWN, pass } from "./facts.ts";

const shown = ({ code, sentence }: Condition) => `${code}: ${sentence}`;

const ready: HealthFacts = {
  lastPass: pass(),
  lease: { own: OWN, reason: undefined },
  underlay: { reason: undefined },
  shortfalls: [],
  families: [AF_INET],
  podFiles: { fault: undefined, note: undefined },
  host: HOST,
  rules: undefined,
  hasSnapshot: true,
  contact: { reason: undefined },
};

const cases: [name: string, facts: Partial<HealthFacts>, expected: string[]][] = [
  ["all is well", {}, []],
  ["there is no lease, and why", { lease: { own: undefined, reason: "all are held" } }, [
    "lease-missing: this host has no lease: all are held",
  ]],
  ["there is no lease, and nobody knows why", { lease: { own: undefined, reason: undefined } }, [
    "lease-missing: this host has no lease",
  ]],
  ["the registry is silent", { hasSnapshot: false, lastPass: undefined }, [
    "registry-silent: the registry has not said yet who is in the overlay",
  ]],
  ["the registry is silent, and why", {
    hasSnapshot: false,
    lastPass: undefined,
    contact: { reason: "nobody answers" },
  }, ["registry-silent: the registry has not said yet who is in the overlay: nobody answers"]],
  ["there is no lease, which is the cause of all else", {
    lease: { own: undefined, reason: "all are held" },
    lastPass: undefined,
    hasSnapshot: false,
    podFiles: { fault: "the subnet file is not written yet", note: undefined },
  }, ["lease-missing: this host has no lease: all are held"]],
  ["no pass was made", { lastPass: undefined }, ["pass-missing: no pass was made yet"]],
  ["the last pass failed", {
    lastPass: pass({ planned: 9, failureCount: 2, failures: ["no route", "no link"] }),
  }, [
    "changes-failed: changes of the last pass failed: no route; no link",
  ]],
  ["the last pass failed in much", {
    lastPass: pass({ planned: 900, failureCount: 800, failures: ["a", "b", "c", "d"] }),
  }, ["changes-failed: changes of the last pass failed: a; b; c; and others, which /status lists"]],
  ["the underlay is gone", { underlay: { reason: "no link fits" } }, ["underlay-missing: no link fits"]],
  ["nothing can work", {
    host: { ...HOST, prerequisites: [{ name: "vxlan", verdict: "fatal", detail: "no VXLAN" }] },
  }, ["prerequisite-missing: no VXLAN"]],
  ["packets have not come back since the boot", {
    host: { ...HOST, dataPath: { state: "waiting", isAwaited: true, peers: ["b: silent"], note: undefined } },
  }, ["data-path-unproved: no packet has come back over the overlay yet: b: silent"]],
  ["pods don't reach the outside", {
    rules: { changes: 0, isMasquerading: true, effective: [], failures: ["no table"], warnings: [] },
  }, ["masquerade-missing: no table"]],
  ["the links are down", { lastPass: pass({ isForwarding: false }) }, [
    "links-missing: the links of the overlay are not as they must be",
  ]],
  ["a link is down as another program sets it down each time", {
    lastPass: pass({
      isForwarding: false,
      fights: [{ code: "link-fought", sentence: "another program has changed link flannel.1" }],
    }),
  }, ["link-fought: another program has changed link flannel.1"]],
  ["the subnet file is missing", {
    podFiles: { fault: "the subnet file is not written yet", note: undefined },
  }, [
    "pod-files-missing: the subnet file is not written yet",
  ]],
  ["a peer was left out", { lastPass: pass({ faults: [{ host: "b", reason: "overlaps" }] }) }, []],
];

for (const [name, facts, expected] of cases) {
  Deno.test(`conditionsOf() finds ${expected.length === 0 ? "nothing" : "what is in the way"} when ${name}`, () => {
    const found = conditionsOf({ ...ready, ...facts });
    assertEquals(found.map(shown), expected);
    assert(found.every((one) => severityOf(one) === "blocking"));
  });
}

const noted: [name: string, facts: Partial<HealthFacts>, note: string][] = [
  [
    "the lease can't be renewed",
    { lease: { own: OWN, reason: "nobody answers" } },
    "lease-not-renewed: the lease can't be renewed: nobody answers",
  ],
  [
    "checksum offload can't be set",
    {
      host: {
        ...HOST,
        checksums: [{
          linkName: "flannel.1",
          observed: true,
          reason: "a driver",
          fault: "Cannot set it: EPERM",
        }],
      },
    },
    "checksum-not-set: checksum offload of flannel.1 is not as chosen: Cannot set it: EPERM",
  ],
  [
    "the registry is away",
    { contact: { reason: "nobody answers" } },
    "registry-not-followed: the registry can't be followed: nobody answers",
  ],
  [
    "one family has no underlay",
    { shortfalls: ["link eth0 has no usable IPv6 address"] },
    "family-missing: link eth0 has no usable IPv6 address; the other family goes on without it",
  ],
  [
    "a family has come that no pass has made state for",
    { families: [AF_INET, AF_INET6] },
    "family-missing: IPv6 is being made; the other family goes on without it",
  ],
  [
    "another address would be better if a peer answered there",
    { underlay: { reason: undefined, note: "192.0.2.9 on eth0 would carry the overlay" } },
    "underlay-doubtful: 192.0.2.9 on eth0 would carry the overlay",
  ],
  [
    "some hosts have another backend",
    { lastPass: pass({ otherBackends: ["2 hosts of backend host-gw"] }) },
    "other-backend: 2 hosts of backend host-gw: this one does not reach them",
  ],
  [
    "something works less well",
    {
      host: { ...HOST, prerequisites: [{ name: "rp_filter", verdict: "degraded", detail: "it is strict" }] },
    },
    "prerequisite-degraded: it is strict",
  ],
  [
    "no peer answers",
    { host: { ...HOST, dataPath: { ...HOST.dataPath, state: "unanswered", note: "nobody answers" } } },
    "data-path-unanswered: nobody answers",
  ],
  [
    "the rules fail, and nothing is masqueraded",
    { rules: { changes: 0, isMasquerading: false, effective: [], failures: ["no table"], warnings: [] } },
    "rules-missing: no table",
  ],
  [
    "another program's chain drops packets of pods",
    { rules: { changes: 0, isMasquerading: true, effective: [], failures: [], warnings: ["a chain drops"] } },
    "rules-overruled: a chain drops",
  ],
  [
    "the peers are remembered",
    { lastPass: pass({ isRemembered: true }) },
    "peers-remembered: the peers are those that were known before the agent started",
  ],
];

for (const [name, facts, note] of noted) {
  Deno.test(`conditionsOf() finds that the host is ready, with a note, when ${name}: what is built stays`, () => {
    const found = conditionsOf({ ...ready, ...facts });
    assertEquals([found.map(shown), isReady(found)], [[note], true]);
  });
}

Deno.test("conditionsOf() names who contests this host's place; of one that is gone it is a note", () => {
  const reason = "underlay address 192.0.2.1 is ours; it is node7";
  const lastPass = {
    ...pass(),
    faults: [{ host: "n7", reason, isContest: true as const }, { host: "n8", reason: "x" }],
  };
  assertEquals(conditionsOf({ ...ready, lastPass }).map(shown), [
    `place-contested: this host's place is contested by n7: ${reason}; one of the two has to change, or if it is gone its lease has to be removed`,
  ]);
  assertEquals(conditionsOf({ ...ready, lastPass, isGone: (host) => host === "n7" }).map(shown), [
    `contester-silent: n7 claims what is this host's, and shows no sign of life; remove it if it is gone: ${reason}`,
  ]);
  const contest = "the lease n1 of this host is written by another host too";
  assertEquals(conditionsOf({ ...ready, lease: { own: OWN, reason: undefined, contest } }).map(shown), [
    `lease-contested: this host's place is contested: ${contest}`,
  ]);
});

Deno.test("conditionsOf() hands on what was found elsewhere", () => {
  const conditions = [
    { code: "bridge-down", sentence: "the bridge cni0 is down" },
    { code: "bridge-address-old", sentence: "the bridge cni0 has an old address" },
  ] as const;
  assertEquals(conditionsOf({ ...ready, conditions }), conditions);
});

Deno.test("conditionsOf() names the causes before what follows of them", () => {
  const found = conditionsOf({
    ...ready,
    lastPass: pass({ isForwarding: false, doubts: ["two leases publish 192.0.2.7"] }),
    underlay: { reason: "no link fits" },
    lease: { own: OWN, reason: "nobody answers", misplaced: "the lease says 192.0.2.1", gone: "it is lost" },
    podFiles: { fault: "the disk is full", note: "05-calico.conflist sorts before" },
  });
  assertEquals(found.map(({ code }) => code), [
    "underlay-missing",
    "lease-gone",
    "lease-misplaced",
    "links-missing",
    "pod-files-missing",
    "conflist-shadowed",
    "lease-not-renewed",
    "underlay-address-shared",
  ]);
});
