import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach, type Conflist, detach, type Sandbox } from "../plugin/runtime.ts";
import { TestNetns } from "../double/netns.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, registryName, statusOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { FLANNEL_RULES } from "../double/api_server.ts";
import { withKubeOverlay } from "../double/overlay_servers.ts";

const FAMILIES = [AF_INET, AF_INET6] as const;

/** A pod that the real plugins have attached as the host's conflist says. */
interface AttachedPod {
  readonly netns: TestNetns;
  readonly sandbox: Sandbox;
  readonly result: Record<string, unknown>;
  /** One a family, IPv4 first. */
  readonly addresses: readonly string[];
}

function conflistPath(host: LabHost): string {
  return `${host.directory}/net.d/10-flannel.conflist`;
}

/** What an agent is started with so that it writes a conflist, with the addresses of pods in the host's folder. */
async function flagsOf(host: LabHost): Promise<string[]> {
  await Deno.mkdir(`${host.directory}/net.d`, { recursive: true });
  const source = `${host.directory}/cni-conf.json`;
  const ipam = { dataDir: `${host.directory}/networks` };
  const delegate = { hairpinMode: true, isDefaultGateway: true };
  const plugins = [{ type: "flannel", ipam, delegate }];
  await Deno.writeTextFile(source, JSON.stringify({ name: "cbr0", cniVersion: "0.3.1", plugins }));
  return [`-cni-conf=${conflistPath(host)}`, `-cni-conf-from=${source}`, "-resync=1"];
}

