import { assertEquals } from "@std/assert";
import { planRoutes } from "../../src/command/hand_back/hand_back_routes.ts";
import { Libc } from "../../src/linux/libc.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";

const NETWORKS = ["10.244.0.0/16", "fd00:10:244::/56"].map(parsePrefix);
const FORMER = [parsePrefix("10.1.0.0/16")];

interface Case {
  readonly name: string;
  /** What `ip route add` is told, one route a line. */
  readonly before: readonly string[];
  /** What is there then, of what is not the kernel's. */
  readonly after: readonly string[];
  readonly steps: readonly string[];
  readonly refused?: number;
}

const KEPT_2 = "10.244.2.0/24 via 192.0.2.2 dev eth0";

const cases: readonly Case[] = [
  {
    name: "a route gets flanneld's form, without the MTU that was found for it",
    before: ["10.244.2.0/24 via 192.0.2.2 proto 76 metric 3 mtu 1400"],
    after: [KEPT_2],
    steps: ["turn route 10.244.2.0/24 on eth0 into flanneld's"],
  },
  {
    name: "an IPv6 route is replaced by flanneld's",
    before: ["fd00:10:244:2::/64 via 2001:db8::2 proto 76 metric 1024 mtu 1400"],
    after: ["fd00:10:244:2::/64 via 2001:db8::2 dev eth0 metric 1024 pref medium"],
    steps: ["turn route fd00:10:244:2::/64 on eth0 into flanneld's"],
  },
  {
    name: "what a hand-back that was killed has done is left as it is, and the rest is done",
    before: [
      "10.244.2.0/24 via 192.0.2.2",
      "10.244.2.0/24 via 192.0.2.2 proto 76 metric 3",
      "10.244.3.0/24 via 192.0.2.3 proto 76 metric 4",
    ],
    after: [KEPT_2, "10.244.3.0/24 via 192.0.2.3 dev eth0"],
    steps: ["turn route 10.244.3.0/24 on eth0 into flanneld's", "delete route 10.244.2.0/24"],
  },
  {
    name: "another's route to a peer, which is before ours already, stays",
    before: [
      "10.244.2.0/24 via 192.0.2.9 proto static",
      "10.244.2.0/24 via 192.0.2.2 proto 76 metric 3",
    ],
    after: ["10.244.2.0/24 via 192.0.2.9 dev eth0 proto static"],
    steps: ["delete route 10.244.2.0/24"],
  },
  {
    name: "another's route with a metric stays behind flanneld's, as it stood behind ours",
    before: [
      "10.244.2.0/24 via 192.0.2.9 proto static metric 500",
      "10.244.2.0/24 via 192.0.2.2 proto 76 metric 3",
    ],
    after: [KEPT_2, "10.244.2.0/24 via 192.0.2.9 dev eth0 proto static metric 500"],
    steps: ["turn route 10.244.2.0/24 on eth0 into flanneld's"],
  },
  {
    name: "an IPv6 route that shares its place with another's is told, and stays",
    before: [
      "fd00:10:244:2::/64 via 2001:db8::2 proto 76 metric 1024",
      "append fd00:10:244:2::/64 via 2001:db8::9 proto static metric 1024",
    ],
    after: [
      "fd00:10:244:2::/64 proto 76 metric 1024 pref medium",
      "nexthop via 2001:db8::2 dev eth0 weight 1",
      "nexthop via 2001:db8::9 dev eth0 weight 1",
    ],
    steps: [],
    refused: 1,
  },
  {
    name: "blackholes go, and routes to former networks; another network's agent keeps its own",
    before: [
      "blackhole 10.244.1.0/24 proto 76 metric 4294967295",
      "blackhole fd00:10:244:1::/64 proto 76 metric 4294967295",
      "10.1.2.0/24 via 192.0.2.2 proto 76 metric 3",
      "10.9.2.0/24 via 192.0.2.2 proto 76 metric 3",
      "blackhole 10.9.1.0/24 proto 76 metric 4294967295",
      "blackhole 10.244.9.0/24 proto static metric 5",
    ],
    after: [
      "10.9.2.0/24 via 192.0.2.2 dev eth0 proto 76 metric 3",
      "blackhole 10.244.9.0/24 proto static metric 5",
      "blackhole 10.9.1.0/24 proto 76 metric 4294967295",
    ],
    steps: ["delete routes 10.1.2.0/24, 10.244.1.0/24", "delete route fd00:10:244:1::/64"],
  },
  {
    name: "a route for one source or TOS is none of ours",
    before: ["10.244.2.0/24 tos 0x10 via 192.0.2.2 proto 76 metric 3"],
    after: ["10.244.2.0/24 tos 0x10 via 192.0.2.2 dev eth0 proto 76 metric 3"],
    steps: [],
  },
  {
    name: "a route by a next-hop object of an early build is told",
    before: ["10.244.2.0/24 nhid 7 proto 76 metric 3"],
    after: ["10.244.2.0/24 nhid 7 via 192.0.2.2 dev eth0 proto 76 metric 3"],
    steps: [],
    refused: 1,
  },
];

