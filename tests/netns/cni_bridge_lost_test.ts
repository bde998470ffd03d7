import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, type Family, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach, type Conflist } from "../plugin/runtime.ts";
import { TestNetns } from "../double/netns.ts";
import { hostsOf, statusOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

const FAMILIES = [AF_INET, AF_INET6] as const;

function conflistPath(host: LabHost): string {
  return `${host.directory}/net.d/10-flannel.conflist`;
}

/** What an agent is started with so that it writes a conflist. Passes come of what is heard, not of the clock. */
async function flagsOf(host: LabHost): Promise<string[]> {
  await Deno.mkdir(`${host.directory}/net.d`, { recursive: true });
  const source = `${host.directory}/cni-conf.json`;
  const ipam = { dataDir: `${host.directory}/networks` };
  const plugins = [{ type: "flannel", ipam, delegate: { hairpinMode: true, isDefaultGateway: true } }];
  await Deno.writeTextFile(source, JSON.stringify({ name: "cbr0", cniVersion: "0.3.1", plugins }));
  return [`-cni-conf=${conflistPath(host)}`, `-cni-conf-from=${source}`, "-resync=600"];
}

async function conflistOf(host: LabHost, subnet = ""): Promise<Conflist> {
  return await until(`see the conflist of ${host.name}`, async () => {
    try {
      const text = await Deno.readTextFile(conflistPath(host));
      return text.includes(subnet) ? JSON.parse(text) : undefined;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  });
}

/** The global addresses on the bridge, sorted. */
async function onBridge(host: LabHost): Promise<string[]> {
  const stdout = await host.netns.mustExec("ip", "-j", "address", "show", "dev", "cni0");
  const [{ addr_info }] = JSON.parse(stdout) as [
    { addr_info: { local: string; prefixlen: number; scope: string }[] },
  ];
  return addr_info.filter(({ scope }) => scope === "global").map((one) => `${one.local}/${one.prefixlen}`)
    .sort();
}

async function isUp(host: LabHost): Promise<boolean> {
  const [link] = JSON.parse(await host.netns.mustExec("ip", "-j", "link", "show", "dev", "cni0"));
  return (link.flags as string[]).includes("UP");
}

function gatewaysOf(subnets: readonly string[]): string[] {
  return subnets.map((subnet) =>
    subnet.replace(/(\.0|:)\/(\d+)$/, (_, end, length) => {
      return `${end === ":" ? ":1" : ".1"}/${length}`;
    })
  ).sort();
}

interface World {
  readonly host: LabHost;
  readonly peer: LabHost;
  readonly libc: Libc;
  readonly flags: readonly string[];
  /** The gateways of the host's subnets, sorted. */
  readonly gateways: readonly string[];
  /** Attaches a pod by the conflist, and says which address of each family it has. */
  readonly attachPod: (id: string) => Promise<{ readonly netns: TestNetns; readonly addresses: string[] }>;
}

/** Two hosts, the first with a conflist and a real pod. */
async function withPod(families: readonly Family[], run: (world: World) => Promise<void>): Promise<void> {
  await withOverlay({ hosts: 2, withAgents: false, families }, async (lab, libc) => {
    await using stack = new AsyncDisposableStack();
    const [host, peer] = hostsOf(lab);
    const flags = await flagsOf(host);
    host.startAgent(flags);
    peer.startAgent(["-resync=600"]);
    const attachPod = async (id: string) => {
      const netns = stack.use(await TestNetns.create());
      const result = await attach(await conflistOf(host), {
        hostNetns: host.netns.name,
        pluginFolders: [STANDARD_PLUGINS],
        containerId: id,
        netns: netns.path,
      });
      const addresses = (result.ips as { address: string }[]).map(({ address }) => address.split("/")[0]!);
      return { netns, addresses };
    };
    await attachPod("first");
    const gateways = gatewaysOf((await host.waitForSubnets()).subnets.map(formatPrefix));
    assertEquals(await onBridge(host), gateways);
    await peer.waitForSubnets();
    await peer.makePod();
    await untilReady(libc, host);
    await run({ host, peer, libc, flags, gateways, attachPod });
  });
}

/** Waits until the bridge is up and has these addresses. */
async function untilOnBridge(host: LabHost, wanted: readonly string[]): Promise<void> {
  let seen = "";
  await until("see the bridge as it must be", async () => {
    const addresses = await onBridge(host);
    seen = `${await isUp(host) ? "up" : "down"} ${addresses.join(" ")}`;
    return seen === `up ${[...wanted].sort().join(" ")}` || undefined;
  }, () => seen);
}

/** Waits until what the agent says of the host has a sentence with all of these words. */
async function untilTold(
  libc: Libc,
  host: LabHost,
  words: readonly string[],
): Promise<{ readonly sentence: string; readonly code: string; readonly isReady: boolean }> {
  let seen: readonly string[] = [];
  return await until(`hear of ${words.join(", ")}`, async () => {
    const status = await statusOf(libc, host);
    if (status === undefined) return undefined;
    seen = status.conditions.map(({ reason }) => reason);
    const found = status.conditions.find(({ reason }) => words.every((word) => reason.includes(word)));
    return found && { sentence: found.reason, code: found.code, isReady: status.ready };
  }, () => seen.join("\n"));
}

/** Runs what a sentence says that is to be run. */
async function obey(host: LabHost, sentence: string): Promise<void> {
  const [, commands] = /run "([^"]+)"/.exec(sentence)!;
  for (const command of commands!.split("; ")) {
    await host.netns.mustExec(...command.split(" ") as [string, ...string[]]);
  }
}

