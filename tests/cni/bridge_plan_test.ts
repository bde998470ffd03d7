import { assertEquals } from "@std/assert";
import {
  type BridgeAddress,
  formatBridgeAddress,
  gatewayOf,
  isOldGateway,
  planBridge,
  subnetOf,
} from "../../src/cni/bridge_plan.ts";
import { isOverlapping } from "../../src/lease/overlap.ts";
import { formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";

function addressOf(text: string): BridgeAddress {
  const [address, length] = text.split("/");
  return { address: parseAddress(address!), length: Number(length) };
}

/** What the kernel has after the steps, in its order: IPv4 behind, IPv6 before. */
function applied(addresses: readonly string[], steps: readonly string[]): string[] {
  let list = [...addresses];
  for (const step of steps) {
    const [kind, one] = step.split(" ") as [string, string];
    list = kind === "remove"
      ? list.filter((other) => other !== one)
      : one.includes(":")
      ? [one, ...list]
      : [...list, one];
  }
  return list;
}

interface Case {
  readonly why: string;
  readonly addresses: readonly string[];
  readonly own?: readonly string[];
  readonly held?: readonly string[];
  readonly kept?: readonly string[];
  readonly steps: readonly string[];
  readonly inTheWay?: readonly string[];
}

const OWN = ["10.244.5.0/24"];
const OWN6 = ["fd00:5::/64"];
const cases: Case[] = [
  { why: "the plugin gives a bridge without addresses its own", addresses: [], steps: [] },
  { why: "all is as it must be", addresses: ["10.244.5.1/24"], steps: [] },
  {
    why: "the old gateway is nobody's",
    addresses: ["10.244.21.1/24"],
    steps: ["add 10.244.5.1/24", "remove 10.244.21.1/24"],
  },
  {
    why: "pods of the old subnet need theirs: it goes behind",
    addresses: ["10.244.21.1/24"],
    kept: ["10.244.21.0/24"],
    steps: ["add 10.244.5.1/24", "remove 10.244.21.1/24", "add 10.244.21.1/24"],
  },
  {
    why: "the kept one is behind already",
    addresses: ["10.244.5.1/24", "10.244.21.1/24"],
    kept: ["10.244.21.0/24"],
    steps: [],
  },
  {
    why: "an earlier process ended in between",
    addresses: ["10.244.21.1/24", "10.244.5.1/24"],
    kept: ["10.244.21.0/24"],
    steps: ["remove 10.244.21.1/24", "add 10.244.21.1/24"],
  },
  {
    why: "the last old pod is gone",
    addresses: ["10.244.5.1/24", "10.244.21.1/24"],
    steps: ["remove 10.244.21.1/24"],
  },
  {
    why: "the subnet has changed twice",
    addresses: ["10.244.21.1/24", "10.244.22.1/24"],
    kept: ["10.244.22.0/24"],
    steps: [
      "add 10.244.5.1/24",
      "remove 10.244.21.1/24",
      "remove 10.244.22.1/24",
      "add 10.244.22.1/24",
    ],
  },
  {
    why: "only the length has changed",
    addresses: ["10.244.5.1/25"],
    held: ["10.244.5.0/25"],
    steps: ["add 10.244.5.1/24", "remove 10.244.5.1/25"],
  },
  {
    why: "a foreign address behind the gateway is in nobody's way",
    addresses: ["10.244.5.1/24", "192.168.7.1/24"],
    steps: [],
  },
  {
    why: "a foreign address before it is",
    addresses: ["192.168.7.1/24", "10.244.5.1/24"],
    steps: [],
    inTheWay: ["192.168.7.1/24"],
  },
  {
    why: "a bridge with nothing but a foreign address is somebody's",
    addresses: ["192.168.7.1/24"],
    steps: [],
    inTheWay: ["192.168.7.1/24"],
  },
  {
    why: "an address of the network that is no gateway is an administrator's",
    addresses: ["10.244.21.7/24"],
    steps: [],
    inTheWay: ["10.244.21.7/24"],
  },
  {
    why: "the kernel would take away what somebody has put beside the old gateway",
    addresses: ["10.244.21.1/24", "10.244.21.7/24"],
    steps: [],
    inTheWay: ["10.244.21.1/24", "10.244.21.7/24"],
  },
  {
    why: "a gateway of another network is that one's",
    addresses: ["10.9.0.1/24"],
    steps: [],
    inTheWay: ["10.9.0.1/24"],
  },
  {
    why: "it is not if this host is known to have had it",
    addresses: ["10.9.0.1/24"],
    held: ["10.9.0.0/24"],
    steps: ["add 10.244.5.1/24", "remove 10.9.0.1/24"],
  },
  {
    why: "the IPv6 subnet has changed",
    own: OWN6,
    addresses: ["fd00:21::1/64", "fe80::1/64"],
    steps: ["add fd00:5::1/64", "remove fd00:21::1/64"],
  },
  {
    why: "an IPv6 gateway that pods need may stay where it is",
    own: OWN6,
    addresses: ["fd00:21::1/64"],
    kept: ["fd00:21::/64"],
    steps: ["add fd00:5::1/64"],
  },
  {
    why: "IPv6 has an address once, whatever its length",
    own: OWN6,
    addresses: ["fd00:5::1/80"],
    held: ["fd00:5::/80"],
    kept: ["fd00:5::/80"],
    steps: ["remove fd00:5::1/80", "add fd00:5::1/64"],
  },
  {
    why: "foreign IPv6 addresses are no matter unless they overlap",
    own: OWN6,
    addresses: ["fd99::1/64", "fd00::7/16", "fd00:5::1/64"],
    steps: [],
    inTheWay: ["fd00::7/16"],
  },
  {
    why: "a family that the host has no more goes with its last pod",
    own: OWN,
    addresses: ["10.244.5.1/24", "fd00:21::1/64"],
    held: ["fd00:21::/64"],
    steps: ["remove fd00:21::1/64"],
  },
];

for (const { why, addresses, own = OWN, held = [], kept = [], steps, inTheWay = [] } of cases) {
  Deno.test(`planBridge() plans ${steps.length} steps for ${addresses.join(", ") || "nothing"}: ${why}`, () => {
    const past = {
      own: own.map(parsePrefix),
      networks: ["10.244.0.0/16", "fd00::/16"].map(parsePrefix),
      held: held.map(parsePrefix),
      reserved: [],
    };
    const facts = (list: readonly string[]) => ({
      addresses: list.map(addressOf),
      own: past.own,
      isOldGateway: (one: BridgeAddress) => isOldGateway(one, past),
      isKept: (subnet: ReturnType<typeof subnetOf>) => kept.includes(formatPrefix(subnet)),
    });
    const plan = planBridge(facts(addresses));
    const planned = plan.steps.map((step) => `${step.kind} ${formatBridgeAddress(step)}`);
    assertEquals(planned, steps);
    assertEquals(plan.inTheWay.map(({ found }) => formatBridgeAddress(found)), inTheWay);
    assertEquals(planBridge(facts(applied(addresses, planned))).steps, [], "then it rests");
  });
}

Deno.test("isOldGateway() takes the store's word only for a subnet as long as the own one", () => {
  const past = {
    own: [parsePrefix("10.244.5.0/24")],
    networks: [parsePrefix("10.244.0.0/16")],
    held: [],
    reserved: [parseAddress("10.9.0.7")],
  };
  assertEquals(isOldGateway(addressOf("10.9.0.1/24"), past), true);
  assertEquals(isOldGateway(addressOf("10.0.0.1/8"), past), false);
  assertEquals(isOldGateway(addressOf("10.244.5.1/24"), past), false, "it is the gateway");
  assertEquals(isOldGateway(addressOf("10.244.0.1/16"), past), false, "it is the whole network's");
});

Deno.test("gatewayOf(), subnetOf() and isOverlapping() agree on what a subnet is", () => {
  const subnet = parsePrefix("fd00:5::/64");
  assertEquals(formatBridgeAddress(gatewayOf(subnet)), "fd00:5::1/64");
  assertEquals(subnetOf(gatewayOf(subnet)), subnet);
  assertEquals(isOverlapping(parsePrefix("10.244.0.0/16"), parsePrefix("10.244.5.0/24")), true);
  assertEquals(isOverlapping(parsePrefix("10.244.4.0/24"), parsePrefix("10.244.5.0/24")), false);
});
