import { assertEquals, assertStringIncludes } from "@std/assert";
import { flanneldLeaves, kernelLines } from "../double/flanneld_leaves.ts";
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
