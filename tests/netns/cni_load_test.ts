import { assertEquals } from "@std/assert";
import { PluginHost, STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach, type Conflist, detach } from "../plugin/runtime.ts";
import { until } from "../double/overlay_rig.ts";

const NOTHING = { state: [], addresses: [], links: [] };
const PODS = 300;
/** As many as a node's runtime starts at a time. */
const AT_ONCE = 20;

/** Calls `work` for each number below `count`, `AT_ONCE` at a time. */
async function inParallel(count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < count) await work(next++);
  }));
}

Deno.test(`${PODS} pods are attached and detached in parallel, and nothing is left behind`, async () => {
  // A /23, as a /24 has fewer addresses than pods.
  await using host = await PluginHost.create(
    "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.18.1/23\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  );
  const list: Conflist = {
    name: "cbr0",
    cniVersion: "1.0.0",
    plugins: [host.flannel({ delegate: { hairpinMode: true, isDefaultGateway: true } })],
  };
  const addresses = new Set<string>();
  const attached: (() => Promise<void>)[] = [];
  await inParallel(PODS, async (number) => {
    const sandbox = host.sandbox(await host.pod());
    const result = await attach(list, sandbox);
    addresses.add((result.ips as { address: string }[])[0]!.address);
    // A third is detached at once, between the others' starts.
    if (number % 3 === 0) await detach(list, sandbox, result);
    else attached.push(() => detach(list, sandbox, result));
  });
  // Round robin gives an address again only when all others had their turn.
  assertEquals(addresses.size, PODS);
  assertEquals((await host.leftovers()).addresses.length, PODS - PODS / 3);
  await inParallel(attached.length, (number) => attached[number]!());
  assertEquals(await host.leftovers(), NOTHING);
});

Deno.test("a plugin that is killed at any moment of ADD leaves what DEL cleans up", async () => {
  await using host = await PluginHost.create();
  // Says that it was started, and goes on only when it is killed: the state is written, the delegate is under way.
  await Deno.writeTextFile(
    `${host.pluginFolder}/bridge`,
    `#!/bin/sh\nif [ "$CNI_COMMAND" = ADD ]; then ${STANDARD_PLUGINS}/bridge >${host.folder}/result; touch ${host.folder}/started; sleep 60; fi\nexec ${STANDARD_PLUGINS}/bridge\n`,
  );
  await Deno.chmod(`${host.pluginFolder}/bridge`, 0o755);
  const sandbox = host.sandbox(await host.pod());
  const child = new Deno.Command("ip", {
    args: ["netns", "exec", host.netns.name, `${host.pluginFolder}/flannel`],
    env: {
      CNI_COMMAND: "ADD",
      CNI_PATH: sandbox.pluginFolders.join(":"),
      CNI_CONTAINERID: sandbox.containerId,
      CNI_NETNS: sandbox.netns,
      CNI_IFNAME: "eth0",
    },
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(
    new TextEncoder().encode(JSON.stringify({ name: "cbr0", cniVersion: "1.0.0", ...host.flannel() })),
  );
  await writer.close();
  await until("see the delegate attach the pod", async () => {
    return await Deno.stat(`${host.folder}/started`).then(() => true, () => undefined);
  });
  child.kill("SIGKILL");
  await child.status;
  const { state, addresses, links } = await host.leftovers();
  assertEquals([state.length, addresses.length, links.length], [2, 1, 1]);
  assertEquals((await host.call("DEL", sandbox)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
});

Deno.test("a plugin that is killed between its state and the delegate leaves what DEL cleans up", async () => {
  await using host = await PluginHost.create();
  await Deno.writeTextFile(`${host.pluginFolder}/bridge`, "#!/bin/sh\nkill -9 $PPID\n");
  await Deno.chmod(`${host.pluginFolder}/bridge`, 0o755);
  const sandbox = host.sandbox(await host.pod());
  assertEquals((await host.call("ADD", sandbox)).stdout, "");
  assertEquals((await host.leftovers()).state.length, 2);
  await Deno.remove(`${host.pluginFolder}/bridge`);
  assertEquals((await host.call("DEL", sandbox)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
  // The container's next try is as any other.
  assertEquals((await host.call("ADD", sandbox)).code, 0);
  assertEquals((await host.call("DEL", sandbox)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
});