for (const { name, before, after, steps, refused = 0 } of cases) {
  Deno.test(`planRoutes(): ${name}`, async () => {
    await using netns = await TestNetns.create();
    await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24", address6: "2001:db8::1/64" });
    await netns.ip("nexthop", "add", "id", "7", "via", "192.0.2.2", "dev", "eth0");
    for (const line of before) {
      const isAppended = line.startsWith("append ");
      const words = line.replace(/^append /, "").split(" ");
      await netns.ip(
        ...line.includes("fd00") ? ["-6"] : [],
        "route",
        isAppended ? "append" : "add",
        ...words,
      );
    }
    using libc = new Libc();
    using transport = netns.openTransport(libc);
    const client = new NetlinkClient(transport);
    const plan = planRoutes(client, NETWORKS, FORMER);
    for (const step of plan.steps) await step.run();
    assertEquals([plan.steps.map(({ verb, object }) => `${verb} ${object}`), plan.refused.length], [
      steps,
      refused,
    ]);
    const shown = `${await netns.ip("-4", "route", "show")}\n${await netns.ip("-6", "route", "show")}`;
    const lines = shown.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim())
      .filter((line) => line !== "" && !/proto kernel|^default|^fe80/.test(line)).map((line) =>
        line.replace(/ dev lo | dev lo$/, " ").replace("tos lowdelay", "tos 0x10")
      );
    assertEquals(lines.map((line) => line.trim()).sort(), [...after].sort());
    assertEquals(planRoutes(client, NETWORKS, FORMER).steps, [], "and then there is nothing left");
  });
}

Deno.test("planRoutes() turns as many routes as a large cluster has, over a VTEP, in one go", async () => {
  await using netns = await TestNetns.create();
  await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  await netns.ip(
    "link",
    "add",
    "flannel.1",
    "type",
    "vxlan",
    "id",
    "1",
    "dstport",
    "8472",
    "local",
    "192.0.2.1",
  );
  await netns.ip("link", "set", "flannel.1", "up");
  const folder = await Deno.makeTempDir({ prefix: "lodentest-routes-" });
  try {
    const subnets = Array.from({ length: 2000 }, (_, at) => `10.244.${at >> 4}.${(at & 15) << 4}`);
    const lines = subnets.map((subnet, at) =>
      `route add ${subnet}/28 via ${subnet} dev flannel.1 onlink proto 76 metric ${1 + at % 256}`
    );
    await Deno.writeTextFile(`${folder}/batch`, lines.join("\n"));
    await netns.ip("-batch", `${folder}/batch`);
    using libc = new Libc();
    using transport = netns.openTransport(libc);
    const client = new NetlinkClient(transport);
    const { steps } = planRoutes(client, NETWORKS, []);
    assertEquals(steps.map(({ object }) => object), ["2000 routes on flannel.1 into flanneld's"]);
    for (const step of steps) await step.run();
    const shown = (await netns.ip("route", "show", "dev", "flannel.1")).trim().split("\n").map((line) =>
      line.trim()
    );
    assertEquals(shown.sort(), subnets.map((subnet) => `${subnet}/28 via ${subnet} onlink`).sort());
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
