import { assertEquals } from "@std/assert";
import { differences, hostObjects, plannedDifferences } from "../faults/host_objects.ts";
import { untilQuiet } from "../faults/run_fault.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach } from "../plugin/runtime.ts";
import { TestNetns } from "../double/netns.ts";
import { changesIn, planIn, planOn, untilAsked } from "../double/overlay_plan.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";

Deno.test("a plan says the gateway of the pods' bridge and the conflist that the agent then puts back", async () => {
  await withOverlay({ hosts: 2, withAgents: false }, async (lab, libc) => {
    await using stack = new AsyncDisposableStack();
    const [host, peer] = hostsOf(lab);
    const conflist = `${host.directory}/net.d/10-flannel.conflist`;
    const source = `${host.directory}/cni-conf.json`;
    await Deno.mkdir(`${host.directory}/net.d`);
    const ipam = { dataDir: `${host.directory}/networks` };
    const plugins = [{ type: "flannel", ipam, delegate: { isDefaultGateway: true } }];
    await Deno.writeTextFile(source, JSON.stringify({ name: "cbr0", cniVersion: "0.3.1", plugins }));
    const flags = [`-cni-conf=${conflist}`, `-cni-conf-from=${source}`];
    host.startAgent(flags);
    peer.startAgent();
    await untilReady(libc, host);
    await peer.waitForSubnets();
    const text = await until("see the conflist", () => Deno.readTextFile(conflist).catch(() => undefined));
    const netns = stack.use(await TestNetns.create());
    await attach(JSON.parse(text), {
      hostNetns: host.netns.name,
      pluginFolders: [STANDARD_PLUGINS],
      containerId: "first",
      netns: netns.path,
    });
    await untilQuiet({ libc, host });
    await untilAsked(host);
    const settled = await planOn(host, flags);
    assertEquals([settled.code, settled.text], [0, ""], settled.errors);

    await host.stopAgent("SIGTERM");
    const alone = await planOn(host, flags);
    assertEquals([alone.code, alone.text], [0, ""], alone.errors);
    await host.netns.mustExec("ip", "address", "flush", "dev", "cni0", "scope", "global");
    await Deno.remove(conflist);
    const before = await hostObjects(host);
    const answer = await planOn(host, flags, "--json");
    assertEquals(await hostObjects(host), before);
    const changes = changesIn(planIn(answer));
    const [address, file] = [
      changes.filter(({ kind }) => kind === "address"),
      changes.filter(({ kind }) => kind === "file"),
    ];
    assertEquals([address.length, file.map(({ object }) => object)], [1, [`file ${conflist}`]], answer.text);
    host.startAgent(flags);
    await untilReady(libc, host);
    await until("see the conflist again", () => Deno.readTextFile(conflist).catch(() => undefined));
    await untilQuiet({ libc, host });
    const rest = changes.filter(({ kind }) => kind !== "file");
    assertEquals(plannedDifferences(rest, before), differences(before, await hostObjects(host)), answer.text);
    assertEquals(await Deno.readTextFile(conflist), text);
  });
});