async function conflistOf(host: LabHost): Promise<Conflist | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(conflistPath(host)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Waits until the conflist of a host gives addresses of these subnets. */
async function conflistFor(host: LabHost, isWanted: (subnets: string) => boolean): Promise<Conflist> {
  let seen = "there is none";
  return await until(`see the conflist of ${host.name}`, async () => {
    const list = await conflistOf(host);
    if (list === undefined) return undefined;
    const { ranges } = list.plugins[0]!.ipam as { ranges: { subnet: string }[][] };
    seen = ranges.flat().map(({ subnet }) => subnet).join(" ");
    return isWanted(seen) ? list : undefined;
  }, () => seen);
}

async function attachPod(
  host: LabHost,
  list: Conflist,
  id: string,
  stack: AsyncDisposableStack,
): Promise<AttachedPod> {
  const netns = stack.use(await TestNetns.create());
  const sandbox = {
    hostNetns: host.netns.name,
    pluginFolders: [STANDARD_PLUGINS],
    containerId: id,
    netns: netns.path,
  };
  const result = await attach(list, sandbox);
  const addresses = (result.ips as { address: string }[]).map(({ address }) => address.split("/")[0]!);
  return { netns, sandbox, result, addresses };
}

/** The global addresses of a link in the kernel's order. */
async function addressesOn(host: Pick<LabHost, "netns">, link: string): Promise<string[]> {
  const stdout = await host.netns.mustExec("ip", "-j", "address", "show", "dev", link);
  const [{ addr_info }] = JSON.parse(stdout) as [
    { addr_info: { local: string; prefixlen: number; scope: string }[] },
  ];
  return addr_info.filter(({ scope }) => scope === "global").map(({ local, prefixlen }) =>
    `${local}/${prefixlen}`
  );
}

/** The addresses of the lab's own pod. */
async function podAddresses(host: LabHost): Promise<string[]> {
  return (await addressesOn(host.pod, "eth0")).map((one) => one.split("/")[0]!);
}

/** The lab's own pod, as a place to start programs. */
function podOf(host: LabHost) {
  return { run: (command: string, ...args: string[]) => host.podExec(command, ...args) };
}

async function macOf(host: LabHost, link: string): Promise<string> {
  const stdout = await host.netns.mustExec("ip", "-j", "link", "show", "dev", link);
  return JSON.parse(stdout)[0].address;
}

async function mustReach(
  from: { run(command: string, ...args: string[]): Promise<{ code: number }> },
  target: string,
): Promise<void> {
  await until(`reach ${target}`, async () => {
    return (await from.run("ping", "-c1", "-W1", target)).code === 0 || undefined;
  });
}

async function untilNote(
  libc: Libc,
  host: LabHost,
  isWanted: (notes: readonly string[]) => boolean,
): Promise<string[]> {
  let seen: readonly string[] = [];
  await until(`hear what ${host.name} notes`, async () => {
    const status = await statusOf(libc, host);
    if (status === undefined) return undefined;
    seen = [...status.reasons, ...status.notes];
    return isWanted(seen) || undefined;
  }, () => seen.join("\n"));
  return [...seen];
}

const isOfOldPods = (sentence: string) => sentence.includes("must be re-created");

function gateways(subnets: readonly string[]): string[] {
  return subnets.map((subnet) =>
    subnet.replace(/(\.0)?\/(\d+)$/, (_, v4, length) => v4 ? `.1/${length}` : `1/${length}`)
  );
}

/** Gives the lab's own pod, which no plugin has attached, the reservation that one would have made. */
async function reserveLabPod(host: LabHost): Promise<string[]> {
  const store = `${host.directory}/networks/cbr0`;
  await Deno.mkdir(store, { recursive: true });
  const addresses = await podAddresses(host);
  for (const address of addresses) await Deno.writeTextFile(`${store}/${address}`, "labpod\r\neth0");
  return addresses.map((address) => `${store}/${address}`);
}

for (const kind of ["double", "real"] as const) {
  Deno.test(`a host whose podCIDR has changed starts pods, and names those of the old subnet until they are gone (${kind} API server)`, async () => {
    await withKubeOverlay(kind, async ({ lab, libc, server, flags }) => {
      await using stack = new AsyncDisposableStack();
      const [h1, h2] = hostsOf(lab);
      const oldSubnets = (await h1.waitForSubnets()).subnets.map(formatPrefix);
      await h1.stopAgent();
      h1.startAgent([...flags, ...await flagsOf(h1)]);
      const before = await conflistFor(h1, (subnets) => subnets === oldSubnets.join(" "));
      const labFiles = await reserveLabPod(h1);
      const oldPod = await attachPod(h1, before, "old1", stack);
      const mac = await macOf(h1, "cni0");

      await server.permitAgent({ ...FLANNEL_RULES, events: ["create"] });
      const podCIDRs = ["10.244.77.0/24", "fd00:10:244:77::/64"];
      await server.deleteNode("h1");
      await server.createNode({ metadata: { name: "h1" }, spec: { podCIDR: podCIDRs[0], podCIDRs } });
      const after = await conflistFor(h1, (subnets) => subnets === podCIDRs.join(" "));
      const newPod = await attachPod(h1, after, "new1", stack);
      await untilReady(libc, h1);
      assertEquals(newPod.addresses.map((address) => address.replace(/[.:][^.:]*$/, "")), [
        "10.244.77",
        "fd00:10:244:77:",
      ]);
      for (const address of newPod.addresses) {
        await mustReach(podOf(h2), address);
      }

      // The pods of the old subnet are named, and keep their gateway while nobody else has their subnet.
      const notes = await untilNote(libc, h1, (all) => all.some(isOfOldPods));
      assertStringIncludes(
        notes.find(isOfOldPods)!,
        `2 pods have addresses of ${oldSubnets.join(" and ")} and must be re-created`,
      );
      const { conditions } = (await statusOf(libc, h1))!;
      assertEquals(conditions.some(({ code }) => code === "pods-of-old-subnet"), true);
      for (const family of [0, 1]) {
        const isOfFamily = (one: string) => one.includes(":") === (family === 1);
        assertEquals(
          (await addressesOn(h1, "cni0")).filter(isOfFamily),
          [...gateways(podCIDRs), ...gateways(oldSubnets)].filter(isOfFamily),
        );
        await mustReach(oldPod.netns, gateways(oldSubnets)[family]!.split("/")[0]!);
      }
      const events = await until("see the Event", async () => {
        const all = (await server.events()).filter(({ reason }) => reason === "PodsMustBeRecreated");
        return all.length > 0 ? all : undefined;
      });
      assertStringIncludes(String(events[0]!.message), "must be re-created");
      assertEquals(await macOf(h1, "cni0"), mac);

      // Another host gets the old subnet: what the bridge has too would shadow its pods.
      const h4 = await lab.addHost();
      await server.createNode({
        metadata: { name: "h4" },
        spec: { podCIDR: oldSubnets[0], podCIDRs: oldSubnets },
      });
      h4.startAgent(flags);
      assertEquals((await h4.waitForSubnets()).subnets.map(formatPrefix), oldSubnets);
      await h4.makePod();
      for (const address of await podAddresses(h4)) await mustReach(newPod.netns, address);
      assertEquals((await addressesOn(h1, "cni0")).sort(), gateways(podCIDRs).sort());
      for (const address of newPod.addresses) await mustReach(podOf(h4), address);

      // The old pods go, one with the new conflist: their addresses are free.
      await detach(after, oldPod.sandbox, oldPod.result);
      for (const file of labFiles) await Deno.remove(file);
      await untilNote(libc, h1, (all) => !all.some(isOfOldPods));
      const left = (await Array.fromAsync(Deno.readDir(`${h1.directory}/networks/cbr0`))).map(({ name }) =>
        name
      );
      assertEquals(left.filter((name) => /^[0-9a-f]+[.:]/.test(name)).sort(), [...newPod.addresses].sort());
      assertEquals(await macOf(h1, "cni0"), mac);
      for (const address of newPod.addresses) {
        await mustReach(podOf(h2), address);
      }
    }, { families: FAMILIES });
  });
}

onEveryRegistry(
  "a host whose subnet another host has taken starts pods of its new one, and reaches those of the other",
  { registries: ["local", "etcd"], families: FAMILIES },
  async ({ lab, libc, flags, leases, remove, addHost }) => {
    await using stack = new AsyncDisposableStack();
    const [h1, h2] = hostsOf(lab);
    const oldSubnets = (await h1.waitForSubnets()).subnets.map(formatPrefix);
    await h1.stopAgent();
    h1.startAgent([...flags, ...await flagsOf(h1)]);
    const before = await conflistFor(h1, (subnets) => subnets === oldSubnets.join(" "));
    await reserveLabPod(h1);
    await attachPod(h1, before, "old1", stack);
    await h1.stopAgent();

    const lease = (await leases()).find(({ addresses }) => addresses.includes(registryName(h1)))!;
    await remove(lease.key);
    const h4 = await addHost();
    await Deno.copyFile(h1.subnetFilePath, h4.subnetFilePath);
    h4.startAgent(flags);
    await untilReady(libc, h4);
    assertEquals((await h4.waitForSubnets()).subnets.map(formatPrefix), oldSubnets);
    await h4.makePod();

    h1.startAgent([...flags, ...await flagsOf(h1)]);
    const after = await conflistFor(h1, (subnets) => oldSubnets.every((old) => !subnets.includes(old)));
    const newPod = await attachPod(h1, after, "new1", stack);
    await untilReady(libc, h1);
    for (const address of newPod.addresses) {
      await mustReach(podOf(h2), address);
    }
    const notes = await untilNote(libc, h1, (all) => all.some(isOfOldPods));
    assertStringIncludes(
      notes.find(isOfOldPods)!,
      `2 pods have addresses of ${oldSubnets.join(" and ")} and must be re-created`,
    );
    // What the bridge has too would shadow the other host's pods.
    const there = await addressesOn(h1, "cni0");
    for (const gateway of gateways(oldSubnets)) assert(!there.includes(gateway), there.join(" "));
    for (const address of await podAddresses(h4)) await mustReach(newPod.netns, address);
  },
);

/** One host in the registry of the lab, with a real pod of its first subnet. */
async function withOldPod(
  run: (
    world: {
      host: LabHost;
      libc: Libc;
      list: Conflist;
      stack: AsyncDisposableStack;
      /** What the subnet will be changed to: `10.244.99`. */
      next: string;
      changeSubnet: () => Promise<void>;
    },
  ) => Promise<void>,
  extraFlags: readonly string[] = [],
): Promise<void> {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab: Lab, libc) => {
    await using stack = new AsyncDisposableStack();
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    const flags = [...await flagsOf(host), ...extraFlags];
    host.startAgent(flags);
    const list = await conflistFor(host, () => true);
    await attachPod(host, list, "old1", stack);
    // The first subnet is one at random.
    const [old] = (await host.waitForSubnets()).subnets.map(formatPrefix);
    const next = old === "10.244.99.0/24" ? "10.244.98" : "10.244.99";
    const changeSubnet = async () => {
      await host.stopAgent();
      await Deno.remove(lab.registryPath);
      for (const suffix of ["-wal", "-shm"]) await Deno.remove(lab.registryPath + suffix).catch(() => {});
      await Deno.remove(`${host.directory}/leases.json`).catch(() => {});
      await Deno.writeTextFile(host.subnetFilePath, `FLANNEL_SUBNET=${next}.1/24\n`);
      host.startAgent(flags);
      await conflistFor(host, (subnets) => subnets === `${next}.0/24`);
    };
    await run({ host, libc, list, stack, next, changeSubnet });
  });
}

