import { assertEquals } from "@std/assert";
import {
  type BridgeAddress,
  formatBridgeAddress,
  gatewayOf,
  isOldGateway,
  isOwed,
  planBridge,
  shadowedBy,
  subnetOf,
} from "../../src/pods/bridge_plan.ts";
import { formatPrefix, isOverlapping, parseAddress, parsePrefix } from "../../src/model/address.ts";

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
  /** Families in which the bridge had the gateway before. */
  readonly had?: readonly (4 | 6)[];
  readonly hasPods?: boolean;
  /** Gateways that are taken away again and again. */
  readonly left?: readonly string[];
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
    held: ["10.244.21.0/24"],
    steps: ["add 10.244.5.1/24", "remove 10.244.21.1/24"],
  },
  {
    why: "pods of the old subnet need theirs: it goes behind",
    addresses: ["10.244.21.1/24"],
    held: ["10.244.21.0/24"],
    kept: ["10.244.21.0/24"],
    steps: ["add 10.244.5.1/24", "remove 10.244.21.1/24", "add 10.244.21.1/24"],
  },
  {
    why: "the kept one is behind already",
    addresses: ["10.244.5.1/24", "10.244.21.1/24"],
    held: ["10.244.21.0/24"],
    kept: ["10.244.21.0/24"],
    steps: [],
  },
  {
    why: "an earlier process ended in between",
    addresses: ["10.244.21.1/24", "10.244.5.1/24"],
    held: ["10.244.21.0/24"],
    kept: ["10.244.21.0/24"],
    steps: ["remove 10.244.21.1/24", "add 10.244.21.1/24"],
  },
  {
    why: "the last old pod is gone",
    addresses: ["10.244.5.1/24", "10.244.21.1/24"],
    held: ["10.244.21.0/24"],
    steps: ["remove 10.244.21.1/24"],
  },
  {
    why: "the subnet has changed twice",
    addresses: ["10.244.21.1/24", "10.244.22.1/24"],
    held: ["10.244.21.0/24", "10.244.22.0/24"],
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
    why: "a bridge with nothing but a foreign address is another program's",
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
    why: "the kernel would take away what was put beside the old gateway",
    addresses: ["10.244.21.1/24", "10.244.21.7/24"],
    held: ["10.244.21.0/24"],
    steps: [],
    inTheWay: ["10.244.21.1/24", "10.244.21.7/24"],
  },
  {
    why:
      "a gateway in the cluster's network is another host's, as long as nothing says that it was this one's",
    addresses: ["10.244.5.1/24", "10.244.21.1/24"],
    steps: [],
  },
  {
    why: "before the own one it is in the way, and stays",
    addresses: ["10.244.21.1/24", "10.244.5.1/24"],
    steps: [],
    inTheWay: ["10.244.21.1/24"],
  },
  {
    why: "another host's IPv6 gateway stays too",
    own: OWN6,
    addresses: ["fd00:21::1/64", "fd00:5::1/64"],
    steps: [],
  },
  {
    why: "the gateway was taken away",
    addresses: [],
    had: [4],
    steps: ["add 10.244.5.1/24"],
  },
  {
    why: "both gateways were taken away",
    own: [...OWN, ...OWN6],
    addresses: ["fe80::1/64"],
    had: [4, 6],
    steps: ["add 10.244.5.1/24", "add fd00:5::1/64"],
  },
  {
    why: "one family's is gone, and pods are there",
    own: [...OWN, ...OWN6],
    addresses: ["10.244.5.1/24", "fe80::1/64"],
    hasPods: true,
    steps: ["add fd00:5::1/64"],
  },
  {
    why: "one family's was never there, and no pods are: the first gets it",
    own: [...OWN, ...OWN6],
    addresses: ["10.244.5.1/24", "fe80::1/64"],
    steps: [],
  },
  {
    why: "pods are there, and nothing else: it was lost while no agent ran",
    own: [...OWN, ...OWN6],
    addresses: ["fe80::1/64"],
    hasPods: true,
    steps: ["add 10.244.5.1/24", "add fd00:5::1/64"],
  },
  {
    why: "with something else alone it is another program's, with all that is on it",
    addresses: ["192.168.7.1/24"],
    hasPods: true,
    steps: [],
    inTheWay: ["192.168.7.1/24"],
  },
  {
    why: "the gateway was there before: what else is there is in the way of it",
    addresses: ["192.168.7.1/24"],
    had: [4],
    steps: ["add 10.244.5.1/24"],
    inTheWay: ["192.168.7.1/24"],
  },
  {
    why: "who takes it away again and again has it so",
    addresses: [],
    had: [4],
    left: ["10.244.5.1/24"],
    steps: [],
  },
  {
    why: "and so beside the gateway of an earlier subnet",
    addresses: ["10.244.21.1/24"],
    held: ["10.244.21.0/24"],
    kept: ["10.244.21.0/24"],
    left: ["10.244.5.1/24"],
    steps: [],
    inTheWay: ["10.244.21.1/24"],
  },
  {
    why: "IPv6's is there under another length: the kernel has an address once",
    own: OWN6,
    addresses: ["fd00:5::1/80"],
    had: [6],
    steps: [],
    inTheWay: ["fd00:5::1/80"],
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
    held: ["fd00:21::/64"],
    steps: ["add fd00:5::1/64", "remove fd00:21::1/64"],
  },
  {
    why: "an IPv6 gateway that pods need may stay where it is",
    own: OWN6,
    addresses: ["fd00:21::1/64"],
    held: ["fd00:21::/64"],
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

for (const one of cases) {
  const { why, addresses, own = OWN, held = [], kept = [], had = [], hasPods = false, left = [] } = one;
  const { steps, inTheWay = [] } = one;
  Deno.test(`planBridge() plans ${steps.length} steps for ${addresses.join(", ") || "nothing"}: ${why}`, () => {
    const past = {
      own: own.map(parsePrefix),
      held: held.map(parsePrefix),
      reserved: [],
    };
    const facts = (list: readonly string[]) => ({
      addresses: list.map(addressOf),
      own: past.own,
      isOldGateway: (one: BridgeAddress) => isOldGateway(one, past),
      isKept: (subnet: ReturnType<typeof subnetOf>) => kept.includes(formatPrefix(subnet)),
      isOwed: ({ address }: BridgeAddress) =>
        isOwed({
          own: past.own,
          addresses: list.map(addressOf),
          hadGateway: had.includes(typeof address === "number" ? 4 : 6),
          hasPods: () => hasPods,
        }),
      isLeft: (gateway: BridgeAddress) => left.includes(formatBridgeAddress(gateway)),
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
    held: [],
    reserved: [parseAddress("10.9.0.7")],
  };
  assertEquals(isOldGateway(addressOf("10.9.0.1/24"), past), true);
  assertEquals(isOldGateway(addressOf("10.0.0.1/8"), past), false);
  assertEquals(isOldGateway(addressOf("10.244.5.1/24"), past), false, "it is the gateway");
  assertEquals(isOldGateway(addressOf("10.244.0.1/16"), past), false, "it is the whole network's");
  assertEquals(isOldGateway(addressOf("10.244.6.1/24"), past), false, "nobody says that it was this host's");
});

Deno.test("shadowedBy() finds the host whose subnet an address on the bridge takes, and not one behind a shorter prefix", () => {
  const others = ["10.244.7.0/24", "fd00:7::/64"].map(parsePrefix);
  for (
    const [address, subnet] of [
      ["10.244.7.1/24", "10.244.7.0/24"],
      ["10.244.7.130/25", "10.244.7.0/24"],
      ["fd00:7::1/64", "fd00:7::/64"],
      ["10.244.0.1/16", undefined],
      ["10.244.8.1/24", undefined],
      ["fe80::1/64", undefined],
    ] as const
  ) {
    const found = shadowedBy(addressOf(address), others);
    assertEquals(found && formatPrefix(found), subnet);
  }
});

Deno.test("gatewayOf(), subnetOf() and isOverlapping() agree on what a subnet is", () => {
  const subnet = parsePrefix("fd00:5::/64");
  assertEquals(formatBridgeAddress(gatewayOf(subnet)), "fd00:5::1/64");
  assertEquals(subnetOf(gatewayOf(subnet)), subnet);
  assertEquals(isOverlapping(parsePrefix("10.244.0.0/16"), parsePrefix("10.244.5.0/24")), true);
  assertEquals(isOverlapping(parsePrefix("10.244.4.0/24"), parsePrefix("10.244.5.0/24")), false);
});
