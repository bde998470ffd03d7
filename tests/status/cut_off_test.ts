import { assertEquals } from "@std/assert";
import { cutOff, type ReachFacts } from "../../src/status/cut_off.ts";

const START = "this host reaches none of the other hosts, so that its pods are cut off from theirs: ";
const NOBODY: ReachFacts = {
  leaseType: "host-gw",
  reached: 0,
  remoteLeases: 0,
  faults: [],
  otherBackends: [],
};
const off = (host: string) => ({
  host,
  reason: `the address of ${host} is not on the segment of eth0`,
  cause: "its address is not on the segment of eth0",
});

const cases: [when: string, facts: Partial<ReachFacts>, because: string | undefined][] = [
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
    { remoteLeases: 1 },
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
    "somebody has written a long reason",
    { remoteLeases: 1, faults: [{ host: "b".repeat(400), reason: "c".repeat(400) }] },
    `${"b".repeat(300)}: ${"c".repeat(300)}`,
  ],
];

for (const [when, facts, because] of cases) {
  Deno.test(`a host ${because === undefined ? "is not cut off" : "is cut off, and not ready,"} when ${when}`, () => {
    const expected = because === undefined ? [] : [{ isBlocking: true, sentence: START + because }];
    assertEquals(cutOff({ ...NOBODY, ...facts }), expected);
  });
}
