import { assertEquals } from "@std/assert";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { cutOff, type ReachFacts } from "../../src/status/cut_off.ts";

const START = "this host reaches none of the other hosts, so that its pods are cut off from theirs: ";
const NOBODY: Omit<ReachFacts, "reach"> = {
  leaseType: "host-gw",
  remoteLeases: 0,
  faults: [],
  otherBackends: [],
};
const off = (host: string) => ({
  host,
  reason: `the address of ${host} is not on the segment of eth0`,
  cause: "its address is not on the segment of eth0",
});

const cases: [
  when: string,
  facts: Partial<ReachFacts> & { reached?: number },
  because: string | undefined,
][] = [
  ["it is alone", {}, undefined],
  ["it reaches one of two", { reached: 1, remoteLeases: 2, faults: [off("b")] }, undefined],
  ["all it reaches have another backend than others", {
    reached: 1,
    otherBackends: ["1 host of backend vxlan"],
  }, undefined],
  ["its backend makes nothing", { leaseType: "", remoteLeases: 2 }, undefined],
  [
    "its only peer is left out",
    { remoteLeases: 1, faults: [off("b")] },
    "b: the address of b is not on the segment of eth0",
  ],
  [
    "all are left out for one cause",
    { remoteLeases: 2, faults: [off("b"), off("c")] },
    "of each of 2: its address is not on the segment of eth0",
  ],
  [
    "both families of its only peer are left out",
    { remoteLeases: 1, faults: [off("b"), { host: "b", reason: "no unicast VtepMAC" }] },
    "b: the address of b is not on the segment of eth0; b: no unicast VtepMAC",
  ],
  [
    "both families of its only peer are left out for one reason",
    { remoteLeases: 1, faults: [1, 2].map(() => ({ host: "b", reason: "its VNI is 1, this host's is 8" })) },
    "b: its VNI is 1, this host's is 8",
  ],
  [
    "each has a cause of its own",
    {
      remoteLeases: 5,
      faults: ["b", "c", "d", "e", "f"].map((host) => ({ host, reason: `the VNI of ${host}` })),
    },
    "b: the VNI of b; c: the VNI of c; d: the VNI of d; and 2 more",
  ],
  [
    "the only other entry can't be read, or is of another network",
    { faults: [{ host: "b", reason: "its value is no JSON" }] },
    undefined,
  ],
  [
    "all have other backends",
    { remoteLeases: 3, otherBackends: ["2 hosts of backend vxlan", "1 host of backend alloc"] },
    "2 hosts of backend vxlan and 1 host of backend alloc, which one of backend host-gw does not reach until " +
    "all have one backend",
  ],
  [
    "one has another backend and one is left out",
    { remoteLeases: 2, otherBackends: ["1 host of backend vxlan"], faults: [off("b")] },
    "1 host of backend vxlan, which one of backend host-gw does not reach until all have one backend; " +
    "b: the address of b is not on the segment of eth0",
  ],
  [
    "no family is common",
    { remoteLeases: 1, reach: [{ family: AF_INET, peers: 0, reached: 0 }] },
    "they have no address and subnet of a family that this host uses",
  ],
  [
    "the only other lease is at its own address",
    {
      remoteLeases: 1,
      faults: [{ host: "old", reason: "its underlay address is this host's own", isSelf: true }],
    },
    undefined,
  ],
  [
    "the only other one claims what is its own",
    { faults: [{ host: "twin", reason: "its subnet is this host's", isContest: true }] },
    undefined,
  ],
  [
    "a host has written a long reason",
    { remoteLeases: 1, faults: [{ host: "b".repeat(400), reason: "c".repeat(400) }] },
    `${"b".repeat(300)}: ${"c".repeat(300)}`,
  ],
];

for (const [when, facts, because] of cases) {
  Deno.test(`a host ${because === undefined ? "is not cut off" : "is cut off, and not ready,"} when ${when}`, () => {
    const expected = because === undefined
      ? []
      : [{ code: "host-cut-off" as const, sentence: START + because }];
    const { reached = 0, remoteLeases = 0, ...rest } = facts;
    const reach = [{ family: AF_INET, peers: remoteLeases, reached }] as const;
    assertEquals(cutOff({ ...NOBODY, reach, remoteLeases, ...rest }), expected);
  });
}

const one = (family: typeof AF_INET | typeof AF_INET6, host: string) => ({
  host,
  reason: `the ${family === AF_INET ? "IPv4" : "IPv6"} of ${host} is taken`,
  family,
});
const halves: [
  when: string,
  four: [number, number],
  six: [number, number],
  faults: ReachFacts["faults"],
  said: string | undefined,
][] = [
  ["each family reaches another peer", [2, 1], [2, 1], [one(AF_INET, "b"), one(AF_INET6, "c")], undefined],
  ["IPv4 reaches nobody", [2, 0], [2, 2], [one(AF_INET, "b"), one(AF_INET, "c")], "in IPv4"],
  ["IPv6 reaches nobody", [2, 2], [2, 0], [one(AF_INET6, "b"), one(AF_INET6, "c")], "in IPv6"],
  [
    "IPv6 reaches nobody, and IPv4 not all",
    [2, 1],
    [1, 0],
    [one(AF_INET, "b"), one(AF_INET6, "c")],
    "in IPv6",
  ],
  ["nobody else has IPv6", [2, 2], [0, 0], [], undefined],
  ["the only other one's IPv6 claims what is ours", [1, 1], [1, 0], [{
    ...one(AF_INET6, "b"),
    isContest: true,
  }], undefined],
];

for (const [when, [peers4, reached4], [peers6, reached6], faults, said] of halves) {
  Deno.test(`a host of both families is ${said === undefined ? "not cut off" : `cut off ${said}`} when ${when}`, () => {
    const reach = [
      { family: AF_INET, peers: peers4, reached: reached4 },
      { family: AF_INET6, peers: peers6, reached: reached6 },
    ] as const;
    const found = cutOff({ ...NOBODY, leaseType: "vxlan", remoteLeases: 2, reach, faults });
    const family = said === "in IPv4" ? AF_INET : AF_INET6;
    const reasons = faults.filter((fault) => fault.family === family).map(({ host, reason }) =>
      `${host}: ${reason}`
    );
    const sentence =
      `this host reaches none of the other hosts ${said}, so that its pods are cut off from theirs: ` +
      reasons.join("; ");
    assertEquals(found, said === undefined ? [] : [{ code: "host-cut-off" as const, sentence }]);
  });
}
