import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { holdAgentLock } from "../../src/pods/agent_lock.ts";
import { StateFolder } from "../../src/pods/state.ts";
import { flanneldLeaves, kernelLines, ruleLines } from "../double/flanneld_leaves.ts";
import { HandBackWorld, VXLAN, type WorldOptions } from "./hand_back_world.ts";

const DIRECT: WorldOptions = { ...VXLAN, backend: { Type: "vxlan", DirectRouting: true } };
const HOST_GW: WorldOptions = { ...VXLAN, backend: { Type: "host-gw" }, leaseType: "host-gw" };

/** What flanneld's subnet file says; pods of both families get no more than the smaller VTEP takes, as Loden has it. */
const SUBNET_FILE = ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24"];
const SUBNET_FILE_6 = ["FLANNEL_IPV6_NETWORK=fd00:10:244::/56", "FLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64"];
/** What is left of a host's files: flannel's, and none of Loden's. */
const LEFT = ["net.d/10-flannel.conflist", "run/subnet.env"];

interface Case {
  readonly name: string;
  readonly kernel: string;
  readonly options: WorldOptions;
  readonly mtuBytes: number;
}

const cases: readonly Case[] = [
  { name: "vxlan", kernel: "kernel-vxlan-ipv4", options: VXLAN, mtuBytes: 1450 },
  {
    name: "vxlan, both families",
    kernel: "kernel-vxlan",
    options: { ...VXLAN, isDual: true },
    mtuBytes: 1430,
  },
  {
    name: "vxlan, both families, nftables",
    kernel: "kernel-vxlan",
    options: { ...VXLAN, isDual: true, usesNftables: true },
    mtuBytes: 1430,
  },
  { name: "DirectRouting", kernel: "kernel-direct-ipv4", options: DIRECT, mtuBytes: 1450 },
  {
    name: "DirectRouting, both families",
    kernel: "kernel-direct",
    options: { ...DIRECT, isDual: true },
    mtuBytes: 1430,
  },
  { name: "host-gw", kernel: "kernel-host-gw-ipv4", options: HOST_GW, mtuBytes: 1500 },
  {
    name: "host-gw, both families",
    kernel: "kernel-host-gw",
    options: { ...HOST_GW, isDual: true },
    mtuBytes: 1500,
  },
];

/** Waits for what the kernel has of a host to be what flanneld would have. */
async function assertFlanneldsState(
  world: HandBackWorld,
  { kernel, options, mtuBytes }: Case,
): Promise<void> {
  const { isDual, usesNftables = false } = options;
  const mode = usesNftables ? "nftables" : "iptables";
  assertEquals(await kernelLines(world.run), await flanneldLeaves(kernel));
  assertEquals(await ruleLines(world.run, mode), await flanneldLeaves(`${mode}-${isDual ? "dual" : "ipv4"}`));
  const file = await Deno.readTextFile(world.subnetFilePath);
  const lines = [
    ...SUBNET_FILE,
    ...isDual ? SUBNET_FILE_6 : [],
    `FLANNEL_MTU=${mtuBytes}`,
    "FLANNEL_IPMASQ=true",
    "",
  ];
  assertEquals(file.split("\n"), lines);
  assertEquals(await Deno.readTextFile(world.conflistPath), world.source);
  assertEquals(await world.files(), LEFT);
  assertEquals(await world.run("ip", "nexthop", "show"), "");
}

