import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { median } from "../bench/machine.ts";
import { httpGet } from "../double/overlay_http.ts";
import { RunningPing } from "../double/overlay_ping.ts";
import { type RegistryName, withRegistry } from "../double/overlay_registries.ts";
import { hostsOf, statusOf } from "../double/overlay_rig.ts";
import { leaseOf, type Standing, standingOf, whoIsWhere, within } from "../double/overlay_standing.ts";
import { foreignLines } from "./foreign_lines.ts";
import { type Outcome, untilQuiet } from "./run_fault.ts";
import type { StandingFault, StandingSite, StandingStep } from "./standing_faults.ts";

/** Longer than it takes until a holder counts as silent. */
const DEADLINE_MS = 45_000;

/**
 * Makes a fault with three hosts that agree in a registry, under traffic, and checks that all becomes as before.
 *
 * @param rounds How often it is made and timed, where it can be made more than once.
 */
export async function runStanding(
  fault: StandingFault,
  registry: RegistryName,
  rounds: number,
): Promise<Outcome> {
  const outcomes: Outcome[] = [];
  await withRegistry(registry, fault.options ?? {}, async (overlay) => {
    await fault.prepare?.(overlay);
    const [host, peer] = hostsOf(overlay.lab);
    const site = { overlay, host, peer, before: await standingOf(overlay) };
    outcomes.push(await runRounds(fault, site, fault.isOnce ? 1 : rounds));
  });
  return outcomes[0]!;
}

async function runRounds(fault: StandingFault, site: StandingSite, rounds: number): Promise<Outcome> {
  const { overlay: { lab, libc }, host, peer } = site;
  const spared = lab.hosts.filter((_, at) => !fault.hits.includes(at));
  const ways = spared.flatMap((from) => spared.filter((to) => to !== from).map((to) => [from, to] as const));
  await using stack = new AsyncDisposableStack();
  const elsewhere: RunningPing[] = [];
  for (const [from, to] of ways) elsewhere.push(stack.use(await RunningPing.start(from, to)));
  const onWay = stack.use(await RunningPing.start(host, peer));
  const foreign = await foreignOf(lab.hosts);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const step of fault.steps) {
      await untilQuiet({ libc, host });
      await step.make(site);
      const startMs = performance.now();
      let wholeAfterMs = 0;
      await within(`see all whole after: ${fault.name}`, DEADLINE_MS, async () => {
        if (await whatIsWrong(step, site) !== undefined) return false;
        await onWay.untilMore(1);
        wholeAfterMs = performance.now() - startMs;
        // What looks whole may not have been noticed yet.
        await untilQuiet({ libc, host });
        return await whatIsWrong(step, site) === undefined;
      }, () => wrong.get(site) ?? "");
      times.push(wholeAfterMs);
    }
  }
  for (const ping of elsewhere) {
    await ping.untilMore(5);
    assertEquals((await ping.stop()).lost, [], `${ping.name}: packets lost`);
  }
  await onWay.untilMore(5);
  const { lost } = await onWay.stop();
  if (fault.hits.length === 0) assertEquals(lost, [], `${onWay.name}: packets lost`);
  await assertSubnetFiles(site);
  for (const [host, lines] of foreign) {
    const found = await foreignLines(host);
    assertEquals([...lines].filter((line) => !found.has(line)), [], `${host.name}: what others had is gone`);
  }
  return { wholeAfterMs: median(times), lostElsewhere: 0, lostOnWay: lost.length / rounds };
}

async function foreignOf(hosts: readonly LabHost[]): Promise<ReadonlyMap<LabHost, ReadonlySet<string>>> {
  return new Map(await Promise.all(hosts.map(async (host) => [host, await foreignLines(host)] as const)));
}

/** What was wrong at the last look, for the error. */
const wrong = new WeakMap<StandingSite, string>();

/** Looks at registry and hosts, and tells what is not as it must be after a step. */
async function whatIsWrong(step: StandingStep, site: StandingSite): Promise<string | undefined> {
  const reason = await lookAtLeases(step, site) ?? await lookAtHosts(step, site);
  if (reason !== undefined) wrong.set(site, reason);
  return reason;
}

async function lookAtLeases(
  { moved, newcomers = 0 }: StandingStep,
  site: StandingSite,
): Promise<string | undefined> {
  const { overlay, before } = site;
  const expected = [...moved?.(site) ?? []].reduce<Standing["leases"]>((leases, [host, address]) => {
    const own = leaseOf(before.leases, host);
    return leases.map((lease) => lease.key === own.key ? { ...lease, addresses: [address] } : lease);
  }, before.leases);
  const wanted = whoIsWhere(expected);
  const found = await overlay.leases();
  const lines = whoIsWhere(found);
  const macs = new Set(found.map(({ mac }) => mac));
  const isWhole = wanted.every((line) => lines.includes(line)) &&
    lines.length === wanted.length + newcomers && macs.size === found.length;
  return isWhole
    ? undefined
    : `the registry holds ${lines.join(", ")} with ${macs.size} MACs, not ${wanted.join(", ")}`;
}

async function lookAtHosts(
  { newcomers = 0 }: StandingStep,
  { overlay, before }: StandingSite,
): Promise<string | undefined> {
  for (const host of overlay.lab.hosts.slice(0, before.leases.length + newcomers)) {
    const answer = await httpGet(overlay.libc, host.netns, "/readyz");
    if (answer?.status !== 200) return `${host.name}: ${answer?.body ?? "nobody listens"}`;
    const faults = (await statusOf(overlay.libc, host))?.pass.faults;
    if (faults?.length !== 0) return `${host.name} leaves out ${JSON.stringify(faults)}`;
  }
}

/** Checks that no host has told its plugins anything else. */
async function assertSubnetFiles({ overlay, before }: StandingSite): Promise<void> {
  for (const host of overlay.lab.hosts) {
    const expected = before.subnetFiles.get(host.name);
    if (expected !== undefined) {
      assertEquals(await Deno.readTextFile(host.subnetFilePath), expected, host.name);
    }
  }
}