async function takeAway(host: LabHost, addresses: readonly string[]): Promise<void> {
  for (const one of addresses) await host.netns.mustExec("ip", "address", "del", one, "dev", "cni0");
}

async function reach(from: TestNetns, to: LabHost): Promise<void> {
  const stdout = await to.pod.netns.mustExec("ip", "-j", "address", "show", "dev", "eth0");
  const [{ addr_info }] = JSON.parse(stdout) as [{ addr_info: { local: string; scope: string }[] }];
  for (const { local } of addr_info.filter(({ scope }) => scope === "global")) {
    await until(`reach ${local}`, async () => {
      return (await from.run("ping", "-c1", "-W1", local)).code === 0 || undefined;
    });
  }
}

Deno.test("a gateway of this host's subnet that is taken from the bridge is put back, in both families", async () => {
  await withPod(FAMILIES, async ({ host, peer, libc, gateways, attachPod }) => {
    const { netns } = await attachPod("second");
    await takeAway(host, gateways);
    await untilOnBridge(host, gateways);
    await reach(netns, peer);
    await takeAway(host, [gateways[1]!]);
    await untilOnBridge(host, gateways);
    await attachPod("third");
    await untilReady(libc, host);
  });
});

for (const families of [[AF_INET], FAMILIES] as const) {
  Deno.test(`a bridge that is set down is set up, and has its ${families.length === 1 ? "gateway" : "gateways"} again`, async () => {
    await withPod(families, async ({ host, peer, libc, gateways, attachPod }) => {
      const { netns } = await attachPod("second");
      await host.netns.mustExec("ip", "link", "set", "cni0", "down");
      await untilOnBridge(host, gateways);
      await reach(netns, peer);
      await untilReady(libc, host);
    });
  });
}

Deno.test("a host without IPv6 keeps the neighbours on its bridge, however often it looks at it", async () => {
  await withPod(FAMILIES, async ({ host, peer, gateways }) => {
    const neighbour = gateways[0]!.replace(/1\/\d+$/, "200");
    await host.netns.mustExec(
      "ip",
      "neigh",
      "add",
      neighbour,
      "lladdr",
      "02:00:00:00:02:00",
      "nud",
      "stale",
      "dev",
      "cni0",
    );
    host.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "1");
    await untilOnBridge(host, [gateways[0]!]);
    const { subnets: [theirs] } = await peer.waitForSubnets();
    for (let pass = 1; pass <= 3; pass++) {
      await host.netns.mustExec("ip", "route", "del", formatPrefix(theirs!));
      await until("see the route again", async () => {
        return (await host.netns.mustExec("ip", "route", "show", formatPrefix(theirs!))) !== "" || undefined;
      });
    }
    assertStringIncludes(await host.netns.mustExec("ip", "neigh", "show", "dev", "cni0"), neighbour);
  });
});

Deno.test("what the bridge lost while no agent ran is put back by the next one, as pods are on it", async () => {
  await withPod(FAMILIES, async ({ host, peer, flags, gateways, attachPod }) => {
    const { netns } = await attachPod("second");
    await host.stopAgent();
    await takeAway(host, gateways);
    await host.netns.mustExec("ip", "link", "set", "cni0", "down");
    host.startAgent(flags);
    await untilOnBridge(host, gateways);
    await reach(netns, peer);
  });
});

Deno.test("a gateway that is taken away again and again stays away, and named with what helps", async () => {
  await withPod(FAMILIES, async ({ host, libc, gateways }) => {
    const [gateway] = gateways;
    for (let time = 0; time < 3; time++) {
      await takeAway(host, [gateway!]);
      await untilOnBridge(host, gateways);
    }
    await takeAway(host, [gateway!]);
    const { sentence, code, isReady } = await untilTold(libc, host, [gateway!, "takes it away"]);
    assertEquals([code, isReady], ["bridge-robbed", false]);
    assertEquals(await onBridge(host), gateways.slice(1));
    await obey(host, sentence);
    await untilReady(libc, host);
    assertEquals(await onBridge(host), gateways);
  });
});

