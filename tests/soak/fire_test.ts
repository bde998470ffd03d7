import { assertEquals, assertLess } from "@std/assert";
import { errorText } from "../../src/log/error_text.ts";
import { HostState, rulesOf } from "../faults/host_state.ts";
import { mountSmallDisk } from "../faults/disk.ts";
import { MemoryGroup } from "../double/memory_group.ts";
import { until, untilReady } from "../double/overlay_rig.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { PipedAgent } from "../double/piped_agent.ts";
import { faultGroups, type FireFault, type FireSite, planFaults, type Undo } from "./fire_faults.ts";
import { type FireRegistry, type FireWorld, subnetOf, VETERANS, withFire } from "./fire_world.ts";
import { processHoldings } from "./holdings.ts";

const MINUTES = Number(Deno.env.get("LODEN_SOAK_MINUTES") ?? 10);
const REGISTRIES = ["etcd", "Kubernetes"] as const;
/** How long faults last. */
const HELD_MS = { least: 200, most: 4000 } as const;
/** What a repair may take while the registry, the log and the files burn, on the slowest machine. */
const REPAIR_DEADLINE_MS = 20_000;
/** What the agent may take to be as a fresh one after the fire: the longest pauses and a resync. */
const END_DEADLINE_MS = 120_000;
const STORY_LINES = 20;
const MANIFEST = new URL("../../manifests/kube-flannel.yml", import.meta.url);

// deno-lint-ignore no-console
const print = console.log;

for (const name of REGISTRIES) {
  Deno.test(`after ${MINUTES / REGISTRIES.length} minutes in a fire an agent of ${name} is as a fresh one`, async () => {
    const random = seededRandom(SEED);
    print(`seed ${SEED}`);
    await withFire(name, random, async (world) => await burn(world, name));
  });
}

async function burn(world: FireWorld, name: FireRegistry["name"]): Promise<void> {
  const [host] = world.lab.hosts;
  await using _disk = await mountSmallDisk(host!.directory);
  // The folder on the small disk is empty.
  await Deno.writeTextFile(host!.machineIdPath, `${"1".repeat(32)}\n`);
  // More than that, and the kernel ends it.
  const limit = await limitMiB();
  await using group = await MemoryGroup.open(limit * 2 ** 20) ?? null;
  const place = group === null ? {} : { cgroupProcs: group.procs };
  await using agent = new PipedAgent(host!, { flags: world.flags, ...place });
  const site: FireSite = { ...world, agent };
  const story: string[] = [];
  let rounds = 0;
  try {
    await untilVeterans(site);
    await untilReady(world.libc, host!);
    const state = new HostState(host!);
    const before = ownLines(state);
    const rules = await rulesOf(host!);
    const groups = faultGroups(world);
    const endMs = performance.now() + MINUTES / REGISTRIES.length * 60_000;
    for (; performance.now() < endMs; rounds++) await burnOnce(site, groups, story);
    await assertAsFresh(site, state, before);
    assertEquals(await rulesOf(host!), rules);
    await untilReady(world.libc, host!);
    assertAlive(site);
    const { rssMiB, descriptors } = await processHoldings(agent.pid);
    const peak = (await group?.peakMiB())?.toFixed(0) ?? "an unknown number of";
    print(
      `${name}: ${rounds} rounds; RSS ${
        rssMiB.toFixed(1)
      } MiB, ${descriptors} descriptors; at most ${peak} MiB with the kernel's`,
    );
    assertLess(rssMiB, limit);
  } catch (error) {
    const told = story.slice(-STORY_LINES).map((line) => `  ${line}`);
    const lines = [`seed ${SEED}, after ${rounds} rounds; the last:`, ...told, "its log ends:", agent.tail];
    throw new Error([...lines, errorText(error)].join("\n"));
  }
}

