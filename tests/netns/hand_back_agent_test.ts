import { assertEquals, assertStringIncludes } from "@std/assert";
import { AgentProcess } from "../../src/lab/agent_process.ts";
import { flanneldLeaves, kernelLines } from "../double/flanneld_leaves.ts";
import { until } from "../double/overlay_rig.ts";
import { HandBackWorld, VXLAN } from "./hand_back_world.ts";

const PORT = 8081;
const AGENT_RUNS =
  "Cannot hand back this host: an agent runs here (it answers at 127.0.0.1:8081); end it first";
/** What flanneld answers, and what a program that has a page for all answers. */
const FLANNELD = [
  `({ url }) => url.endsWith("/healthz") ? new Response("flanneld is running") : new Response("", { status: 404 })`,
  `() => new Response('{"at":"home"}')`,
];

for (const answer of FLANNELD) {
  Deno.test(`a host where another program than an agent has the port of its health is handed back: ${answer}`, async () => {
    await using world = await HandBackWorld.create(VXLAN);
    await world.startAgent(`-healthz-port=${PORT}`, "-healthz-ip=127.0.0.1");
    await world.stopAgent();
    const server = new Deno.Command("ip", {
      args: [
        ...["netns", "exec", world.netns.name, Deno.execPath(), "eval"],
        `Deno.serve({ port: ${PORT}, onListen: () => console.log("up") }, ${answer})`,
      ],
      stdout: "piped",
    }).spawn();
    const reader = server.stdout.getReader();
    try {
      await reader.read();
      const { code, stdout, stderr } = await world.handBack();
      assertEquals([code, stderr], [0, ""], stdout);
      assertEquals(await kernelLines(world.run), await flanneldLeaves("kernel-vxlan-ipv4"));
    } finally {
      server.kill("SIGKILL");
      await server.status;
      await reader.cancel();
    }
  });
}

Deno.test("hand-back does nothing beside an agent that shows at the port of its health alone, and says so in JSON too", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent(`-healthz-port=${PORT}`);
  const before = await kernelLines(world.run);
  await Deno.mkdir(world.path("other"));
  const flags = [`-subnet-file=${world.path("other/subnet.env")}`, `-healthz-port=${PORT}`];
  const plain = await world.handBack(...flags);
  assertEquals([plain.code, plain.stdout], [1, ""]);
  assertStringIncludes(plain.stderr, AGENT_RUNS);
  const { code, stdout, stderr } = await world.handBack("--json", ...flags);
  assertEquals([code, stderr], [1, ""]);
  assertEquals(JSON.parse(stdout), {
    dryRun: false,
    done: [],
    failed: [{
      verb: "hand back",
      object: "this host",
      reason: "an agent runs here (it answers at 127.0.0.1:8081); end it first",
    }],
    kept: [],
  });
  assertEquals(await kernelLines(world.run), before);
});

Deno.test("hand-back plans nothing for who may not see all", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  const words = ["setpriv", "--bounding-set=-net_admin", ...world.command("--dry-run")];
  const { code, stdout, stderr } = await world.netns.run(words[0]!, ...words.slice(1));
  assertEquals([code, stdout], [1, ""]);
  assertStringIncludes(stderr, "run as root, or give the process CAP_NET_ADMIN");
});

Deno.test("hand-back leaves what keeps network managers away to another network's agent, which takes it with it", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await using stack = new AsyncDisposableStack();
  await world.startAgent();
  await Deno.mkdir(world.path("other"));
  const other = (name: string) => world.path(`other/${name}`);
  const backend = { Type: "vxlan", VNI: 9, Port: 8473 };
  await Deno.writeTextFile(
    other("net-conf.json"),
    JSON.stringify({ Network: "10.99.0.0/16", Backend: backend }),
  );
  const agent = AgentProcess.start({
    netns: world.netns.name,
    logPath: other("agent.log"),
    environment: {},
    command: [
      world.binary,
      "agent",
      `-local-registry=${other("registry.db")}`,
      `-net-config-path=${other("net-conf.json")}`,
      `-subnet-file=${other("subnet.env")}`,
      "-machine-id-file=",
      "-iface=eth0",
      "-path-probe-port=8476",
      "-unmanaged-files=false",
    ],
  });
  stack.defer(async () => void await agent.stop());
  const isThere = async () => (await world.run("ip", "link", "show", "type", "vxlan")).includes("flannel.9");
  await until("see the other network's agent", async () => await isThere() || undefined, () => {
    return Deno.readTextFileSync(other("agent.log")).slice(-2000);
  });
  await world.stopAgent();
  const first = await world.handBack();
  assertEquals([first.code, first.stderr], [0, ""], first.stdout);
  const line =
    "left alone: network manager's file /etc/NetworkManager/conf.d/zz-loden.conf: the agent of network " +
    "10.99.0.0/16 on this host needs it";
  assertStringIncludes(first.stdout, line);
  const file = "etc/NetworkManager/conf.d/zz-loden.conf";
  assertEquals((await world.files()).includes(file), true);
  await agent.stop();
  const second = await world.handBack(`-subnet-file=${other("subnet.env")}`);
  assertEquals([second.code, second.stderr], [0, ""], second.stdout);
  assertEquals((await world.files()).includes(file), false);
});

Deno.test("hand-back turns no conflist to a plugin that is not there, and says so before", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  await world.stopAgent();
  await Deno.remove(world.path("bin/flannel"));
  const rendered = await Deno.readTextFile(world.conflistPath);
  const line =
    `Cannot turn conflist ${world.conflistPath} into one that calls the plugin flannel: there is no plugin ` +
    `flannel in ${world.path("bin")}`;
  for (const words of [["--dry-run"], []]) {
    const { code, stdout } = await world.handBack(...words);
    assertEquals(code, 1, stdout);
    assertStringIncludes(stdout, line);
    assertEquals(await Deno.readTextFile(world.conflistPath), rendered);
  }
  await Deno.writeTextFile(world.path("bin/flannel"), "", { mode: 0o755 });
  const mended = await world.handBack();
  assertEquals(mended.code, 0, mended.stdout);
  assertEquals(await Deno.readTextFile(world.conflistPath), world.source);
});