Deno.test("an address of others on the bridge stays and is named with what helps, and that helps", async () => {
  await withOldPod(async ({ host, libc, stack, next, changeSubnet }) => {
    await host.netns.mustExec("ip", "address", "add", "192.168.7.9/24", "dev", "cni0");
    const [oldGateway] = await addressesOn(host, "cni0");
    await changeSubnet();
    const notes = await untilNote(libc, host, (all) => all.some((one) => one.includes("192.168.7.9/24")));
    const sentence = notes.find((one) => one.includes("192.168.7.9/24"))!;
    assertEquals((await statusOf(libc, host))!.ready, false);
    assertEquals(await addressesOn(host, "cni0"), ["192.168.7.9/24", `${next}.1/24`, oldGateway!]);
    const [, command] = /run "([^"]+)"/.exec(sentence)!;
    await host.netns.mustExec(...command!.split(" ") as [string, ...string[]]);
    await untilReady(libc, host);
    await attachPod(host, (await conflistOf(host))!, "new1", stack);
  });
});

Deno.test("a bridge that has nothing of ours is left alone", async () => {
  await withOldPod(async ({ host, libc, changeSubnet }) => {
    // An agent that has seen its gateway there would put it back.
    await host.stopAgent();
    await host.netns.mustExec("ip", "address", "flush", "dev", "cni0", "scope", "global");
    await host.netns.mustExec("ip", "address", "add", "10.9.0.1/24", "dev", "cni0");
    await changeSubnet();
    const notes = await untilNote(libc, host, (all) => all.some((one) => one.includes("10.9.0.1/24")));
    assertStringIncludes(notes.join(), "which Loden did not give it");
    assertEquals(await addressesOn(host, "cni0"), ["10.9.0.1/24"]);
  });
});

