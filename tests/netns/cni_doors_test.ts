import { assertEquals, assertStringIncludes } from "@std/assert";
import { until } from "../double/overlay_rig.ts";
import { PluginHost, STANDARD_PLUGINS } from "../plugin/plugin_host.ts";

const NOTHING = { state: [], addresses: [], links: [] };

function onHost(name: string, body: (host: PluginHost) => Promise<void>): void {
  Deno.test(name, async () => {
    await using host = await PluginHost.create();
    await body(host);
  });
}

/** The plugin's part of a conflist with keys in another case, and nothing under the usual ones. */
function inCapitals(host: PluginHost, others: Readonly<Record<string, unknown>> = {}): string {
  const { subnetFile, dataDir, ipam } = host.flannel();
  return JSON.stringify({
    name: "cbr0",
    cniVersion: "1.0.0",
    type: "flannel",
    subnetfile: subnetFile,
    datadir: dataDir,
    Ipam: { ...ipam as object, routes: [{ dst: "192.0.2.0/24" }] },
    ...others,
  });
}

onHost(
  "a pod has the route and the MAC that keys in any case ask for, and DEL finds the state that they name",
  async (host) => {
    const pod = await host.pod();
    const sandbox = host.sandbox(pod);
    const conf = inCapitals(host, { RuntimeConfig: { mac: "02:00:00:00:00:77" }, Delegate: { mtu: 1300 } });
    const added = await host.call("ADD", sandbox, conf);
    assertEquals(added.code, 0, added.stdout);
    assertStringIncludes(await pod.ip("route", "show"), "192.0.2.0/24 via 10.1.17.1");
    const link = await pod.ip("link", "show", "eth0");
    assertStringIncludes(link, "02:00:00:00:00:77");
    assertStringIncludes(link, "mtu 1300");
    assertEquals((await host.leftovers()).state.length, 2);
    assertEquals((await host.call("DEL", sandbox, conf)).code, 0);
    assertEquals(await host.leftovers(), NOTHING);
  },
);

onHost(
  "DEL of a pod whose configuration is broken by now gives back its address and its link",
  async (host) => {
    const sandbox = host.sandbox(await host.pod());
    assertEquals((await host.call("ADD", sandbox)).code, 0);
    const broken = { delegate: { name: "x" }, runtimeConfig: [] };
    assertEquals((await host.call("ADD", host.sandbox(await host.pod()), broken)).code, 1);
    assertEquals((await host.call("DEL", sandbox, broken)).code, 0);
    assertEquals(await host.leftovers(), NOTHING);
  },
);

/** A folder that has `bridge`, and nothing that gives addresses. */
async function foldersWithoutIpam(host: PluginHost): Promise<string[]> {
  const folder = `${host.folder}/few`;
  await Deno.mkdir(folder);
  await Deno.symlink(`${STANDARD_PLUGINS}/bridge`, `${folder}/bridge`);
  return [host.pluginFolder, folder];
}

onHost("an ADD on a host without an IPAM plugin leaves nothing, and DEL succeeds there", async (host) => {
  const sandbox = host.sandbox(await host.pod(), { pluginFolders: await foldersWithoutIpam(host) });
  const { code, stdout } = await host.call("ADD", sandbox);
  assertEquals(code, 1);
  assertStringIncludes(JSON.parse(stdout).msg, 'failed to find plugin "host-local"');
  assertEquals(await host.leftovers(), NOTHING);
  assertEquals(await host.call("DEL", sandbox), { code: 0, stdout: "", stderr: "" });
});

onHost("a DEL on a host that has lost its IPAM plugin fails until it is there again", async (host) => {
  const sandbox = host.sandbox(await host.pod());
  assertEquals((await host.call("ADD", sandbox)).code, 0);
  const pluginFolders = await foldersWithoutIpam(host);
  for (let times = 0; times < 2; times++) {
    assertEquals((await host.call("DEL", { ...sandbox, pluginFolders })).code, 1);
  }
  assertEquals((await host.leftovers()).addresses, ["10.1.17.2"]);
  assertEquals((await host.call("DEL", sandbox)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost(
  "DEL whose path leads to the host's own network namespace leaves the host's link of that name",
  async (host) => {
    await host.netns.ip("link", "add", "eth0", "type", "bridge");
    const pod = await host.pod();
    const sandbox = host.sandbox(pod);
    assertEquals((await host.call("ADD", sandbox)).code, 0);
    assertEquals((await host.call("DEL", { ...sandbox, netns: host.netns.path })).code, 0);
    assertStringIncludes(await host.netns.ip("link", "show", "eth0"), "eth0");
    const { state, addresses } = await host.leftovers();
    assertEquals([state, addresses], [[], []]);
    await host.removePod(pod);
    await until(
      "see the pod's link go",
      async () => (await host.leftovers()).links.length === 0 || undefined,
    );
  },
);

onHost(
  "a network that has another name by now gives back what flannel's plugin has attached under the old one",
  async (host) => {
    const sandbox = host.sandbox(await host.pod());
    assertEquals((await host.call("ADD", sandbox)).code, 0);
    // As flannel's plugin has it: one file, by the container's name.
    const { containerId } = sandbox;
    await Deno.remove(`${host.dataDir}/${containerId}`);
    await Deno.rename(`${host.dataDir}/${containerId}@eth0`, `${host.dataDir}/${containerId}`);
    assertEquals((await host.call("DEL", sandbox, { name: "renamed" })).code, 0);
    const { addresses, links } = await host.leftovers();
    assertEquals([addresses, links], [[], []]);
  },
);
