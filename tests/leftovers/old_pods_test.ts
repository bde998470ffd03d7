import { assertEquals } from "@std/assert";
import type { Finding } from "../../src/leftovers/leftovers.ts";
import { describeOldPods, isOutside, oldPods } from "../../src/leftovers/old_pods.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";

const OWN = ["10.244.5.0/24", "fd00:5::/64"].map(parsePrefix);

function attachment(containerId: string, fate: Finding["fate"], ...addresses: string[]): Finding {
  const reservations = addresses.map((text) => ({
    network: "cbr0",
    address: parseAddress(text),
    containerId,
    ifname: "eth0",
    writtenAtMs: 0,
    path: `/n/cbr0/${text}`,
  }));
  return { network: "cbr0", containerId, ifname: "eth0", reservations, state: undefined, fate, reason: "" };
}

Deno.test("oldPods() counts what has an address outside and is not known to be gone", () => {
  const found = oldPods([
    attachment("alive", "alive", "10.244.21.2"),
    attachment("unsure", "unsure", "10.244.21.3"),
    attachment("stale", "stale", "10.244.21.4"),
    attachment("new", "alive", "10.244.5.2", "fd00:5::2"),
    attachment("half", "alive", "10.244.5.3", "fd00:21::3"),
  ], OWN);
  assertEquals(found.map(({ containerId, addresses }) => [containerId, addresses.length]), [
    ["alive", 1],
    ["unsure", 1],
    ["half", 1],
  ]);
  assertEquals(isOutside(parseAddress("10.244.5.9"), OWN), false);
});

const cases: [why: string, pods: string[][], held: string[], sentences: string[]][] = [
  ["there is none", [], [], []],
  ["three are of one subnet", [["10.244.21.2"], ["10.244.21.4"], ["10.244.21.3"]], [], [
    "3 pods have addresses of 10.244.21.0/24 and must be re-created: this host has 10.244.5.0/24 and fd00:5::/64 " +
    "now, so other hosts do not reach them (10.244.21.2, 10.244.21.3, 10.244.21.4)",
  ]],
  ["one has both families", [["10.244.21.2", "fd00:21::2"]], [], [
    "1 pod has addresses of 10.244.21.0/24 and fd00:21::/64 and must be re-created: this host has 10.244.5.0/24 " +
    "and fd00:5::/64 now, so other hosts do not reach it (10.244.21.2, fd00:21::2)",
  ]],
  ["the subnet was of another length", [["10.9.0.200"]], ["10.9.0.128/25"], [
    "1 pod has addresses of 10.9.0.128/25 and must be re-created: this host has 10.244.5.0/24 and fd00:5::/64 now, " +
    "so other hosts do not reach it (10.9.0.200)",
  ]],
  [
    "there are more than can be named",
    ["2", "3", "4", "5", "6", "7"].map((last) => [`10.244.21.${last}`]),
    [],
    [
      "6 pods have addresses of 10.244.21.0/24 and must be re-created: this host has 10.244.5.0/24 and fd00:5::/64 " +
      "now, so other hosts do not reach them (10.244.21.2, 10.244.21.3, 10.244.21.4, 10.244.21.5, 10.244.21.6, …)",
    ],
  ],
];

for (const [why, pods, held, sentences] of cases) {
  Deno.test(`describeOldPods() says ${sentences.length} sentences when ${why}`, () => {
    const all = pods.map((addresses, at) => ({
      containerId: `c${at}`,
      ifname: "eth0",
      addresses: addresses.map(parseAddress),
    }));
    assertEquals(describeOldPods(all, { own: OWN, held: held.map(parsePrefix) }), sentences);
  });
}
