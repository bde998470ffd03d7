import { assertEquals } from "@std/assert";
import { type PeerTruth, truthConditions, type TruthFacts } from "../../src/agent/truth_conditions.ts";
import { AF_INET, AF_INET6, parsePrefix } from "../../src/model/address.ts";

const CUT = "this host reaches none of the other hosts";

function peer(host: string, subnet: string, changes: Partial<PeerTruth> = {}): PeerTruth {
  return { host, subnet: parsePrefix(subnet), isWhole: true, reason: `why ${host}`, ...changes };
}

function facts(changes: Partial<TruthFacts>): TruthFacts {
  return {
    peers: [],
    own: [],
    counts: new Map([[AF_INET, 2]]),
    pass: { faults: [], reach: [{ family: AF_INET, peers: 2, reached: 2 }], ownTaken: [] },
    cutFamilies: new Set(),
    ...changes,
  };
}

const a4 = peer("a", "10.244.1.0/24");
const b4 = peer("b", "10.244.2.0/24");
const a6 = peer("a", "fd00:10:244:1::/64");
const b6 = peer("b", "fd00:10:244:2::/64");
const both = new Map([[AF_INET, 2], [AF_INET6, 2]] as const);
const reach = (reached: number) => ({
  faults: [],
  reach: [{ family: AF_INET, peers: 2, reached } as const],
  ownTaken: [],
});

/** What is found, and what is said: the codes, each with a part of its sentence. */
const CASES: readonly [name: string, found: Partial<TruthFacts>, said: readonly [string, string][]][] = [
  ["nothing", {}, []],
  ["one of two", { peers: [a4] }, [["peers-misrouted", "pods of 1 of 2 other hosts don't get on: a: why a"]]],
  ["both", { peers: [a4, b4] }, [[
    "host-cut-off",
    `${CUT}, so that its pods are cut off from theirs: of a: why a; the other likewise`,
  ]]],
  ["both, one of them in part", { peers: [a4, { ...b4, isWhole: false }] }, [[
    "peers-misrouted",
    "pods of 2 of 2",
  ]]],
  ["one of two families", { counts: both, peers: [a4, b4] }, [["host-cut-off", `${CUT} in IPv4, so`]]],
  ["one of two families, and one peer of the other", { counts: both, peers: [a4, b4, a6] }, [
    ["host-cut-off", `${CUT} in IPv4, so`],
    ["peers-misrouted", "pods of 1 of 2"],
  ]],
  ["both families", { counts: both, peers: [a4, b4, a6, b6] }, [["host-cut-off", `${CUT}, so`]]],
  ["both, as there is no way in the underlay", { peers: [a4, b4], cutFamilies: new Set([AF_INET]) }, []],
  ["both, as the pass says", { peers: [a4, b4], pass: reach(0) }, []],
  ["one that the pass names", {
    peers: [a4],
    pass: { ...reach(1), faults: [{ host: "a", reason: "a route takes it", family: AF_INET }] },
  }, []],
  ["one that the pass names in the other family", {
    counts: both,
    peers: [a4, a6],
    pass: { ...reach(2), faults: [{ host: "a", reason: "a route takes it", family: AF_INET6 }] },
  }, [["peers-misrouted", "pods of 1 of 2 other hosts don't get on: a: why a"]]],
  ["one that the pass names, as a route takes a part of its packets", {
    pass: {
      ...reach(2),
      faults: [{ host: "a", reason: "a route takes it", family: AF_INET, taken: "part" }],
    },
  }, [["peers-misrouted", "pods of 1 of 2 other hosts don't get on: a: a route takes it"]]],
  ["one that the pass names with the route, and another", {
    peers: [a4, b4],
    pass: {
      ...reach(1),
      faults: [{ host: "a", reason: "a route takes it", family: AF_INET, taken: "part" }],
    },
    counts: new Map([[AF_INET, 3]]),
  }, [["peers-misrouted", "pods of 2 of 3 other hosts don't get on: a: a route takes it; b: why b"]]],
  ["both, of one of which a route takes a part", {
    peers: [a4, b4],
    pass: {
      ...reach(2),
      faults: [{ host: "a", reason: "a route takes it", family: AF_INET, taken: "part" }],
    },
  }, [["peers-misrouted", "pods of 2 of 2"]]],
  ["both, of one of which a route takes all", {
    peers: [a4, b4],
    pass: {
      ...reach(1),
      faults: [{ host: "a", reason: "a route takes it", family: AF_INET, taken: "whole" }],
    },
  }, [["host-cut-off", CUT]]],
  ["all, as the pass names with their routes", {
    pass: {
      ...reach(0),
      faults: [{ host: "a", reason: "a route takes it", family: AF_INET, taken: "part" }],
    },
  }, []],
  ["this host's own", { own: [peer("", "10.244.9.0/24")] }, [[
    "own-subnet-taken",
    "own subnet 10.244.9.0/24 is not reached",
  ]]],
  ["a part of this host's own", { own: [peer("", "10.244.9.0/24", { isWhole: false })] }, [
    ["own-subnet-partly-taken", "a part of this host's own subnet 10.244.9.0/24"],
  ]],
  ["this host's own, as the pass says", {
    own: [peer("", "10.244.9.0/24")],
    pass: { ...reach(2), ownTaken: [{ code: "own-subnet-taken", sentence: "route x takes 10.244.9.0/24" }] },
  }, []],
];

for (const [name, found, said] of CASES) {
  Deno.test(`what is said when the kernel misleads packets: ${name}`, () => {
    const conditions = truthConditions(facts(found));
    assertEquals(conditions.map(({ code }) => code as string), said.map(([code]) => code));
    for (const [at, [, words]] of said.entries()) {
      assertEquals(conditions[at]!.sentence.includes(words), true, conditions[at]!.sentence);
    }
  });
}

Deno.test("of many peers three are named, and the others counted", () => {
  const peers = Array.from({ length: 9 }, (_, n) => peer(`h${n}`, `10.244.${n}.0/24`));
  const [condition] = truthConditions(facts({ counts: new Map([[AF_INET, 100]]), peers }));
  assertEquals(
    condition?.sentence,
    "packets for pods of 9 of 100 other hosts don't get on: h0: why h0; h1: why h1; h2: why h2; and 6 more",
  );
});
