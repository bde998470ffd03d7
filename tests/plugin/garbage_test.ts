import { assertEquals } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import { PluginWorld } from "./plugin_world.ts";

const VALID = "cni.dev/valid-attachments";

function garbage(name: string, body: (world: PluginWorld) => Promise<void>): void {
  Deno.test(name, async () => {
    await using world = await PluginWorld.create();
    for (
      const [container, ifname, network] of [["a", "eth0", "cbr0"], ["a", "net1", "cbr0"], [
        "b",
        "eth0",
        "other",
      ]]
    ) {
      await world.run("ADD", { name: network }, { CNI_CONTAINERID: container, CNI_IFNAME: ifname });
    }
    await Deno.writeTextFile(`${world.dataDir}/u`, '{"name":"cbr0","type":"bridge"}');
    world.calls.length = 0;
    await body(world);
  });
}

garbage("GC releases each attachment of its network that is not valid, and no other's", async (world) => {
  const valid = [{ containerID: "a", ifname: "eth0" }];
  assertEquals((await world.run("GC", { cniVersion: "1.1.0", [VALID]: valid })).exitCode, 0);
  const released = world.calls.map(({ verb, variables }) =>
    `${verb} ${variables?.CNI_CONTAINERID} ${variables?.CNI_IFNAME} ${JSON.stringify(variables?.CNI_NETNS)}`
  ).sort();
  assertEquals(released, ['DEL a net1 ""', 'DEL u eth0 ""']);
  assertEquals(world.state, ["a", "a@eth0", "b", "b@eth0"]);
});

garbage(
  "GC keeps what flannel's plugin has attached while its container has any attachment",
  async (world) => {
    const valid = [{ containerID: "u", ifname: "net7" }, { containerID: "a", ifname: "eth0" }, {
      containerID: "a",
      ifname: "net1",
    }];
    await world.run("GC", { cniVersion: "1.1.0", [VALID]: valid });
    assertEquals([world.verbs, world.state.includes("u")], [[], true]);
  },
);

garbage("GC tries all that is left over, and keeps what could not be released", async (world) => {
  world.answer = ({ variables }) => {
    if (variables?.CNI_CONTAINERID === "a") throw new CniError(11, `busy ${variables.CNI_IFNAME}`);
    return "";
  };
  const { error } = await world.run("GC", { cniVersion: "1.1.0", [VALID]: [] });
  assertEquals([error.code, error.msg], [11, "2 releases failed"]);
  assertEquals(error.details!.split("; ").sort(), ["busy eth0", "busy net1"]);
  assertEquals(world.state, ["a", "a@eth0", "a@net1", "b", "b@eth0"]);
});

garbage("GC works on a host that has no subnet any more", async (world) => {
  world.subnetEnv = undefined;
  world.versions = ["1.1.0"];
  assertEquals((await world.run("GC", { cniVersion: "1.1.0", [VALID]: [] })).exitCode, 0);
  assertEquals(world.state, ["b", "b@eth0"]);
  assertEquals([world.verbs.at(-1), world.lastConfig.type, world.lastConfig.name], ["GC", "bridge", "cbr0"]);
});

garbage("GC that is not told what is valid releases nothing", async (world) => {
  const { error } = await world.run("GC", { cniVersion: "1.1.0" });
  assertEquals([error.code, error.msg, world.verbs], [7, `${VALID} missing`, []]);
});

garbage("GC goes by no file whose name is none of an attachment, whatever is in it", async (world) => {
  for (const name of ["README", "@eth0", "x@", "x@a/b".replace("/", ":"), "-x", "x y"]) {
    await Deno.writeTextFile(`${world.dataDir}/${name}`, '{"name":"cbr0","type":"bridge"}');
  }
  const before = world.state.filter((name) => !["a", "a@eth0", "a@net1", "u", "README"].includes(name));
  await world.run("GC", { cniVersion: "1.1.0", [VALID]: [] });
  assertEquals(world.state, before);
  assertEquals(
    world.calls.map(({ variables }) => variables?.CNI_CONTAINERID).sort(),
    ["README", "a", "a", "u"],
  );
});

garbage("GC reads the keys of attachments in any case", async (world) => {
  const valid = [{ containerId: "a", IfName: "eth0" }, { CONTAINERID: "a", ifname: "net1" }, {
    containerid: "u",
    ifname: "eth0",
  }];
  assertEquals(
    (await world.run("GC", { cniVersion: "1.1.0", "CNI.dev/Valid-Attachments": valid })).exitCode,
    0,
  );
  assertEquals(world.verbs, []);
});
