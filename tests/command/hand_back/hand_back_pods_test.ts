import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { planPods } from "../../../src/command/hand_back/hand_back_pods.ts";
import { ConflistError, renderConflist } from "../../../src/pods/conflist.ts";
import { readSettings } from "../../../src/pods/settings.ts";
import { StateFolder } from "../../../src/pods/state.ts";
import { readSubnetEnv } from "../../../src/pods/subnet_env.ts";

const ENV = readSubnetEnv(
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  "/s",
);

/** The files of a host that has pods. */
class Folder implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<Folder> {
    const folder = new Folder(await Deno.makeTempDir({ prefix: "lodentest-backpods-" }));
    for (const name of ["net.d", "bin", "data", "networks/cbr0", "results"]) {
      await Deno.mkdir(`${folder.path}/${name}`, { recursive: true });
    }
    await Deno.writeTextFile(`${folder.path}/bin/flannel`, "", { mode: 0o755 });
    return folder;
  }

  source(name = "cbr0", subnetFile = `${this.path}/subnet.env`): string {
    const plugin = { type: "flannel", subnetFile, dataDir: `${this.path}/data` };
    return JSON.stringify({ name, cniVersion: "1.0.0", plugins: [plugin] });
  }

  async write(name: string, text: string): Promise<void> {
    await Deno.writeTextFile(`${this.path}/${name}`, text);
  }

  /** The conflist as the agent writes it, made of a file that is there or not. */
  async render(env = ENV, source = this.source()): Promise<void> {
    await this.write("net.d/10-flannel.conflist", renderConflist(source, readSettings({}), env));
  }

  plan() {
    return planPods({
      options: {
        subnetFilePath: `${this.path}/subnet.env`,
        pluginFolder: `${this.path}/bin`,
        conflist: {
          path: `${this.path}/net.d/10-flannel.conflist`,
          sourcePath: `${this.path}/cni-conf.json`,
          isSourceOptional: false,
          isRendered: true,
        },
      },
      environment: { FLANNEL_CNI_DATA_DIR: `${this.path}/data` },
      env: ENV,
      networksDir: `${this.path}/networks`,
      resultsDir: `${this.path}/results`,
    });
  }

  /** Carries it out; returns what was done, with this folder's name left out. */
  async handBack(): Promise<{ readonly steps: string[]; readonly kept: readonly string[] }> {
    const { steps, kept } = this.plan();
    for (const step of steps) await step.run();
    return { steps: steps.map(({ verb, object }) => `${verb} ${object.replaceAll(this.path, "")}`), kept };
  }

  async states(): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(`${this.path}/data`));
    return entries.map(({ name, isSymlink }) => isSymlink ? `${name} (link)` : name).sort();
  }

  state(name: string): { name: string; type: string } {
    return JSON.parse(Deno.readTextFileSync(`${this.path}/data/${name}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

const WROTE = "write state of a pod in /data, as flannel's plugin keeps it";
const TURNED = "turn conflist /net.d/10-flannel.conflist into one that calls the plugin flannel";

Deno.test("a pod of a rendered conflist gets state, and the conflist is its source again", async () => {
  await using folder = await Folder.create();
  await folder.write("cni-conf.json", folder.source());
  await folder.render();
  await folder.write("networks/cbr0/10.244.1.2", "pod1\r\neth0");
  assertEquals(await folder.handBack(), { steps: [WROTE, TURNED], kept: [] });
  assertEquals(await folder.states(), ["pod1"]);
  assertEquals([folder.state("pod1").name, folder.state("pod1").type], ["cbr0", "bridge"]);
  assertEquals(await Deno.readTextFile(`${folder.path}/net.d/10-flannel.conflist`), folder.source());
  assertEquals((await Deno.stat(`${folder.path}/data/pod1`)).mode! & 0o777, 0o600);
  assertEquals(await folder.handBack(), { steps: [], kept: [] }, "and then there is nothing left");
});

Deno.test("pods that are attached after it was planned get state too: before the conflist is turned, and after it", async () => {
  await using folder = await Folder.create();
  await folder.write("cni-conf.json", folder.source());
  await folder.render();
  const { steps, late } = folder.plan();
  assertEquals(late(), []);
  await folder.write("networks/cbr0/10.244.1.2", "before\r\neth0");
  for (const step of steps) await step.run();
  assertEquals(await folder.states(), ["before"]);
  await folder.write("networks/cbr0/10.244.1.3", "after\r\neth0");
  const [step, ...others] = late();
  assertEquals([step!.object.replace(folder.path, ""), others], [WROTE.replace("write ", ""), []]);
  await step!.run();
  assertEquals(await folder.states(), ["after", "before"]);
  assertEquals(late(), []);
});

Deno.test("a conflist is not turned while the state of a pod that came meanwhile can't be written", async () => {
  await using folder = await Folder.create();
  await folder.render();
  const { steps } = folder.plan();
  await folder.write("networks/cbr0/10.244.1.2", "meanwhile\r\neth0");
  await Deno.remove(`${folder.path}/data`);
  await folder.write("data", "no folder");
  const before = await Deno.readTextFile(`${folder.path}/net.d/10-flannel.conflist`);
  await assertRejects(
    async () => {
      for (const step of steps) await step.run();
    },
    Error,
    "the state of pods must be there first: ",
  );
  assertEquals(await Deno.readTextFile(`${folder.path}/net.d/10-flannel.conflist`), before);
});

Deno.test("without its source a conflist is made of what was rendered", async () => {
  await using folder = await Folder.create();
  await folder.render();
  assertEquals((await folder.handBack()).steps, [TURNED]);
  const { name, plugins: [plugin] } = JSON.parse(
    await Deno.readTextFile(`${folder.path}/net.d/10-flannel.conflist`),
  );
  assertEquals([name, plugin], [
    "cbr0",
    { type: "flannel", subnetFile: `${folder.path}/subnet.env`, delegate: {} },
  ]);
});

Deno.test("a pod of which only the runtime keeps a result gets state too, and files that are none are passed by", async () => {
  await using folder = await Folder.create();
  await folder.render();
  const result = (containerId: string, networkName = "cbr0") =>
    JSON.stringify({ kind: "cniCacheV1", containerId, ifName: "eth0", networkName });
  await folder.write("results/cbr0-pod1-eth0", result("pod1"));
  await folder.write("results/cbr0-pod2-eth0", "{");
  await folder.write("results/cbr0-pod3-eth0", result("../x"));
  await folder.write("results/cbr0-other-pod4-eth0", result("pod4", "cbr0-other"));
  await folder.write("networks/cbr0/last_reserved_ip.0", "10.244.1.9");
  await folder.write("networks/cbr0/10.244.1.3", "../y\r\neth0");
  await folder.handBack();
  assertEquals(await folder.states(), ["pod1"]);
});

Deno.test("the state that our plugin keeps becomes flannel's, of a pod that it has attached", async () => {
  await using folder = await Folder.create();
  await folder.write("net.d/10-flannel.conflist", folder.source());
  const state = new StateFolder(`${folder.path}/data`);
  state.write({ containerId: "pod1", ifname: "eth0" }, '{"name":"cbr0","type":"bridge","by":"us"}');
  state.write({ containerId: "other", ifname: "eth0" }, '{"name":"blue","type":"bridge"}');
  await folder.write("data/flannels", '{"name":"cbr0","type":"bridge"}');
  assertEquals(await folder.states(), ["flannels", "other (link)", "other@eth0", "pod1 (link)", "pod1@eth0"]);
  assertEquals((await folder.handBack()).steps, [WROTE]);
  assertEquals(await folder.states(), ["flannels", "other (link)", "other@eth0", "pod1"]);
  assertEquals(folder.state("pod1"), { name: "cbr0", type: "bridge", by: "us" } as never);
});

Deno.test("of a pod with two links the first is what flannel can detach, and that is said", async () => {
  await using folder = await Folder.create();
  await folder.write("net.d/10-flannel.conflist", folder.source());
  const state = new StateFolder(`${folder.path}/data`);
  state.write({ containerId: "pod1", ifname: "net1" }, '{"name":"cbr0","type":"bridge","link":1}');
  state.write({ containerId: "pod1", ifname: "eth0" }, '{"name":"cbr0","type":"bridge","link":0}');
  assertEquals((await folder.handBack()).kept, [
    "addresses of container pod1 but for one link: flannel's plugin keeps one state a container, and releases no more",
  ]);
  assertEquals(await folder.states(), ["pod1"]);
  assertEquals(folder.state("pod1"), { name: "cbr0", type: "bridge", link: 0 } as never);
});

Deno.test("what is another network's stays: a conflist for other subnets, or of another subnet file", async () => {
  await using folder = await Folder.create();
  const other = readSubnetEnv(
    "FLANNEL_NETWORK=10.9.0.0/16\nFLANNEL_SUBNET=10.9.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    "/s",
  );
  await folder.render(other);
  await Deno.rename(`${folder.path}/net.d/10-flannel.conflist`, `${folder.path}/net.d/15-other.conflist`);
  await folder.write("net.d/20-blue.conflist", folder.source("blue", "/run/blue/subnet.env"));
  await folder.write("net.d/30-mine.conflist", '{"name":"mine","plugins":[{"type":"ptp"}]}');
  await folder.write("net.d/40-broken.conf", "{");
  await folder.write("networks/cbr0/10.244.1.2", "pod1\r\neth0");
  new StateFolder(`${folder.path}/data`).write(
    { containerId: "p", ifname: "eth0" },
    '{"name":"blue","type":"x"}',
  );
  const { steps, kept } = await folder.handBack();
  assertEquals([steps, kept.map((one) => one.replace(folder.path, ""))], [[], [
    "conflist /net.d/15-other.conflist: Loden has made it for other subnets than this host's; it is another agent's, or " +
    "to be named with -cni-conf",
  ]]);
});

Deno.test("a folder of configurations that is not there holds none", async () => {
  await using folder = await Folder.create();
  await Deno.remove(`${folder.path}/net.d`);
  assertEquals(await folder.handBack(), { steps: [], kept: [] });
});

Deno.test("a conflist that the agent has made for a subnet of before is turned back too, and can't be without its source", async () => {
  const before = readSubnetEnv(
    "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.7.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    "/s",
  );
  await using folder = await Folder.create();
  await folder.render(before);
  assertThrows(() => folder.plan(), ConflistError, "no plugin in it gives addresses of this host's subnet");
  await folder.write("cni-conf.json", folder.source());
  assertEquals((await folder.handBack()).steps, [TURNED]);
});