for (const one of cases) {
  Deno.test(`hand-back leaves what flanneld itself would have: ${one.name}`, async () => {
    await using world = await HandBackWorld.create(one.options);
    await world.startAgent("-ip-blackhole-route");
    await world.stopAgent();
    const before = await world.netns.ipJson("link", "show", "type", "vxlan");
    const dry = await world.handBack("--dry-run");
    assertEquals([dry.code, dry.stderr], [0, ""], dry.stdout);
    const real = await world.handBack();
    assertEquals([real.code, real.stderr], [0, ""], real.stdout);
    assertEquals(
      real.stdout.replaceAll(/^(turned|wrote|deleted|removed) /gm, ""),
      dry.stdout.replaceAll(/^would \w+ /gm, ""),
      "what was said before is what was done",
    );
    await assertFlanneldsState(world, one);
    const after = await world.netns.ipJson("link", "show", "type", "vxlan");
    const sameAsBefore = ({ ifindex, address }: Record<string, unknown>) => [ifindex, address];
    assertEquals(after.map(sameAsBefore), before.map(sameAsBefore), "no link was made anew");
    // As flanneld deletes a route, and makes one.
    const [route] = (await kernelLines(world.run)).filter((line) => line.startsWith("route 10.244.2.0/24"));
    const words = route!.split(" ").slice(1);
    await world.run("ip", "route", "del", ...words);
    assertEquals(await world.run("ip", "route", "show", "10.244.2.0/24"), "");
    await world.run("ip", "route", "replace", ...words);
    const again = await world.handBack("--json");
    assertEquals(JSON.parse(again.stdout), { dryRun: false, done: [], failed: [], kept: [] });
    await assertFlanneldsState(world, one);
  });
}

Deno.test("hand-back does nothing beside an agent, and nothing on a host where there never was one", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  const never = await world.handBack();
  assertEquals([never.code, never.stdout], [0, "nothing of ours is here\n"]);
  assertEquals(await world.files(), []);

  await world.startAgent();
  const before = await kernelLines(world.run);
  const beside = await world.handBack();
  assertEquals([beside.code, beside.stdout], [1, ""]);
  assertStringIncludes(
    beside.stderr,
    "Cannot hand back this host: an agent runs here (it answers at its socket); end it first",
  );
  assertEquals(await kernelLines(world.run), before);

  await world.stopAgent();
  const lock = holdAgentLock(world.subnetFilePath)!;
  const locked = await world.handBack();
  lock[Symbol.dispose]();
  assertEquals(locked.code, 1);
  assertStringIncludes(locked.stderr, "an agent runs here (it holds its lock)");
  assertEquals(await kernelLines(world.run), before);
});

Deno.test("hand-back does nothing beside an agent of the same network that has another subnet file", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  const before = await kernelLines(world.run);
  await Deno.mkdir(world.path("other"));
  await Deno.copyFile(world.subnetFilePath, world.path("other/subnet.env"));
  const { code, stderr } = await world.handBack(`-subnet-file=${world.path("other/subnet.env")}`);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "another agent of network 10.244.0.0/16 runs on this host");
  assertEquals(await kernelLines(world.run), before);
});

Deno.test("an agent that is started again after a hand-back takes all back, and can be handed back once more", async () => {
  const [one] = cases;
  await using world = await HandBackWorld.create(one!.options);
  for (let round = 0; round < 2; round++) {
    await world.startAgent();
    await world.stopAgent();
    const { code, stdout } = await world.handBack();
    assertEquals(code, 0, stdout);
    await assertFlanneldsState(world, one!);
  }
});

Deno.test("a hand-back beside flanneld looks after pods that Loden's plugin has attached meanwhile, and touches no rules", async () => {
  const one = cases.find(({ options }) => options.usesNftables)!;
  await using world = await HandBackWorld.create(one.options);
  await world.startAgent();
  await world.stopAgent();
  const { stdout: first } = await world.handBack();
  assertEquals(
    first.trim().split("\n").filter((line) => !line.startsWith("left alone")).at(-1),
    `removed agent's flags ${world.path("run/flags.json")}`,
    "what tells the next run how to go on goes last",
  );
  const state = new StateFolder(world.path("data"));
  state.write({ containerId: "late", ifname: "eth0" }, '{"name":"cbr0","type":"bridge"}');
  const { code, stdout } = await world.handBack(`-cni-conf=${world.conflistPath}`);
  assertEquals([code, stdout], [
    0,
    `wrote state of a pod in ${world.path("data")}, as flannel's plugin keeps it\n`,
  ]);
  await Deno.remove(world.path("data/late"));
  await assertFlanneldsState(world, one);
});

