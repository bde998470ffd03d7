import { assertEquals } from "@std/assert";
import { agentLockPath, isAgentLockHeld } from "../../src/pods/agent_lock.ts";
import { until } from "../double/overlay_rig.ts";
import { AgentClaims, type Claims, claimsOf } from "../../src/agent/agent_claim.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import type { Log } from "../../src/log/log.ts";
import { formatPrefix, parsePrefix } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { TestNetns } from "../double/netns.ts";

const log: Log = { write: () => {} };

const claims = (text: string): Claims =>
  claimsOf(parseNetworkConfig(text, { source: "net-conf.json" }).config);

const FOUR = '{"Network": "10.244.0.0/16"}';
const SIX = '{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00:10:244::/56"}';
const BOTH = '{"Network": "10.244.0.0/16", "EnableIPv6": true, "IPv6Network": "fd00:10:244::/56"}';
const HOST_GW = '{"Network": "10.99.0.0/16", "Backend": {"Type": "host-gw"}}';
const RED = '{"Network": "10.99.0.0/16", "Backend": {"Type": "vxlan", "VNI": 2}}';
const RED_ONE = '{"Network": "10.99.0.0/16"}';
const RED_SIX = '{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00:99::/56"}';
const HALF_SIX = '{"EnableIPv4": false, "EnableIPv6": true, "IPv6Network": "fd00:10:244:80::/57", ' +
  '"Backend": {"Type": "vxlan", "VNI": 2}}';

const names: [text: string, links: string[]][] = [
  [FOUR, ["flannel.1"]],
  [SIX, ["flannel-v6.1"]],
  [BOTH, ["flannel.1", "flannel-v6.1"]],
  [RED, ["flannel.2"]],
  ['{"Network": "10.244.0.0/16", "Backend": {"Type": "auto", "VNI": 7}}', ["flannel.7"]],
  [HOST_GW, []],
];

for (const [text, links] of names) {
  Deno.test(`an agent with ${text} must have ${links.join(" and ") || "no link"} for itself`, () => {
    assertEquals(claims(text).linkNames, links);
  });
}

Deno.test("takeFormer() takes what no other agent has a part of, and gives it back", async () => {
  await using netns = await TestNetns.create();
  const folder = await Deno.makeTempDir({ prefix: "loden-claim-" });
  using libc = new Libc();
  const inside = <T>(action: () => T) => libc.inNetns(netns.path, action);
  try {
    using one = new AgentClaims({ libc, log, subnetFilePath: `${folder}/one.env` });
    using other = new AgentClaims({ libc, log, subnetFilePath: `${folder}/other.env` });
    const former = ["10.244.128.0/17", "10.99.0.0/16"].map(parsePrefix);
    const present = claims('{"Network": "10.77.0.0/16"}');
    assertEquals(
      inside(() =>
        other.take(claims('{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 3}}'))
      ),
      undefined,
    );
    assertEquals(inside(() => one.take(present)), undefined);
    assertEquals(inside(() => one.takeFormer(former, present)).map(formatPrefix), ["10.99.0.0/16"]);
    assertEquals(inside(() => one.isOthersLink("flannel.3")), true);
    assertEquals(inside(() => one.isOthersLink("flannel.4")), false);
    // Until nothing is left of it nobody else begins with it.
    const red = claims(RED);
    const said = "another agent of network 10.99.0.0/16 runs on this host";
    assertEquals(inside(() => other.take(red))?.slice(0, said.length), said);
    one.releaseFormer();
    assertEquals(inside(() => other.take(red)), undefined);
    // Two of them may overlap.
    const nested = ["10.11.0.0/16", "10.11.0.0/17"].map(parsePrefix);
    assertEquals(inside(() => one.takeFormer(nested, present)), nested);
    // What the present network overlaps is no other agent's.
    assertEquals(inside(() => one.takeFormer([parsePrefix("10.77.0.0/17")], present)).length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

const pairs: [first: string, second: string, fault: string | undefined][] = [
  [FOUR, FOUR, "another agent of network 10.244.0.0/16 runs"],
  [SIX, SIX, "another agent of network fd00:10:244::/56 runs"],
  [BOTH, SIX, "another agent of network fd00:10:244::/56 runs"],
  [FOUR, BOTH, "another agent of network 10.244.0.0/16 runs"],
  [FOUR, SIX, undefined],
  [FOUR, RED, undefined],
  [FOUR, HOST_GW, undefined],
  [FOUR, RED_ONE, "link flannel.1 belongs to the agent of another network"],
  [SIX, RED_SIX, "link flannel-v6.1 belongs to the agent of another network"],
  [BOTH, RED_SIX, "link flannel-v6.1 belongs to the agent of another network"],
  [BOTH, HALF_SIX, "Network fd00:10:244:80::/57 overlaps fd00:10:244::/56 of another agent"],
];

for (const [first, second, fault] of pairs) {
  Deno.test(`beside an agent with ${first} one with ${second} ${fault === undefined ? "can be" : "waits"}`, async () => {
    await using netns = await TestNetns.create();
    const folder = await Deno.makeTempDir({ prefix: "loden-claim-" });
    using libc = new Libc();
    const inside = <T>(action: () => T) => libc.inNetns(netns.path, action);
    try {
      using one = new AgentClaims({ libc, log, subnetFilePath: `${folder}/one.env` });
      using other = new AgentClaims({ libc, log, subnetFilePath: `${folder}/other.env` });
      assertEquals(inside(() => one.take(claims(first))), undefined);
      assertEquals(inside(() => one.take(claims(first))), undefined, "what it has it can have again");
      const found = inside(() => other.take(claims(second)));
      assertEquals(found?.slice(0, fault?.length), fault);
      assertEquals(other.hasSubnetFile, true);
      one[Symbol.dispose]();
      assertEquals(inside(() => other.take(claims(second))), undefined, "the first is gone");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("the last word beside a subnet file is of the agent that has it, and of nobody who may be second", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-claim-" });
  using libc = new Libc();
  try {
    const subnetFilePath = `${folder}/subnet.env`;
    using first = new AgentClaims({ libc, log, subnetFilePath });
    using second = new AgentClaims({ libc, log, subnetFilePath });
    assertEquals([first.takeSubnetFile(), second.takeLastWord(), first.takeLastWord()], [true, false, true]);
    assertEquals(second.hasSubnetFile, false, "to fail to have it is no fault");
    // As a job that tidies up does: the first agent still runs, and shows it again.
    await Deno.remove(agentLockPath(subnetFilePath));
    assertEquals([first.takeLastWord(), second.takeLastWord()], [true, false]);
    first[Symbol.dispose]();
    assertEquals(second.takeLastWord(), true);
    // Where nobody can tell, it is told by who was alone before.
    second[Symbol.dispose]();
    await Deno.remove(agentLockPath(subnetFilePath));
    await Deno.mkdir(agentLockPath(subnetFilePath));
    assertEquals([second.takeLastWord(), second.takeSubnetFile(), second.takeLastWord()], [
      false,
      true,
      true,
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an agent whose lock was removed shows itself again, so that no other takes its place", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-claim-" });
  using libc = new Libc();
  const abort = new AbortController();
  try {
    const subnetFilePath = `${folder}/subnet.env`;
    using claims = new AgentClaims({ libc, log, subnetFilePath });
    claims.takeSubnetFile();
    await Deno.remove(agentLockPath(subnetFilePath));
    const running = claims.run(abort);
    await until("see the lock again", () => isAgentLockHeld(subnetFilePath) ? true : undefined);
    abort.abort();
    await running;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
