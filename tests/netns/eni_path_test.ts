import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { EniPathKeeper } from "../../src/agent/eni_path_keeper.ts";
import { EAFNOSUPPORT, EPERM } from "../../src/linux/errno.ts";
import { AF_INET6, parseMac, parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { MESSAGE_HEADER_BYTES } from "../../src/netlink/message.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { RTM_GETRULE } from "../../src/rtnetlink/rule.ts";
import { refusing, refusingAll, type Request } from "../double/refusing.ts";
import { linkIndexOf } from "../double/netns.ts";
import { VpcWorld } from "../double/vpc_world.ts";

/** Where a pod of another host is, and another host itself. */
const OTHERS = ["10.244.2.5", "fd00:10:244:2::5", "10.0.2.20", "2001:db8:2::20"];
const REPAIR_MS = 1000;
const DEADLINE_MS = 10_000;

const ALL = [
  "7676: from 10.244.1.0/24 lookup 7676 proto 76",
  "7676: from fd00:10:244:1::/64 lookup 7676 proto 76",
  "10.0.0.0/16 via 10.0.9.1 dev eth1 proto 76 onlink",
  "10.244.0.0/16 via 10.0.9.1 dev eth1 proto 76 onlink",
  "throw 10.244.1.0/24 proto 76",
  "2001:db8::/32 via fe80:ec2::1 dev eth1 proto 76 metric 1024 onlink pref medium",
  "throw fd00:10:244:1::/64 dev lo proto 76 metric 1024 pref medium",
  "fd00:10:244::/48 via fe80:ec2::1 dev eth1 proto 76 metric 1024 onlink pref medium",
];

/** Waits until ours are as they must be, and answers how long that took. */
async function untilShown(world: VpcWorld, expected: readonly string[], deadlineMs = DEADLINE_MS) {
  const startedMs = performance.now();
  for (;;) {
    const shown = await world.shown();
    const tookMs = performance.now() - startedMs;
    if (JSON.stringify(shown) === JSON.stringify(expected)) return tookMs;
    if (tookMs > deadlineMs) {
      assertEquals(shown, expected, JSON.stringify([world.keeper.conditions, world.log.lines]));
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function answers(world: VpcWorld): Promise<boolean[]> {
  return await Promise.all(OTHERS.map((from) => world.isAnswered(from)));
}

const codes = ({ keeper }: VpcWorld) => keeper.conditions.map(({ code }) => code);

async function ready(): Promise<VpcWorld> {
  const world = await VpcWorld.create();
  await world.attach();
  await world.configure();
  return world;
}

Deno.test("a pod answers what came in by the second network interface, and not while nobody sees to its way out", async () => {
  await using world = await ready();
  assertEquals(await answers(world), [false, false, false, false]);
  assertEquals(await world.dropped(), [2, 2]);
  world.look();
  assertEquals(world.keeper.conditions, []);
  assertEquals(await world.shown(), ALL);
  assertEquals(await answers(world), [true, true, true, true]);
  // Looks at rest change nothing.
  const lines = world.log.lines.length;
  world.look();
  assertEquals(world.log.lines.length, lines);
});

Deno.test("packets with the bridge's address reach pods of this host, and what leaves the VPC goes by the first link", async () => {
  await using world = await ready();
  world.look();
  for (
    const [from, to] of [["10.244.1.1", "10.244.1.2"], ["fd00:10:244:1::1", "fd00:10:244:1::2"]] as const
  ) {
    assertEquals((await world.host.run("ping", "-n", "-c", "1", "-W", "1", "-I", from, to)).code, 0);
  }
  const way = async (to: string, from: string) =>
    (await world.host.ipJson("route", "get", to, "from", from, "iif", "cni0"))[0]?.dev;
  assertEquals(await way("203.0.113.7", "10.244.1.2"), "eth0");
  assertEquals(await way("10.0.2.20", "10.244.1.2"), "eth1");
  assertEquals(await way("2a00::7", "fd00:10:244:1::2"), "eth0");
  assertEquals(await way("2001:db8:2::20", "fd00:10:244:1::2"), "eth1");
});

Deno.test("what somebody removes is back within a second, and others' rules stay", async (t) => {
  await using world = await ready();
  const { host } = world;
  const foreign = "9000:\tfrom 10.244.1.0/24 lookup 9000";
  await host.ip("rule", "add", "from", "10.244.1.0/24", "lookup", "9000", "priority", "9000");
  await host.ip("rule", "add", "from", "192.0.2.0/24", "lookup", "7676", "priority", "7676");
  // The kernel shows rules of one priority in the order in which they came.
  const both = ["7676: from 192.0.2.0/24 lookup 7676", ...ALL];
  world.start();
  await untilShown(world, both);
  // The watch listens from now on.
  await host.ip("rule", "delete", "priority", "7676", "from", "10.244.1.0/24");
  await untilShown(world, both);

  const repaired = async (what: string, spoil: () => Promise<unknown>) => {
    await t.step(what, async () => {
      await spoil();
      assert(await untilShown(world, both) < REPAIR_MS);
      assertEquals(await answers(world), [true, true, true, true]);
      assertStringIncludes(await host.ip("rule", "show"), foreign);
    });
  };
  await repaired(
    "a rule of IPv4",
    () => host.ip("rule", "delete", "priority", "7676", "from", "10.244.1.0/24"),
  );
  await repaired("a rule of IPv6", () => host.ip("-6", "rule", "delete", "priority", "7676"));
  await repaired("all of the table", async () => {
    await host.ip("-4", "route", "flush", "table", "7676");
    await host.ip("-6", "route", "flush", "table", "7676");
  });
  await repaired("one route, to the VPC", () => host.ip("route", "delete", "10.0.0.0/16", "table", "7676"));
  await repaired(
    "a route that leads elsewhere now",
    () => host.ip("route", "replace", "10.244.0.0/16", "via", "10.0.1.1", "proto", "76", "table", "7676"),
  );
  await repaired(
    "a route of our protocol before ours",
    () => host.ip("route", "prepend", "10.244.0.0/16", "via", "10.0.1.1", "proto", "76", "table", "7676"),
  );
  await repaired("the link set down and up again", async () => {
    await host.ip("link", "set", "eth1", "down");
    await host.ip("link", "set", "eth1", "up");
    await host.ip("-6", "address", "add", "2001:db8:9::10/64", "dev", "eth1", "nodad", "noprefixroute");
  });
});

Deno.test("a network interface that is attached anew has another index, and is found by its MAC", async () => {
  await using world = await ready();
  const { host } = world;
  world.start();
  await untilShown(world, ALL);
  const before = await linkIndexOf(host, "eth1");
  await host.ip("link", "delete", "eth1");
  await untilShown(world, [ALL[0]!, ALL[1]!, ALL[4]!, ALL[6]!]);
  await untilCodes(world, ["cloud-path-missing"]);
  assertStringIncludes(
    world.keeper.conditions[0]!.sentence,
    "no link of this host has its MAC 02:00:00:00:09:10",
  );
  await world.attach();
  await world.configure();
  assert(await linkIndexOf(host, "eth1") !== before);
  await untilShown(world, ALL);
  await untilCodes(world, []);
  assertEquals(await answers(world), [true, true, true, true]);
});

Deno.test("another network interface takes the first one's place, the new routes before the old ones go", async () => {
  await using world = await ready();
  const { host } = world;
  world.start();
  await untilShown(world, ALL);
  await host.ip("link", "add", "eth2", "type", "veth", "peer", "name", "eth2-p");
  await host.ip("link", "set", "eth2", "address", "02:00:00:00:09:20");
  await host.ip("link", "set", "eth2-p", "up");
  await host.ip("address", "add", "10.0.7.10/24", "dev", "eth2", "noprefixroute");
  await host.ip("address", "add", "2001:db8:7::10/64", "dev", "eth2", "nodad", "noprefixroute");
  await host.ip("link", "set", "eth2", "up");
  world.want({
    interfaceId: "eni-0007",
    mac: parseMac("02:00:00:00:09:20"),
    subnetPrefixes: ["10.0.7.0/24", "2001:db8:7::/64"].map(parsePrefix),
    own: ["10.244.3.0/24", "fd00:10:244:1::/64"].map(parsePrefix),
  });
  await untilShown(
    world,
    ALL.map((line) =>
      line.replace("eth1", "eth2").replace("10.0.9.1", "10.0.7.1").replace("10.244.1.0", "10.244.3.0")
    ),
  );
  const changes = world.log.lines.map((line) => /"change":"(\w+) (\w+)/.exec(line)?.slice(1).join(" "));
  assertEquals([...new Set(changes.slice(ALL.length))], [
    "add route",
    "add rule",
    "delete rule",
    "delete route",
  ]);
});

const LOST =
  "cloud-path-missing: pods of 10.244.1.0/24 and fd00:10:244:1::/64 can't use the network interface " +
  "eni-0009, by which packets for them come in: its link eth1";
const UNFIT = "cloud-interface-unfit: eth1, the link of the network interface eni-0009,";

Deno.test("a strict reverse path filter lets packets of the VPC for pods in", async () => {
  await using world = await ready();
  await world.host.writeSysctl("net/ipv4/conf/eth1/rp_filter", "1");
  world.look();
  assertEquals(codes(world), ["cloud-interface-unfit"]);
  assertEquals(await answers(world), [true, true, true, true]);
});

Deno.test("an interface of the agent's own is configured; of another it is said what it lacks", async (t) => {
  await using world = await VpcWorld.create();
  const { host } = world;
  await world.attach();
  await host.ip("link", "set", "eth1", "mtu", "1400");
  await host.writeSysctl("net/ipv4/conf/eth1/rp_filter", "1");
  await host.writeSysctl("net/ipv4/conf/eth1/forwarding", "0");
  await host.writeSysctl("net/ipv6/conf/eth1/disable_ipv6", "1");

  await t.step("another's", async () => {
    world.look();
    assertEquals(world.keeper.conditions.map(({ code, sentence }) => `${code}: ${sentence}`), [
      `${LOST} is down; run "ip link set eth1 up"`,
      `${LOST} gets no IPv4 packet to a pod, as net.ipv4.conf.eth1.forwarding is 0; ` +
      "run `sysctl -w net.ipv4.conf.eth1.forwarding=1` on the host",
      `${LOST} has IPv6 turned off; run \`sysctl -w net.ipv6.conf.eth1.disable_ipv6=0\` on the host`,
      `${UNFIT} has an MTU of 1400, less than the 1500 of pods; run "ip link set eth1 mtu 1500"`,
      `${UNFIT} has no address of IPv4; run "ip address add 10.0.9.10/24 dev eth1 noprefixroute"`,
      `${UNFIT} has no address of IPv6; run "ip address add 2001:db8:9::10/64 dev eth1 noprefixroute"`,
      `${UNFIT} drops packets of hosts outside of the VPC, as net.ipv4.conf.eth1.rp_filter is 1; ` +
      "run `sysctl -w net.ipv4.conf.eth1.rp_filter=2` on the host",
    ]);
    assertEquals(await world.shown(), [ALL[0]!, ALL[1]!, ALL[4]!, ALL[6]!]);
  });

  await t.step("the agent's own", async () => {
    world.want({ isManaged: true });
    world.look();
    assertEquals(world.keeper.conditions, []);
    assertEquals(await world.shown(), ALL);
    assertEquals(await answers(world), [true, true, true, true]);
    const { stdout } = await host.run("cat", "/proc/sys/net/ipv4/conf/eth1/rp_filter");
    assertEquals(stdout.trim(), "2");
    // What its router advertises would be a second default route of the host.
    assertEquals((await host.run("cat", "/proc/sys/net/ipv6/conf/eth1/accept_ra")).stdout.trim(), "0");
    assertEquals((await host.ipJson("route", "show", "10.0.9.0/24")).length, 0);
    assertEquals((await host.ipJson("link", "show", "dev", "eth1"))[0]!.mtu, 1500);
  });
});

Deno.test("rules and routes of others that take packets of pods are named, and those that do not are not", async (t) => {
  await using world = await ready();
  const { host } = world;
  const taken = () => {
    world.look();
    return world.keeper.conditions.map(({ code, sentence }) => `${code}: ${sentence}`);
  };
  const named = (taker: string) => [
    `cloud-path-taken: ${taker} takes packets of this host's pods, which are to leave by eth1: delete it`,
  ];
  const step = async (what: string, add: string[], expected: string[]) => {
    await t.step(what, async () => {
      await host.ip("rule", "add", ...add);
      assertEquals(taken(), expected);
      await host.ip("rule", "delete", ...add);
    });
  };
  await host.ip("route", "add", "100.64.0.0/10", "dev", "eth0", "table", "52");
  await step("a table that leads elsewhere", ["from", "all", "lookup", "52", "priority", "5270"], []);
  await host.ip("route", "add", "10.0.2.0/24", "dev", "eth0", "table", "52");
  await step(
    "a table with a part of the VPC",
    ["from", "all", "lookup", "52", "priority", "5270"],
    named('the routing policy rule "5270: from all lookup 52"'),
  );
  await step("a rule behind ours", ["from", "all", "lookup", "52", "priority", "9000"], []);
  await step("a rule for marked packets", ["fwmark", "0x80000", "lookup", "52", "priority", "5270"], []);
  await step("a rule for other sources", ["from", "10.0.1.10", "lookup", "52", "priority", "5270"], []);
  await step(
    "a rule for all but marked packets",
    ["not", "fwmark", "0xca6c", "lookup", "52", "priority", "5270"],
    named('the routing policy rule "5270: not from all fwmark 0xca6c lookup 52"'),
  );
  await step(
    "the main table without its default route, where a link of the VPC is",
    ["lookup", "main", "suppress_prefixlength", "0", "priority", "5270"],
    named('the routing policy rule "5270: from all lookup main suppress_prefixlength 0"'),
  );
  await step(
    "a rule that drops",
    ["from", "10.244.0.0/16", "prohibit", "priority", "100"],
    named('the routing policy rule "100: from 10.244.0.0/16 prohibit"'),
  );
  await host.ip("route", "add", "10.244.7.0/24", "dev", "eth0", "table", "7676");
  assertEquals(taken(), named("the route 10.244.7.0/24 in table 7676"));
  await host.ip("route", "delete", "10.244.7.0/24", "table", "7676");
  assertEquals(taken(), []);
});

Deno.test("a network interface without a subnet of a family has no way out in it", async () => {
  await using world = await ready();
  world.want({ subnetPrefixes: [parsePrefix("10.0.9.0/24")] });
  world.look();
  assertEquals(await world.shown(), ALL.filter((line) => !line.includes("::")));
  assertEquals(codes(world), ["cloud-path-missing"]);
  assertStringIncludes(world.keeper.conditions[0]!.sentence, "it is in no subnet with IPv6");
});

Deno.test("nothing is left once nothing is wanted, but for what others have", async () => {
  await using world = await ready();
  const { host } = world;
  world.look();
  const foreign = ["7676: from 10.99.0.0/24 lookup 7676 proto 76"];
  await host.ip(
    "rule",
    "add",
    "from",
    "10.99.0.0/24",
    "lookup",
    "7676",
    "priority",
    "7676",
    "protocol",
    "76",
  );
  world.want(undefined);
  world.look();
  // That one is another agent's, and so may be the routes.
  assertEquals(await world.shown(), [...foreign, ...ALL.slice(2)]);
  await host.ip("rule", "delete", "from", "10.99.0.0/24", "priority", "7676");
  world.want({});
  world.look();
  assertEquals(await world.shown(), ALL);
  world.want(undefined);
  world.look();
  assertEquals(await world.shown(), []);
  assertEquals(world.keeper.conditions, []);
});

Deno.test("a change that the kernel refuses is told of, and made by the next look", async () => {
  await using world = await ready();
  const { libc, log, transport } = world;
  const networks = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")];
  const keeperOn = (transport: NetlinkTransport) =>
    new EniPathKeeper({
      client: new NetlinkClient(transport),
      libc,
      networks,
      linkLost: () => {},
      elapsedMs: () => 0,
      log,
    });
  const good = keeperOn(transport);
  for (let nth = 0; nth < ALL.length; nth++) {
    keeperOn(refusing(transport, nth, EPERM)).look(world.wanted);
    assertEquals((await world.shown()).length, ALL.length - 1);
    good.look(world.wanted);
    assertEquals([await world.shown(), good.conditions], [ALL, []]);
    const bad = keeperOn(refusing(transport, nth, EPERM));
    bad.look(undefined);
    assertEquals(bad.conditions.map(({ code }) => code), ["cloud-path-taken"]);
    bad.look(undefined);
    assertEquals([await world.shown(), bad.conditions], [[], []]);
  }
  const bad = keeperOn(refusing(transport, 0, EPERM));
  bad.look(world.wanted);
  assertEquals(bad.conditions.map(({ sentence }) => sentence), [
    "pods of 10.244.1.0/24 and fd00:10:244:1::/64 can't use the network interface eni-0009, by which packets for them " +
    "come in: Cannot add route throw 10.244.1.0/24: EPERM",
  ]);
});

Deno.test("a kernel without IPv6 has no rules of it, and IPv4 goes on", async () => {
  await using world = await ready();
  const { libc, log, transport } = world;
  const isOfIpv6 = ({ type, bytes }: Request) =>
    type === RTM_GETRULE && bytes[MESSAGE_HEADER_BYTES] === AF_INET6;
  const client = new NetlinkClient(refusingAll(transport, EAFNOSUPPORT, isOfIpv6));
  const keeper = new EniPathKeeper({
    client,
    libc,
    networks: [],
    linkLost: () => {},
    elapsedMs: () => 0,
    log,
  });
  keeper.look({ ...world.wanted!, own: [parsePrefix("10.244.1.0/24")] });
  assertEquals(keeper.conditions, []);
  assertEquals(await world.shown(), ALL.filter((line) => !line.includes("::")));
});

Deno.test("what another program deletes each time is told of, and put back less often", async () => {
  await using world = await ready();
  const { host, keeper, clock } = world;
  world.look();
  const spoil = () => host.ip("rule", "delete", "priority", "7676");
  const rule = ALL[0]!;
  for (let times = 0; times < 7; times++) {
    await spoil();
    world.look();
  }
  assertEquals(codes(world), ["state-fought"]);
  assertStringIncludes(
    keeper.conditions[0]!.sentence,
    "another program has changed the rule from 10.244.1.0/24 lookup 7676 7 times within a minute",
  );
  for (let times = 0; times < 14; times++) {
    await spoil();
    world.look();
  }
  assertEquals(codes(world), ["cloud-path-missing"]);
  assertEquals([keeper.waitMs, (await world.shown()).includes(rule)], [1000, false]);
  world.look();
  assert(!(await world.shown()).includes(rule));
  clock.ms += 1000;
  world.look();
  assertEquals(await world.shown(), ALL);
  clock.ms += 60_000;
  world.look();
  assertEquals(codes(world), []);
});

Deno.test("a link of the agent's own that another program sets down each time is set up less often", async () => {
  await using world = await ready();
  const { host, keeper, clock } = world;
  world.want({ isManaged: true });
  world.look();
  const isUp = async () => /[<,]UP[,>]/.test(await host.ip("link", "show", "dev", "eth1"));
  for (let times = 0; times < 21; times++) {
    await host.ip("link", "set", "eth1", "down");
    world.look();
  }
  assertEquals(await isUp(), false);
  assertStringIncludes(
    keeper.conditions.map(({ sentence }) => sentence).join("\n"),
    "another program has changed eth1 21 times within a minute, after each repair (is down); repairs are made ever more rarely",
  );
  clock.ms += 1000;
  world.look();
  assertEquals([await isUp(), await world.shown()], [true, ALL]);
});

async function untilCodes(world: VpcWorld, expected: readonly string[]): Promise<void> {
  const startedMs = performance.now();
  while (JSON.stringify(codes(world)) !== JSON.stringify(expected)) {
    if (performance.now() - startedMs > DEADLINE_MS) assertEquals(codes(world), expected);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
