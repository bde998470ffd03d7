import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { readAgentState } from "../../src/pods/agent_state.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { compiledBinary } from "../../.ci/binary.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach, callPlugin, type Conflist, detach, type Sandbox } from "../plugin/runtime.ts";
import { TestNetns } from "../double/netns.ts";
import { until, untilReady, withOverlay } from "../double/overlay_rig.ts";

function conflistPath(host: LabHost): string {
  return `${host.directory}/net.d/10-flannel.conflist`;
}

async function conflistOf(host: LabHost): Promise<Conflist | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(conflistPath(host)));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The rendered chain of a host, with addresses kept in a folder of its own. */
async function chainOf(host: LabHost): Promise<Conflist> {
  const list = await until(`see the conflist of ${host.name}`, () => conflistOf(host));
  const plugins = list.plugins.map((plugin) =>
    plugin.type === "bridge"
      ? { ...plugin, ipam: { ...plugin.ipam as object, dataDir: `${host.directory}/networks` } }
      : plugin
  );
  return { ...list, plugins };
}

async function mtuOf(host: LabHost): Promise<number | undefined> {
  return (await conflistOf(host))?.plugins[0]?.mtu as number | undefined;
}

Deno.test("pods attached by the agents' conflists reach each other, and the conflist follows the agent", async () => {
  await withOverlay({ hosts: 2, withAgents: false }, async (lab, libc) => {
    const flags = (host: LabHost) => [`-cni-conf=${conflistPath(host)}`];
    for (const host of lab.hosts) {
      await Deno.mkdir(`${host.directory}/net.d`);
      host.startAgent(flags(host));
    }
    const [first, second] = lab.hosts as readonly LabHost[] as [LabHost, LabHost];
    await using firstPod = await TestNetns.create();
    await using secondPod = await TestNetns.create();
    const attached = [];
    for (const [host, pod] of [[first, firstPod], [second, secondPod]] as const) {
      const list = await chainOf(host);
      assertEquals(list.plugins.map(({ type }) => type), ["bridge", "portmap"]);
      const sandbox: Sandbox = {
        hostNetns: host.netns.name,
        pluginFolders: [STANDARD_PLUGINS],
        containerId: host.name,
        netns: pod.path,
      };
      const result = await attach(list, sandbox);
      attached.push({ list, sandbox, result, address: (result.ips as { address: string }[])[0]!.address });
    }
    for (const host of lab.hosts) await untilReady(libc, host);
    const target = attached[1]!.address.split("/")[0]!;
    await until(`reach ${target}`, async () => {
      return (await firstPod.run("ping", "-c1", "-W1", target)).code === 0 || undefined;
    });

    // It is removed: it is back without a new pass being due.
    await Deno.remove(conflistPath(first));
    await until("see the conflist again", () => conflistOf(first));
    // What is written stays when the agent ends.
    await first.stopAgent("SIGTERM");
    assertEquals((await conflistOf(first))?.name, "cbr0");
    assertEquals(readAgentState(`${first.directory}/agent.json`)?.reasons, [
      { code: "agent-ended", sentence: "the agent was ended" },
    ]);
    const before = await mtuOf(first);
    assert(before !== undefined);
    first.startAgent([...flags(first), "-mtu=1300"]);
    await until(
      "see the new MTU",
      async () => await mtuOf(first) === 1250 || undefined,
      () => `it was ${before}`,
    );
    for (const { list, sandbox, result } of attached) await detach(list, sandbox, result);
  });
});

Deno.test("there is no conflist before the host can forward, and the plugin says what the agent waits for", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab) => {
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    await Deno.mkdir(`${host.directory}/net.d`);
    await Deno.mkdir(`${host.directory}/bin`);
    await Deno.symlink(await compiledBinary(), `${host.directory}/bin/flannel`);
    host.startAgent([
      "-local-registry=",
      "-etcd-endpoints=http://127.0.0.1:9",
      `-cni-conf=${conflistPath(host)}`,
    ]);
    const state = await until("hear what the agent waits for", () => {
      const state = readAgentState(`${host.directory}/agent.json`);
      return state?.reasons[0]?.sentence.includes("etcd") ? state : undefined;
    });
    const conf = {
      name: "cbr0",
      cniVersion: "1.0.0",
      subnetFile: host.subnetFilePath,
      dataDir: `${host.directory}/data`,
    };
    const { code, stdout } = await callPlugin("ADD", "flannel", JSON.stringify(conf), {
      hostNetns: host.netns.name,
      pluginFolders: [`${host.directory}/bin`, STANDARD_PLUGINS],
      containerId: "c1",
      netns: "/run/netns/lodentest-missing",
    });
    const error = JSON.parse(stdout);
    assertEquals([code, error.code], [1, 11]);
    assertStringIncludes(error.msg, `open ${host.subnetFilePath}: no such file or directory`);
    assertStringIncludes(error.details, state.reasons[0]!.sentence);
    assertEquals(await conflistOf(host), undefined);
  });
});

/** A conflist as an agent leaves it. */
const LEFT = '{"name":"cbr0","renderedBy":"loden","plugins":[{"type":"bridge"}]}';

const boots: [
  why: string,
  conflist: string,
  prepare: (host: LabHost) => Promise<unknown>,
  isKept: boolean,
][] = [
  ["nothing of the overlay is left", LEFT, () => Promise.resolve(), false],
  [
    "the subnet file is there",
    LEFT,
    (host) => Deno.writeTextFile(host.subnetFilePath, "FLANNEL_MTU=1450\n"),
    true,
  ],
  [
    "a VTEP is there",
    LEFT,
    (host) =>
      host.netns.mustExec("ip", "link", "add", "flannel.1", "type", "vxlan", "id", "1", "dstport", "8472"),
    true,
  ],
  [
    "flannel's plugin judges by itself",
    LEFT.replace("bridge", "flannel").replace("loden", "x"),
    () => Promise.resolve(),
    true,
  ],
  ["it is an administrator's", '{"name":"mine","plugins":[{"type":"ptp"}]}', () => Promise.resolve(), true],
];
for (const [why, conflist, prepare, isKept] of boots) {
  Deno.test(`an agent that starts ${isKept ? "leaves" : "takes away"} a conflist when ${why}`, async () => {
    await withOverlay({ hosts: 1, withAgents: false }, async (lab) => {
      const [host] = lab.hosts as readonly LabHost[] as [LabHost];
      await Deno.mkdir(`${host.directory}/net.d`);
      await Deno.writeTextFile(conflistPath(host), conflist);
      await prepare(host);
      host.startAgent([
        "-local-registry=",
        "-etcd-endpoints=http://127.0.0.1:9",
        `-cni-conf=${conflistPath(host)}`,
      ]);
      await until("hear that it has no registry", () => {
        return readAgentState(`${host.directory}/agent.json`)?.reasons[0]?.sentence.includes("etcd") ||
          undefined;
      });
      assertEquals(
        await Deno.readTextFile(conflistPath(host)).catch(() => undefined),
        isKept ? conflist : undefined,
      );
    });
  });
}

Deno.test("an agent that can't start leaves its reason for the plugin", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab) => {
    const [host] = lab.hosts as readonly LabHost[] as [LabHost];
    host.startAgent(["-net-config-path=/nowhere/net-conf.json"]);
    const state = await until("hear why", () => {
      const state = readAgentState(`${host.directory}/agent.json`);
      return state?.reasons[0]?.sentence.includes("/nowhere/net-conf.json") ? state : undefined;
    });
    assertStringIncludes(state.reasons[0]!.sentence, "there is no such file");
  });
});
