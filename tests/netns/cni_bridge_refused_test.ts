import { assertEquals, assertStringIncludes } from "@std/assert";
import { BridgeKeeper, type BridgeSituation } from "../../src/agent/bridge_keeper.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EPERM } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { TestNetns } from "../double/netns.ts";
import { refusing } from "../double/refusing.ts";

const OWN = [parsePrefix("10.244.5.0/24")];
/** The subnet whose pods are still there. */
const OLD = "10.244.21.1/24";
const NEW = "10.244.5.1/24";

/** What an administrator is told to do. */
const COMMANDS = [`replace ${NEW}`, `del ${OLD}`, `replace ${OLD}`].map((words) =>
  `ip address ${words} dev cni0`
);

const situation: BridgeSituation = {
  attachment: { bridge: "cni0", isForced: false, mtuBytes: 1450, network: "cbr0", networksDir: undefined },
  isNamed: true,
  own: OWN,
  held: [],
  reserved: [parseAddress("10.244.21.2")],
  inUse: [parseAddress("10.244.21.2")],
  others: () => [],
};

async function addressesOn(netns: TestNetns): Promise<string[]> {
  const [link] = await netns.ipJson("-4", "address", "show", "dev", "cni0");
  // Nothing is said of a link without addresses.
  const { addr_info } = (link ?? { addr_info: [] }) as { addr_info: { local: string; prefixlen: number }[] };
  return addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

/** A keeper whose change of this number the kernel refuses as long as that is on. */
function keeperOn(transport: NetlinkTransport, step: number) {
  const refusal = { isOn: true };
  const heard = { nudges: 0 };
  const log: string[] = [];
  const clock = { ms: 0 };
  const [refused, open] = [
    new NetlinkClient(refusing(transport, step, EPERM)),
    new NetlinkClient(transport),
  ];
  const keeper = new BridgeKeeper({
    get client() {
      return refusal.isOn ? refused : open;
    },
    elapsedMs: () => clock.ms,
    changed: () => void heard.nudges++,
    log: {
      write: (level, event) => void log.push(`${level} ${event}`),
    },
  });
  return { keeper, refusal, heard, log, clock };
}

// The steps: the new gateway comes, the old one goes, and comes again behind it.
const after: readonly string[][] = [[OLD], [OLD, NEW], [NEW]];
for (const [step, left] of after.entries()) {
  Deno.test(`a bridge whose change ${step} the kernel refuses is named, and mended by the next pass`, async () => {
    using libc = new Libc();
    await using netns = await TestNetns.create();
    await netns.ip("link", "add", "cni0", "up", "type", "bridge");
    await netns.ip("address", "add", OLD, "dev", "cni0");
    using transport = netns.openTransport(libc);
    const { keeper, refusal, heard } = keeperOn(transport, step);
    keeper.keep(situation);
    assertEquals(await addressesOn(netns), left);
    const [finding] = keeper.conditions;
    assertEquals(keeper.conditions.map(({ code }) => code), ["bridge-refused"]);
    assertStringIncludes(finding!.sentence, "EPERM");
    assertStringIncludes(finding!.sentence, `run "${COMMANDS.join("; ")}"`);
    assertEquals(
      heard.nudges,
      step === 2 ? 1 : 0,
      "what was refused is no news, else the next pass would follow at once",
    );
    refusal.isOn = false;
    for (let pass = 0; pass < 2; pass++) keeper.keep(situation);
    assertEquals(keeper.conditions, []);
    // What was lost half-way is not given again: its pods are to be re-created anyway.
    assertEquals(await addressesOn(netns), step === 2 ? [NEW] : [NEW, OLD]);
  });
}

/** The bridge with this host's gateway and no pod, that its keeper has seen. */
async function seenBridge(netns: TestNetns, keeper: BridgeKeeper): Promise<void> {
  await netns.ip("link", "add", "cni0", "up", "type", "bridge");
  await netns.ip("address", "add", NEW, "dev", "cni0");
  keeper.keep(situation);
  assertEquals(keeper.conditions, []);
}

Deno.test("a gateway that the kernel does not take back is named with what helps, and put back by the next pass", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  await seenBridge(netns, keeper);
  await netns.ip("address", "del", NEW, "dev", "cni0");
  keeper.keep(situation);
  const [finding] = keeper.conditions;
  assertEquals(keeper.conditions.map(({ code }) => code), ["bridge-refused"]);
  assertStringIncludes(finding!.sentence, "EPERM");
  assertStringIncludes(finding!.sentence, `run "ip address replace ${NEW} dev cni0"`);
  refusal.isOn = false;
  keeper.keep(situation);
  assertEquals([keeper.conditions, await addressesOn(netns)], [[], [NEW]]);
});

