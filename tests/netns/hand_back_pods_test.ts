import { assertEquals } from "@std/assert";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { callPlugin } from "../plugin/runtime.ts";
import { StateFolder } from "../../src/pods/state.ts";
import { TestNetns } from "../double/netns.ts";
import { HandBackWorld, VXLAN } from "./hand_back_world.ts";

/** Calls a plugin as a runtime does, in the host's network namespace. */
async function call(
  world: HandBackWorld,
  verb: "ADD" | "DEL",
  config: string,
  containerId: string,
  netns: string,
): Promise<void> {
  const { type } = JSON.parse(config);
  const { code, stdout } = await callPlugin(verb, type, config, {
    hostNetns: world.netns.name,
    pluginFolders: [STANDARD_PLUGINS],
    containerId,
    netns,
  });
  assertEquals(code, 0, stdout);
}

/** The first plugin of the conflist that the runtime has, as it is called. */
async function pluginOf(world: HandBackWorld): Promise<string> {
  const { name, cniVersion, plugins: [plugin] } = JSON.parse(await Deno.readTextFile(world.conflistPath));
  return JSON.stringify({ ...plugin, name, cniVersion });
}

/** What flannel's plugin does at DEL: the delegate with what is kept for the container, which is then forgotten. */
async function flannelDel(world: HandBackWorld, containerId: string, netns: string): Promise<void> {
  const path = world.path(`data/${containerId}`);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch {
    // It succeeds where nothing is kept, and releases nothing.
    return;
  }
  await call(world, "DEL", text, containerId, netns);
  await Deno.remove(path);
}

for (const isDual of [false, true]) {
  Deno.test(`flannel's DEL finds all that Loden has attached, ${isDual ? "both families" : "IPv4"}: no address leaks, none is given twice`, async () => {
    await using world = await HandBackWorld.create({ ...VXLAN, isDual });
    await using stack = new AsyncDisposableStack();
    await world.startAgent();
    const config = await pluginOf(world);
    const pods = new Map<string, string>();
    const attach = async (containerId: string, config: string) => {
      const pod = stack.use(await TestNetns.create());
      pods.set(containerId, pod.path);
      await call(world, "ADD", config, containerId, pod.path);
    };
    for (const name of ["rendered1", "rendered2"]) await attach(name, config);
    // One that Loden's plugin has attached, with the state that it keeps.
    await attach("byplugin", config);
    new StateFolder(world.path("data")).write({ containerId: "byplugin", ifname: "eth0" }, config);
    await world.stopAgent();
    const reserved = await addresses(world);
    assertEquals(reserved.length, isDual ? 6 : 3);
    const { code, stdout } = await world.handBack();
    assertEquals(code, 0, stdout);
    assertEquals(await addresses(world), reserved, "reservations stay where they are");
    assertEquals(await names(world.path("data")), ["byplugin", "rendered1", "rendered2"]);

    // What flannel's plugin attaches now gets an address that nobody has.
    const [first] = (await Deno.readTextFile(world.path("data/rendered1"))).split("\n");
    await attach("new", first!);
    const all = await addresses(world);
    assertEquals([all.length, new Set(all).size], isDual ? [8, 8] : [4, 4]);
    await Deno.copyFile(world.path("data/rendered1"), world.path("data/new"));

    for (const [containerId, netns] of pods) await flannelDel(world, containerId, netns);
    assertEquals(await addresses(world), []);
    assertEquals(await names(world.path("data")), []);
    assertEquals(await world.netns.ipJson("link", "show", "type", "veth", "master", "cni0"), []);
  });
}

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

/** What `host-local` has reserved. */
async function addresses(world: HandBackWorld): Promise<string[]> {
  return (await names(world.path("networks/cbr0"))).filter((name) => /^[0-9a-f]+[.:]/.test(name));
}