Deno.test("on a host of legacy iptables the rules of flanneld are written there, by its own program", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.run("iptables-legacy", "-P", "FORWARD", "DROP");
  await world.startAgent();
  await world.stopAgent();
  const { code, stdout } = await world.handBack();
  assertEquals(code, 0, stdout);
  const rules = (await world.run("iptables-legacy-save")).match(/^-A .*$/gm)!.sort();
  assertEquals(
    rules,
    (await flanneldLeaves("iptables-ipv4")).filter((line) => line.startsWith("-A ")).sort(),
  );
  assertEquals(await world.run("nft", "list", "tables"), "");
  assertEquals((await world.handBack()).stdout, "nothing of ours is here\n");
});

Deno.test("hand-back does nothing where it is not known what flanneld would have", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  await world.stopAgent();
  const before = [await kernelLines(world.run), await ruleLines(world.run, "nftables")];
  const file = await Deno.readTextFile(world.subnetFilePath);
  const filesBefore = (await world.files()).filter((name) => name.startsWith("run/"));
  const without = (key: string) => file.replace(new RegExp(`^${key}=.*\\n`, "m"), "");
  const cases: readonly (readonly [text: string | undefined, why: string])[] = [
    [undefined, `there is no ${world.subnetFilePath}, which says what it has; start the agent once more`],
    [file.replace("BACKEND=vxlan", "BACKEND=aws-vpc"), "flannel has no backend aws-vpc since 0.20"],
    ["FLANNEL_SUBNET=nonsense\n", "FLANNEL_SUBNET: invalid CIDR address"],
    ["", "is missing FLANNEL_NETWORK"],
    ["junk\n", "is missing FLANNEL_NETWORK"],
    [`${file}${"#".repeat(100_000)}`, "is missing FLANNEL_NETWORK"],
    ["FLANNEL_SUBNET=10.244.1.1/24\n", "is missing FLANNEL_NETWORK"],
    ["FLANNEL_NETWORK=10.244.0.0/16\n", "is missing FLANNEL_SUBNET"],
    [without("FLANNEL_MTU"), "is missing FLANNEL_MTU"],
    [without("FLANNEL_IPMASQ"), "is missing FLANNEL_IPMASQ"],
    [file.replace("10.244.1.1/24", "10.9.1.1/24"), "subnet 10.9.1.0/24 is in none of its networks"],
    [`FLANNEL_IPV6_NETWORK=fd00::/48\n${file}`, "network fd00::/48 has no subnet"],
    [file.replaceAll("10.244.", "10.9."), "the last agent had no network 10.9.0.0/16"],
  ];
  for (const [text, why] of cases) {
    await Deno.remove(world.subnetFilePath).catch(() => {});
    if (text !== undefined) await Deno.writeTextFile(world.subnetFilePath, text);
    const { code, stderr } = await world.handBack();
    assertEquals(code, 1, why);
    assertStringIncludes(stderr, why);
    assertEquals([await kernelLines(world.run), await ruleLines(world.run, "nftables")], before);
  }
  await Deno.remove(world.subnetFilePath);
  await Deno.writeTextFile(world.path("elsewhere.env"), file);
  await Deno.symlink(world.path("elsewhere.env"), world.subnetFilePath);
  const { code, stderr } = await world.handBack();
  assertEquals(code, 1);
  assertStringIncludes(stderr, `${world.subnetFilePath} is no file`);
  assertEquals([await kernelLines(world.run), await ruleLines(world.run, "nftables")], before);
  assertEquals((await world.files()).filter((name) => name.startsWith("run/")), filesBefore);
});