Deno.test("a bridge that the kernel does not set up is named with what helps, and set up by the next pass", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  await seenBridge(netns, keeper);
  await netns.ip("address", "del", NEW, "dev", "cni0");
  await netns.ip("link", "set", "cni0", "down");
  keeper.keep(situation);
  const [finding] = keeper.conditions;
  assertEquals(keeper.conditions.map(({ code }) => code), ["bridge-down"]);
  assertStringIncludes(finding!.sentence, "EPERM");
  assertStringIncludes(finding!.sentence, `run "ip link set cni0 up; ip address replace ${NEW} dev cni0"`);
  refusal.isOn = false;
  keeper.keep(situation);
  assertEquals([keeper.conditions, await addressesOn(netns)], [[], [NEW]]);
});

Deno.test("a bridge whose MTU is too small for IPv6 is told so, and has its gateway again once it is not", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  refusal.isOn = false;
  const dual = { ...situation, own: [...OWN, parsePrefix("fd00:10:244:5::/64")] };
  await netns.ip("link", "add", "cni0", "up", "type", "bridge");
  await netns.ip("address", "add", NEW, "dev", "cni0");
  await netns.ip("-6", "address", "add", "fd00:10:244:5::1/64", "dev", "cni0", "nodad");
  keeper.keep(dual);
  assertEquals(keeper.conditions, []);
  await netns.ip("link", "set", "cni0", "mtu", "600");
  keeper.keep(dual);
  assertEquals(keeper.conditions.map(({ code }) => code), ["bridge-refused"]);
  assertStringIncludes(keeper.conditions[0]!.sentence, "has an MTU of 600 bytes, and IPv6 needs 1280");
  const [, command] = /run "ip (link set cni0 mtu 1450)"/.exec(keeper.conditions[0]!.sentence)!;
  await netns.ip(...command!.split(" "));
  keeper.keep(dual);
  assertEquals(keeper.conditions, []);
  assertStringIncludes(
    (await netns.run("ip", "-6", "address", "show", "dev", "cni0")).stdout,
    "fd00:10:244:5::1/64",
  );
});

Deno.test("a gateway that was left to who takes it away is put back once they have stopped for a while", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal, clock } = keeperOn(transport, 0);
  refusal.isOn = false;
  await seenBridge(netns, keeper);
  for (let time = 0; time < 4; time++) {
    assertEquals(await addressesOn(netns), [NEW]);
    assertEquals(keeper.conditions, []);
    await netns.ip("address", "del", NEW, "dev", "cni0");
    keeper.keep(situation);
  }
  assertEquals([keeper.conditions.length, await addressesOn(netns)], [1, []]);
  assertStringIncludes(keeper.conditions[0]!.sentence, `run "ip address replace ${NEW} dev cni0"`);
  clock.ms += keeper.waitMs!;
  keeper.keep(situation);
  assertEquals([keeper.conditions, await addressesOn(netns)], [[], [NEW]]);
});

Deno.test("a gateway that came before the plugin's is none that was taken away", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  refusal.isOn = false;
  // What the plugin has made of a first pod before it gives the bridge its address.
  await netns.ip("link", "add", "cni0", "up", "type", "bridge");
  await netns.ip("link", "add", "veth1", "mtu", "1450", "type", "veth", "peer", "name", "pod1");
  await netns.ip("link", "set", "veth1", "up", "master", "cni0");
  keeper.keep({ ...situation, isNamed: false });
  assertEquals(await addressesOn(netns), [], "without a conflist nobody says that these are pods");
  keeper.keep(situation);
  for (let time = 0; time < 3; time++) {
    assertEquals(await addressesOn(netns), [NEW]);
    await netns.ip("address", "del", NEW, "dev", "cni0");
    keeper.keep(situation);
  }
  assertEquals([keeper.conditions, await addressesOn(netns)], [[], [NEW]]);
});

Deno.test("a bridge that was removed and made again is the plugin's, as its gateway was on another one", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  refusal.isOn = false;
  await seenBridge(netns, keeper);
  await netns.ip("link", "del", "cni0");
  keeper.keep(situation);
  await netns.ip("link", "add", "cni0", "type", "bridge");
  keeper.keep(situation);
  assertEquals([keeper.conditions, await addressesOn(netns)], [[], []]);
});

Deno.test("an earlier subnet is known by its pods, and its gateway goes with the last of them", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  using transport = netns.openTransport(libc);
  const { keeper, refusal } = keeperOn(transport, 0);
  refusal.isOn = false;
  await netns.ip("link", "add", "cni0", "up", "type", "bridge");
  for (const address of [NEW, OLD, "10.244.22.1/24"]) {
    await netns.ip("address", "add", address, "dev", "cni0");
  }
  keeper.keep(situation);
  assertEquals(await addressesOn(netns), [NEW, OLD, "10.244.22.1/24"]);
  for (let pass = 0; pass < 2; pass++) keeper.keep({ ...situation, reserved: [], inUse: [] });
  assertEquals(await addressesOn(netns), [NEW, "10.244.22.1/24"], "nobody knows the other to be this host's");
  assertEquals(keeper.conditions, []);
});
