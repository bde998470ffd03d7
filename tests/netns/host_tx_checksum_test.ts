import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { lowerLinks, type TxChecksumDeps, TxChecksumKeeper } from "../../src/host/tx_checksum.ts";
import { NetlinkError } from "../../src/linux/errno.ts";
import { Ethtool } from "../../src/linux/ethtool.ts";
import type { NetlinkSocket } from "../../src/netlink/socket.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { Host } from "./netlink_host.ts";

const UNDERLAY = { linkName: "eth0", isBehindNat: false };

/** A host with a VTEP, asked from outside of its namespace. */
class ChecksumHost implements AsyncDisposable {
  readonly log = new RecordedLog();
  nowMs = 0;

  private constructor(readonly host: Host, readonly ethtool: Ethtool) {}

  static async open(): Promise<ChecksumHost> {
    const host = await Host.open();
    await host.createVtep();
    return new ChecksumHost(host, new Ethtool(host.libc, (host.transport as NetlinkSocket).fd));
  }

  keeper(deps: Partial<TxChecksumDeps>): TxChecksumKeeper {
    const { ethtool, log } = this;
    return new TxChecksumKeeper({
      mode: "auto",
      ethtool,
      kernel: [6, 1, 0],
      lowerLinks: () => [],
      elapsedMs: () => this.nowMs,
      log,
      ...deps,
    });
  }

  /** What another program sees of the link's features. */
  async feature(name = "tx-checksum-ip-generic"): Promise<string> {
    const { stdout } = await this.host.netns.run("ethtool", "-k", "flannel.1");
    return new RegExp(`^\\s*${name}: (.*)$`, "m").exec(stdout)![1]!;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.host[Symbol.asyncDispose]();
  }
}

Deno.test("Ethtool turns the feature tx-checksum-ip-generic of a VXLAN link off and on, as ethtool(8) sees it", async () => {
  await using host = await ChecksumHost.open();
  const { ethtool } = host;
  for (const isOn of [true, false, true]) {
    ethtool.setTxChecksum("flannel.1", isOn);
    assertEquals(ethtool.hasTxChecksum("flannel.1"), isOn);
    assertEquals(await host.feature(), isOn ? "on" : "off");
  }
});

Deno.test("Ethtool sees what ethtool(8) has set", async () => {
  await using host = await ChecksumHost.open();
  for (const state of ["off", "on"]) {
    await host.host.netns.run("ethtool", "-K", "flannel.1", "tx-checksum-ip-generic", state);
    assertEquals(host.ethtool.hasTxChecksum("flannel.1"), state === "on");
  }
});

Deno.test("Ethtool names drivers, and says which link it can't ask", async () => {
  await using host = await ChecksumHost.open();
  const { ethtool } = host;
  assertEquals(["flannel.1", "eth0"].map((link) => ethtool.driver(link)), ["vxlan", "veth"]);
  assertThrows(() => ethtool.driver("lo"), NetlinkError, "Cannot read the driver of lo: EOPNOTSUPP");
  assertThrows(
    () => ethtool.hasTxChecksum("gone0"),
    NetlinkError,
    "Cannot read the checksum offload of gone0: ENODEV",
  );
  assertThrows(
    () => ethtool.setTxChecksum("lo", false),
    NetlinkError,
    "Cannot turn the checksum offload of lo off: EOPNOTSUPP",
  );
});

Deno.test("a keeper that is told off turns it off once, and again after it is flipped or the link is made anew", async () => {
  await using host = await ChecksumHost.open();
  const keeper = host.keeper({ mode: "off" });
  const keep = () =>
    keeper.keep(["flannel.1"], UNDERLAY).map(({ observed, isOn, fault }) => ({ observed, isOn, fault }));
  const off = [{ observed: false, isOn: false, fault: undefined }];
  assertEquals(keep(), off);
  assertEquals(keep(), off);
  assertEquals(host.log.lines.length, 1);
  assertMatch(host.log.lines[0]!, /^info checksum offload set .*"link":"flannel\.1","isOn":false/);

  await host.host.netns.run("ethtool", "-K", "flannel.1", "tx-checksum-ip-generic", "on");
  assertEquals(keep(), off);
  assertEquals(await host.feature(), "off");

  await host.host.netns.ip("link", "delete", "flannel.1");
  await host.host.createVtep();
  assertEquals(await host.feature(), "on");
  assertEquals(keep(), off);
  assertEquals(await host.feature(), "off");
  assertEquals(host.log.lines.length, 3);
});

Deno.test("a keeper that is told on undoes what was turned off, segmentation too", async () => {
  await using host = await ChecksumHost.open();
  await host.host.netns.run("ethtool", "-K", "flannel.1", "tx-checksum-ip-generic", "off");
  assertMatch(await host.feature("tx-tcp-segmentation"), /^off/);
  host.keeper({ mode: "on" }).keep(["flannel.1"], UNDERLAY);
  assertEquals(await host.feature(), "on");
  assertEquals(await host.feature("tx-tcp-segmentation"), "on");
});