Deno.test("hand-back --stay waits for its end when all is done, and does not where something is left", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  const start = () =>
    new Deno.Command("ip", {
      args: ["netns", "exec", world.netns.name, ...world.command("--dry-run", "--stay")],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
  const waiting = start();
  const { value } = await waiting.stdout.pipeThrough(new TextDecoderStream()).values({ preventCancel: true })
    .next();
  assertEquals(value, "nothing of ours is here\n");
  waiting.kill("SIGTERM");
  assertEquals((await waiting.status).code, 0);

  // What says that Loden was here, without what it had.
  await Deno.writeTextFile(world.path("run/agent.json"), "{}");
  const ended = start();
  assertEquals((await ended.status).code, 1);
  await ended.stdout.cancel();
});

Deno.test("hand-back leaves what a flanneld has that never met Loden", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await Deno.writeTextFile(
    world.subnetFilePath,
    [...SUBNET_FILE, "FLANNEL_MTU=1450", "FLANNEL_IPMASQ=true", ""].join("\n"),
  );
  await Deno.writeTextFile(world.conflistPath, world.source);
  await Deno.mkdir(world.path("networks/cbr0"));
  await Deno.writeTextFile(world.path("networks/cbr0/10.244.1.2"), "leaked\r\neth0");
  await world.run("ip", "route", "add", "10.244.2.0/24", "via", "192.0.2.2");
  const before = [await kernelLines(world.run), await ruleLines(world.run, "nftables")];
  const { code, stdout } = await world.handBack();
  assertEquals([code, stdout], [0, "nothing of ours is here\n"]);
  assertEquals([await kernelLines(world.run), await ruleLines(world.run, "nftables")], before);
  assertEquals(await world.files(), LEFT);
});

Deno.test("a hand-back that is killed at any moment and run again ends where one ends that is not", async () => {
  const [one] = cases;
  // It takes some 200 ms.
  for (const afterMs of [60, 120, 150, 165, 180, 195, 210, 240]) {
    await using world = await HandBackWorld.create(one!.options);
    await world.startAgent();
    await world.stopAgent();
    const child = new Deno.Command("ip", {
      args: [
        "netns",
        "exec",
        world.netns.name,
        "timeout",
        "-s",
        "KILL",
        `${afterMs / 1000}`,
        "sh",
        "-ec",
        'mount --bind "$1" /etc; shift; unset DENO_TLS_CA_STORE; exec "$@"',
        "sh",
        world.path("etc"),
        ...world.command(),
      ],
      stdout: "null",
      stderr: "null",
    });
    await child.output();
    const { code, stdout } = await world.handBack();
    assertEquals(code, 0, stdout);
    await assertFlanneldsState(world, one!);
  }
});

Deno.test("a hand-back that can't do one thing does the others, and what tells of Loden stays until it can", async () => {
  await using world = await HandBackWorld.create(VXLAN);
  await world.startAgent();
  await world.stopAgent();
  const files = await world.files();
  await Deno.remove(world.path("data"), { recursive: true });
  await Deno.writeTextFile(world.path("data"), "no folder");
  await Deno.mkdir(world.path("networks/cbr0"));
  await Deno.writeTextFile(world.path("networks/cbr0/10.244.1.2"), "pod\r\neth0");
  const first = await world.handBack();
  assertEquals(first.code, 1, first.stdout);
  assertStringIncludes(first.stdout, "Cannot write state of a pod");
  assertStringIncludes(first.stdout, "plugin flannel: the state of pods must be there first");
  assertStringIncludes(first.stdout, "Not handed back: mend what stands above and run this again");
  assert(files.every((name) => !name.startsWith("run/") || Deno.statSync(world.path(name)) !== undefined));
  assertEquals(await ruleLines(world.run, "iptables"), await flanneldLeaves("iptables-ipv4"));

  await Deno.remove(world.path("data"));
  await Deno.mkdir(world.path("data"));
  const second = await world.handBack();
  assertEquals(second.code, 0, second.stdout);
  assertEquals(await world.files(), ["data/pod", ...LEFT]);
});
