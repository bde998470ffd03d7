import { renderConflist, USUAL_CONFLIST } from "../../src/pods/conflist.ts";
import { readSettings } from "../../src/pods/settings.ts";
import { readSubnetEnv } from "../../src/pods/subnet_env.ts";
import { PluginHost, V4_ENV } from "../plugin/plugin_host.ts";
import type { Conflist } from "../plugin/runtime.ts";
import type { ChainTimes } from "./cni_inside.ts";
import { percentile } from "./machine.ts";

const INSIDE = new URL("./cni_inside.ts", import.meta.url).pathname;

/** What a pod's network costs by one chain, in milliseconds. */
export type CniRow = Readonly<Record<string, string | number>>;

/**
 * Times ADD and DEL of one pod after the other, the chains taking turns: bridge, host-local and portmap as a person
 * would write them, as the agent renders them, and behind the plugin `flannel`.
 *
 * @param rounds How often each chain attaches and detaches.
 * @param before Another binary that is the plugin in a chain of its own, to compare with.
 */
export async function timeChains(rounds: number, before?: string): Promise<CniRow[]> {
  await using host = await PluginHost.create(V4_ENV);
  if (before !== undefined) {
    await Deno.symlink(await Deno.realPath(before), `${host.pluginFolder}/flannel-before`);
  }
  const env = readSubnetEnv(V4_ENV, host.subnetFile);
  const rendered: Conflist = JSON.parse(renderConflist(USUAL_CONFLIST, readSettings({}), env));
  const usual: Conflist = JSON.parse(USUAL_CONFLIST);
  const [, portmap] = usual.plugins;
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.1.17.0/24" }]], dataDir: host.networksDir };
  const plain = {
    type: "bridge",
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    mtu: 1472,
    ipam,
  };
  const flannel = host.flannel({ delegate: { hairpinMode: true, isDefaultGateway: true } });
  const chains: Record<string, Conflist> = {
    "bridge, by hand": { ...usual, name: "plain", plugins: [plain, portmap!] },
    "rendered conflist": {
      ...rendered,
      plugins: rendered.plugins.map((plugin) =>
        plugin.type === "bridge"
          ? { ...plugin, ipam: { ...plugin.ipam as object, dataDir: host.networksDir } }
          : plugin
      ),
    },
    "plugin flannel": { ...usual, plugins: [flannel, portmap!] },
    ...before !== undefined && {
      "plugin flannel, before": { ...usual, plugins: [{ ...flannel, type: "flannel-before" }, portmap!] },
    },
  };
  const pod = await host.pod();
  const sandbox = host.sandbox(pod);
  const { code, stdout, stderr } = await new Deno.Command("ip", {
    args: ["netns", "exec", host.netns.name, Deno.execPath(), "run", "--quiet", "-A", INSIDE],
    env: { BENCH: JSON.stringify({ chains, sandbox, rounds, memoryFolder: host.folder }) },
    stdin: "null",
  }).output();
  if (code !== 0) throw new Error(`Cannot time the chains: ${new TextDecoder().decode(stderr)}`);
  const times: Record<string, ChainTimes> = JSON.parse(new TextDecoder().decode(stdout));
  return Object.entries(times).map(([chain, { addMs, delMs, rssMiB, anonMiB }]) => ({
    chain,
    "ADD, median": percentile(addMs, 0.5).toFixed(1),
    "p99 ms": percentile(addMs, 0.99).toFixed(1),
    "DEL, median": percentile(delMs, 0.5).toFixed(1),
    "p99 ms ": percentile(delMs, 0.99).toFixed(1),
    "plugin's RSS / RssAnon MiB": rssMiB === undefined
      ? "–"
      : `${rssMiB.toFixed(0)} / ${anonMiB!.toFixed(0)}`,
  }));
}