Deno.test("a link of the bridge's name that is none is named", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    await host.netns.mustExec("ip", "link", "add", "cni0", "type", "veth", "peer", "name", "veth9");
    host.startAgent(await flagsOf(host));
    const notes = await untilNote(libc, host, (all) => all.some((one) => one.includes("cni0")));
    assertStringIncludes(notes.join(), "the link cni0 is of the kind veth and no bridge");
    await host.netns.mustExec("ip", "link", "del", "cni0");
    await untilReady(libc, host);
  });
});

Deno.test("an old gateway that the bridge is given again and again is left there, and named", async () => {
  await withOldPod(async ({ host, libc, changeSubnet }) => {
    const [oldGateway] = await addressesOn(host, "cni0");
    await Deno.remove(`${host.directory}/networks/cbr0`, { recursive: true });
    await Deno.mkdir(`${host.directory}/networks/cbr0`);
    await changeSubnet();
    for (let time = 0; time < 3; time++) {
      await until(
        "see it go",
        async () => !(await addressesOn(host, "cni0")).includes(oldGateway!) || undefined,
      );
      await host.netns.mustExec("ip", "address", "flush", "dev", "cni0", "scope", "global");
      await host.netns.mustExec("ip", "address", "add", oldGateway!, "dev", "cni0");
    }
    const notes = await untilNote(libc, host, (all) => all.some((one) => one.includes(oldGateway!)));
    assertStringIncludes(
      notes.join(),
      "which another program gives it again each time that it is taken away",
    );
    assert((await addressesOn(host, "cni0")).includes(oldGateway!));
  });
});

Deno.test("pods that were started with a larger MTU than the overlay has now are counted", async () => {
  await withOldPod(async ({ host, libc }) => {
    await host.stopAgent();
    host.startAgent([...await flagsOf(host), "-mtu=1300"]);
    const notes = await untilNote(libc, host, (all) => all.some((one) => one.includes("MTU above 1250")));
    assertStringIncludes(notes.join(), "1 pod was started with an MTU above 1250 bytes");
    const { conditions } = (await statusOf(libc, host))!;
    assertEquals(conditions.some(({ code }) => code === "pods-with-large-mtu"), true);
    await untilReady(libc, host);
    const ports = await host.netns.mustExec("ip", "-o", "link", "show", "master", "cni0");
    assertStringIncludes(ports, "mtu 1450");
    await host.netns.mustExec("ip", "link", "del", /\d+: ([^@:]+)/.exec(ports)![1]!);
    await untilNote(libc, host, (all) => !all.some((one) => one.includes("MTU above")));
    assert(linkIndexOf(host.client, "cni0") > 0);
  });
});

Deno.test("an agent that writes no conflist mends a bridge of a subnet that its host had, and leaves another network's", async () => {
  await withOverlay({ hosts: 2, withAgents: false }, async (lab, libc) => {
    const [first, second] = hostsOf(lab);
    // The host has had it, and does not get it again: the registry gives none so low.
    await Deno.writeTextFile(first.subnetFilePath, "FLANNEL_SUBNET=10.244.0.1/24\n");
    for (const [host, address] of [[first, "10.244.0.1/24"], [second, "10.50.7.1/24"]] as const) {
      await host.netns.mustExec("ip", "link", "add", "cni0", "up", "type", "bridge");
      await host.netns.mustExec("ip", "address", "add", address, "dev", "cni0");
      host.startAgent(["-resync=1"]);
      await untilReady(libc, host);
    }
    const [gateway] = gateways((await first.waitForSubnets()).subnets.map(formatPrefix));
    await until(
      "see the gateway",
      async () => (await addressesOn(first, "cni0"))[0] === gateway || undefined,
    );
    assert(gateway !== "10.244.0.1/24");
    const { pass } = (await statusOf(libc, second))!;
    await until("see another pass", async () => {
      return (await statusOf(libc, second))!.pass.startedAt !== pass.startedAt || undefined;
    });
    assertEquals(await addressesOn(second, "cni0"), ["10.50.7.1/24"]);
    const status = (await statusOf(libc, second))!;
    assertEquals([...status.reasons, ...status.notes].filter((one) => one.includes("cni0")), []);
  });
});