/** Makes some faults at a time, changes the registry meanwhile, has the agent repair something, and takes them away. */
async function burnOnce(
  site: FireSite,
  groups: readonly (readonly FireFault[])[],
  story: string[],
): Promise<void> {
  const { random } = site;
  const faults = planFaults(groups, random);
  const heldMs = HELD_MS.least + random() * (HELD_MS.most - HELD_MS.least);
  story.push(`${faults.map((fault) => fault.name).join("; ")}, for ${heldMs.toFixed(0)} ms`);
  const undos: Undo[] = [];
  try {
    for (const fault of faults) undos.push(await fault.make(site));
    await site.churn();
    await new Promise((resolve) => setTimeout(resolve, heldMs));
    assertAlive(site);
    if (!faults.some(({ stopsRepair }) => stopsRepair)) await repair(site);
  } finally {
    for (const undo of undos.reverse()) await undo();
  }
  assertAlive(site);
  // What is known is kept, whatever the registry says.
  await untilVeterans(site);
}

/** Deletes a route of a member that is always there, and waits until it is back. */
async function repair(site: FireSite): Promise<void> {
  const [host] = site.lab.hosts;
  const subnet = subnetOf(Math.floor(site.random() * VETERANS));
  await host!.exec("ip", "route", "delete", subnet);
  await untilVeterans(site);
}

async function untilVeterans(site: FireSite): Promise<void> {
  const [host] = site.lab.hosts;
  const veterans = Array.from({ length: VETERANS }, (_, number) => subnetOf(number));
  const endsMs = performance.now() + REPAIR_DEADLINE_MS;
  for (;;) {
    const { stdout } = await host!.exec("ip", "route", "show");
    const missing = veterans.filter((subnet) => !stdout.includes(`${subnet} `));
    if (missing.length === 0) return;
    assertAlive(site);
    if (performance.now() > endsMs) throw new Error(`routes are missing: ${missing.join(", ")}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function assertAlive({ agent }: FireSite): void {
  if (agent.end !== undefined) throw new Error(`the agent has ended: ${JSON.stringify(agent.end)}`);
}

/** Compares the host with one that has just begun, with the same leases, until they are the same. */
async function assertAsFresh(site: FireSite, state: HostState, before: readonly string[]): Promise<void> {
  const { lab, registry } = site;
  const fresh = await lab.addHost();
  await registry.prepare(fresh);
  await using other = new PipedAgent(fresh, { flags: site.flags });
  await until("see the fresh agent ready", async () => {
    if (other.end !== undefined) throw new Error(`the fresh agent has ended:\n${other.tail}`);
    await untilReady(site.libc, fresh);
    return true;
  });
  const freshState = new HostState(fresh);
  const own = [await subnetFileOf(lab.hosts[0]!.subnetFilePath), await subnetFileOf(fresh.subnetFilePath)];
  const macs = [state, freshState].flatMap((state) =>
    /lladdr (\S+)/.exec(state.lines().find((line) => /vxlan/.test(line)) ?? "")?.[1] ?? []
  );
  const theirs = [...own, ...macs];
  const shared = (of: HostState) =>
    of.lines().filter((line) =>
      /^(?:neighbour|FDB entry|route) /.test(line) && !theirs.some((word) => line.includes(word))
    );
  const endsMs = performance.now() + END_DEADLINE_MS;
  for (;;) {
    const [found, wanted] = [shared(state), shared(freshState)];
    const isSame = JSON.stringify([found, ownLines(state)]) === JSON.stringify([wanted, before]);
    if (isSame && wanted.length >= VETERANS * 3) return;
    assertAlive(site);
    if (performance.now() > endsMs) {
      assertEquals(found, wanted, "members");
      assertEquals(ownLines(state), before, "its own");
      throw new Error(`the fresh agent holds too little: ${wanted.join("\n")}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function subnetFileOf(path: string): Promise<string> {
  const text = await Deno.readTextFile(path);
  return /FLANNEL_SUBNET=(\S+\.)1\/24/.exec(text)![1]!;
}

/** What a host holds that is of no other: links, addresses, the subnet file. */
function ownLines(state: HostState): string[] {
  return state.lines().filter((line) => !/^(?:neighbour|FDB entry|route) /.test(line));
}

/** The memory that the manifest gives an agent. */
async function limitMiB(): Promise<number> {
  const text = await Deno.readTextFile(MANIFEST);
  return Number(/limits:\n\s+memory: (\d+)Mi/.exec(text)![1]);
}