Deno.test("a keeper that decides itself leaves alone what a person has turned off for a reason of their own", async () => {
  await using host = await ChecksumHost.open();
  await host.host.netns.run("ethtool", "-K", "flannel.1", "tx-checksum-ip-generic", "off");
  const [state] = host.keeper({}).keep(["flannel.1"], UNDERLAY);
  assertEquals([state!.isOn, state!.observed], [undefined, false]);
  assertEquals(await host.feature(), "off");
  assertEquals(host.log.lines, []);
});

const broken: [why: string, deps: Partial<TxChecksumDeps>, underlay: typeof UNDERLAY, reason: RegExp][] = [
  [
    "the kernel is old",
    { kernel: [4, 19, 100] },
    UNDERLAY,
    /^Linux 4\.19\.100 can spoil/,
  ],
  ["others know the host by a NAT's address", {}, { ...UNDERLAY, isBehindNat: true }, /NAT/],
];

for (const [why, deps, underlay, reason] of broken) {
  Deno.test(`a keeper that decides itself turns it off when ${why}`, async () => {
    await using host = await ChecksumHost.open();
    const [state] = host.keeper(deps).keep(["flannel.1"], underlay);
    assertMatch(state!.reason, reason);
    assertEquals(await host.feature(), "off");
  });
}

Deno.test("a keeper finds the driver of the link below the underlay's, however they are stacked", async () => {
  await using host = await ChecksumHost.open();
  // No such card is here: its name is put in place of veth's, which is asked of the kernel.
  const asked: string[] = [];
  const ethtool = new class extends Ethtool {
    override driver(link: string): string {
      const driver = super.driver(link);
      asked.push(`${link} ${driver}`);
      return driver === "veth" ? "vmxnet3" : driver;
    }
  }(host.host.libc, (host.host.transport as NetlinkSocket).fd);
  await host.host.netns.ip("link", "add", "br0", "type", "bridge");
  const lower: Record<string, readonly string[]> = { br0: ["eth0", "gone0"], eth0: ["br0"] };
  const keeper = host.keeper({ ethtool, lowerLinks: (link) => lower[link] ?? [] });
  const [state] = keeper.keep(["flannel.1"], { ...UNDERLAY, linkName: "br0" });
  assertEquals(asked, ["br0 bridge", "eth0 veth"]);
  assertEquals([state!.isOn, state!.observed], [false, false]);
  assertMatch(state!.reason, /vmxnet3/);
});

Deno.test("a keeper leaves checksum offload for a while to who changes it again and again, and names that", async () => {
  await using host = await ChecksumHost.open();
  const keeper = host.keeper({ mode: "off" });
  const look = () => keeper.keep(["flannel.1"], UNDERLAY)[0]!;
  const turnOn = () => host.host.netns.run("ethtool", "-K", "flannel.1", "tx-checksum-ip-generic", "on");
  look();
  let times = 0;
  for (; times < 60; times++) {
    await turnOn();
    if (look().observed) break;
  }
  assertEquals(times, 20);
  const { fight } = look();
  assertMatch(
    fight!,
    /^another program has changed checksum offload of flannel.1 21 times within a minute, .*\(on\)/,
  );
  assertEquals([keeper.waitMs, await host.feature()], [1000, "on"]);
  host.nowMs += 30_000;
  assertEquals([look(), await host.feature()], [{ ...look(), observed: false, fight: fight! }, "off"]);
  host.nowMs += 30_000;
  assertEquals(look().fight, undefined);
});

Deno.test("a VTEP that is made anew again and again has nobody change its checksum offload", async () => {
  await using host = await ChecksumHost.open();
  const keeper = host.keeper({ mode: "off" });
  for (let times = 0; times < 30; times++) {
    host.ethtool.setTxChecksum("flannel.1", true);
    keeper.linkCreated("flannel.1");
    const [state] = keeper.keep(["flannel.1"], UNDERLAY);
    assertEquals([state!.observed, state!.fight], [false, undefined]);
  }
});

Deno.test("lowerLinks() finds the ports of a bridge as sysfs names them, and nothing of a link that has gone", async () => {
  await using host = await Host.open();
  const { netns } = host;
  await netns.ip("link", "add", "br0", "type", "bridge");
  for (const port of ["eth0", "eth0-p"]) await netns.ip("link", "set", port, "master", "br0");
  // sysfs shows the namespace that it was mounted in, so its names are taken out of there.
  const { stdout } = await netns.run("ls", "/sys/class/net/br0");
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/br0`);
    for (const name of stdout.trim().split("\n")) await Deno.writeTextFile(`${folder}/br0/${name}`, "");
    assertEquals(lowerLinks("br0", folder).toSorted(), ["eth0", "eth0-p"]);
    assertEquals(lowerLinks("gone0", folder), []);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a link that is not there yet is a fault in a sentence", async () => {
  await using host = await ChecksumHost.open();
  const keeper = host.keeper({ mode: "off" });
  for (let times = 0; times < 3; times++) {
    const states = keeper.keep(["flannel.9", "flannel.1"], UNDERLAY);
    assertEquals(states.map(({ observed, fault }) => [observed, fault]), [
      [undefined, "Cannot read the checksum offload of flannel.9: ENODEV"],
      [false, undefined],
    ]);
  }
  assertEquals(host.log.lines.filter((line) => line.startsWith("warn")), []);
});
