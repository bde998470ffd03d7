import { assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { formatPrefix, parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import {
  blockingPolicy,
  dumpXfrmPolicies,
  NETLINK_XFRM,
  XFRM_DIRECTION,
} from "../../src/rtnetlink/xfrm_policy.ts";
import { TestNetns } from "../double/netns.ts";

const [OWN, ALL, TWO] = ["10.244.1.0/24", "10.244.0.0/16", "10.244.2.0/24"] as const;
const FROM = `src ${OWN}`;

/** Policies, as words for `ip xfrm policy add`, and what drops packets of the direction `fwd` to all peers and to one. */
const CASES: readonly (readonly [name: string, policies: readonly string[], all: string, two: string])[] = [
  ["there are none", [], "", ""],
  ["all is dropped", [`dir fwd src ${ALL} dst ${ALL} action block`], "drops", "drops"],
  ["one peer is dropped", [`dir fwd ${FROM} dst ${TWO} action block`], "maybe", "drops"],
  ["one pod is dropped", [`dir fwd ${FROM} dst 10.244.2.7/32 action block`], "maybe", "maybe"],
  ["TCP is dropped", [`dir fwd src ${ALL} dst ${ALL} proto tcp action block`], "maybe", "maybe"],
  ["marked packets are dropped", [`dir fwd src ${ALL} dst ${ALL} mark 7 action block`], "maybe", "maybe"],
  [
    "what comes in by a link is dropped",
    [`dir fwd src ${ALL} dst ${ALL} dev lo action block`],
    "maybe",
    "maybe",
  ],
  ["another network is dropped", ["dir fwd src 192.0.2.0/24 dst 192.0.2.0/24 action block"], "", ""],
  ["the other family is dropped", ["dir fwd src ::/0 dst ::/0 action block"], "", ""],
  ["another direction is dropped", [`dir in src ${ALL} dst ${ALL} action block`], "", ""],
  [
    "all is allowed before",
    [
      `dir fwd src ${ALL} dst ${ALL} action allow priority 5`,
      `dir fwd ${FROM} dst ${TWO} action block priority 6`,
    ],
    "",
    "",
  ],
  [
    "one pod is allowed before",
    [
      `dir fwd ${FROM} dst 10.244.2.7/32 action allow priority 5`,
      `dir fwd src ${ALL} dst ${ALL} action block priority 6`,
    ],
    "maybe",
    "maybe",
  ],
  [
    "all is allowed behind",
    [
      `dir fwd ${FROM} dst ${TWO} action block priority 6`,
      `dir fwd src ${ALL} dst ${ALL} action allow priority 7`,
    ],
    "maybe",
    "drops",
  ],
];

for (const [name, policies, all, two] of CASES) {
  Deno.test(`blockingPolicy() finds what IPsec's policies drop where ${name}`, async () => {
    using libc = new Libc();
    await using netns = await TestNetns.create();
    for (const policy of policies) {
      const { code, stderr } = await netns.run("ip", "xfrm", "policy", "add", ...policy.split(" "));
      assertEquals(code, 0, stderr);
    }
    using transport = netns.openTransport(libc, { protocol: NETLINK_XFRM });
    const read = dumpXfrmPolicies(new NetlinkClient(transport));
    assertEquals(read.length, policies.length);
    const said = [ALL, TWO].map((to) => {
      const found = blockingPolicy(read, XFRM_DIRECTION.fwd, parsePrefix(OWN), parsePrefix(to));
      return found === undefined ? "" : found === "maybe" ? found : "drops";
    });
    assertEquals(said, [all, two]);
  });
}

Deno.test("dumpXfrmPolicies() reads prefixes of both families and the priority", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  const add = async (words: string) => {
    assertEquals((await netns.run("ip", "xfrm", "policy", "add", ...words.split(" "))).code, 0);
  };
  await add("dir out src fd00:1::/64 dst fd00:2::/56 action block priority 9");
  await add("dir fwd src 10.244.1.0/24 dst 10.9.0.0/17 action allow");
  using transport = netns.openTransport(libc, { protocol: NETLINK_XFRM });
  assertEquals(
    dumpXfrmPolicies(new NetlinkClient(transport)).map(({ source, destination, ...rest }) =>
      `${formatPrefix(source)} ${formatPrefix(destination)} ${JSON.stringify(rest)}`
    ).sort(),
    [
      '10.244.1.0/24 10.9.0.0/17 {"direction":2,"isBlocking":false,"priority":0,"isNarrower":false}',
      'fd00:1::/64 fd00:2::/56 {"direction":1,"isBlocking":true,"priority":9,"isNarrower":false}',
    ],
  );
});