Deno.test("a bridge that is set down again and again is left down, and named with what helps", async () => {
  await withPod(FAMILIES, async ({ host, libc, gateways }) => {
    for (let time = 0; time < 3; time++) {
      await host.netns.mustExec("ip", "link", "set", "cni0", "down");
      await untilOnBridge(host, gateways);
    }
    await host.netns.mustExec("ip", "link", "set", "cni0", "down");
    const { sentence, code, isReady } = await untilTold(libc, host, ["the bridge cni0", "sets it down"]);
    assertEquals([code, isReady], ["bridge-down", false]);
    assertEquals(await isUp(host), false);
    await obey(host, sentence);
    await untilReady(libc, host);
    await untilOnBridge(host, gateways);
  });
});

Deno.test("a bridge without addresses and pods is left to the plugin, which makes it right with the first pod", async () => {
  await withOverlay({ hosts: 1, withAgents: false, families: FAMILIES }, async (lab, libc) => {
    await using netns = await TestNetns.create();
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    await host.netns.mustExec("ip", "link", "add", "cni0", "type", "bridge");
    host.startAgent([...await flagsOf(host), "-resync=1"]);
    await untilReady(libc, host);
    const { pass } = (await statusOf(libc, host))!;
    await until("see another pass", async () => {
      return (await statusOf(libc, host))!.pass.startedAt !== pass.startedAt || undefined;
    });
    assertEquals([await isUp(host), await onBridge(host)], [false, []]);
    await attach(await conflistOf(host), {
      hostNetns: host.netns.name,
      pluginFolders: [STANDARD_PLUGINS],
      containerId: "first",
      netns: netns.path,
    });
    await untilOnBridge(host, gatewaysOf((await host.waitForSubnets()).subnets.map(formatPrefix)));
    await untilReady(libc, host);
  });
});

Deno.test("an agent that writes no conflist puts back what it has seen on the bridge", async () => {
  await withOverlay({ hosts: 2, families: FAMILIES, agentFlags: ["-resync=600"] }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    const gateways = gatewaysOf(host.share.subnets.map(formatPrefix));
    await untilReady(libc, host);
    await untilOnBridge(host, gateways);
    // A start ends with a look at what is there, so that nothing is taken away before it was seen.
    await host.stopAgent();
    host.startAgent(["-resync=600"]);
    await untilReady(libc, host);
    await takeAway(host, gateways);
    await untilOnBridge(host, gateways);
    await host.netns.mustExec("ip", "link", "set", "cni0", "down");
    await untilOnBridge(host, gateways);
  });
});

Deno.test("a gateway of another host's subnet that the bridge is given stays, and is named with what helps", async () => {
  await withPod(FAMILIES, async ({ host, peer, libc, gateways, attachPod }) => {
    const { netns } = await attachPod("second");
    const theirs = gatewaysOf(peer.share.subnets.map(formatPrefix));
    for (const one of theirs) await host.netns.mustExec("ip", "address", "add", one, "dev", "cni0");
    const told: string[] = [];
    for (const one of theirs) {
      const { sentence, code, isReady } = await untilTold(libc, host, [
        "the bridge cni0",
        one,
        "did not give",
      ]);
      assertEquals([code, isReady], ["bridge-address-shadows", false]);
      told.push(sentence);
    }
    assertEquals(await onBridge(host), [...gateways, ...theirs].sort());
    for (const sentence of told) await obey(host, sentence);
    await untilReady(libc, host);
    await reach(netns, peer);
    assertEquals(await onBridge(host), gateways);
  });
});

Deno.test("the gateway of an earlier subnet goes though its last pod went while no agent ran", async () => {
  await withPod([AF_INET], async ({ host, flags, gateways, libc }) => {
    const [old] = gateways;
    const next = old === "10.244.99.1/24" ? "10.244.98" : "10.244.99";
    await host.stopAgent();
    // As if the registry had forgotten this host and knew it with another subnet.
    const registry = `-local-registry=${host.directory}/other.db`;
    await Deno.writeTextFile(host.subnetFilePath, `FLANNEL_SUBNET=${next}.1/24\n`);
    await Deno.remove(`${host.directory}/leases.json`).catch(() => {});
    host.startAgent([...flags, registry]);
    await conflistOf(host, `${next}.0/24`);
    // The pod has its gateway behind the new one.
    await untilOnBridge(host, [`${next}.1/24`, old!]);
    await untilReady(libc, host);
    await host.stopAgent();
    const store = `${host.directory}/networks/cbr0`;
    for await (const { name } of Deno.readDir(store)) {
      if (/^[0-9.]+$/.test(name)) await Deno.remove(`${store}/${name}`);
    }
    host.startAgent([...flags, registry]);
    await untilOnBridge(host, [`${next}.1/24`]);
    const status = await until("see a pass", () => statusOf(libc, host));
    assert(!status.notes.join().includes(old!), status.notes.join());
    assertStringIncludes((await onBridge(host)).join(), next);
  });
});
