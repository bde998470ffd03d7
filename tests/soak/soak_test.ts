import { assertEquals, assertLess } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { errorText } from "../../src/log/error_text.ts";
import { AF_INET } from "../../src/model/address.ts";
import { median } from "../bench/machine.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";
import { untilReachable, withOverlay } from "../double/overlay_rig.ts";
import { FAULTS } from "../faults/faults.ts";
import { HostState, rulesOf } from "../faults/host_state.ts";
import { AGENT_FAULTS } from "../faults/host_faults.ts";
import { untilFollowed } from "../faults/run_fault.ts";
import { applies, BACKENDS, type Fault, type FaultSite, KINDS } from "../faults/site.ts";
import { AGENT_FLAGS, startHosts } from "../faults/start_hosts.ts";
import { Churn } from "./churn.ts";
import { countObjects, type ProcessHoldings, processHoldings } from "./holdings.ts";

const MINUTES = Number(Deno.env.get("LODEN_SOAK_MINUTES") ?? 10);
const MODE = "vxlan";
/** Faults that end an agent; the first host's lives through it all. */
const ENDING = AGENT_FAULTS;
const LOOK_EVERY_MS = 20;
/** What a fault says that finds nothing to delete any more. */
const ROW_IS_GONE = /^Cannot delete (?:rows|a row) of /;
const [, , DUAL_STACK] = KINDS;
/** What all hosts may take to be whole again, on the slowest machine. */
const DEADLINE_MS = 30_000;
/** The most that the middle of the last rounds may be above the middle of the early ones. */
const GROWTH_MIB = 10;
/** Lines of the story that a failure tells. */
const STORY_LINES = 20;

// deno-lint-ignore no-console
const print = console.log;

Deno.test(`after ${MINUTES} minutes of faults and churn all is as before, and nothing has grown`, async () => {
  const { families, network } = DUAL_STACK!;
  const networkConfig = { ...network, Backend: BACKENDS[MODE] };
  const random = seededRandom(SEED);
  print(`seed ${SEED}`);
  const story: string[] = [];
  await withOverlay({ families, networkConfig, withAgents: false }, async (lab, libc) => {
    await using _disks = await startHosts(lab, libc);
    const churn = new Churn(lab, random);
    const states = lab.hosts.map((host) => new HostState(host));
    const before = states.map((state) => state.lines());
    const rules = await Promise.all(lab.hosts.map(rulesOf));
    const objects = await Promise.all(lab.hosts.map(countObjects));
    const [veteran] = lab.hosts;
    const { pid } = veteran!.agent!;
    const samples: ProcessHoldings[] = [await processHoldings(pid)];

    const endMs = performance.now() + MINUTES * 60_000;
    let faults = 0;
    try {
      while (performance.now() < endMs) {
        await churn.step();
        const plans = planRound(random, lab.hosts);
        story.push(plans.map(describePlan).join("; "));
        const expected = before.map((lines) => [...lines.map(withoutWords), ...churn.lines()].sort());
        const stateOf = (host: LabHost) => states[lab.hosts.indexOf(host)]!;
        await Promise.all(plans.map((plan) => {
          const site = { lab, libc, agentFlags: AGENT_FLAGS, state: stateOf(plan.host), ...plan };
          return inflict(plan, site, stateOf);
        }));
        await untilWhole(states, expected, lab.hosts, rules);
        samples.push(await processHoldings(pid));
        faults += plans.length;
      }
      await churn.end();
      await untilWhole(states, before.map((lines) => lines.map(withoutWords).sort()), lab.hosts, rules);
      assertEquals(states.map((state) => state.lines()), before);
      await untilReachable(lab);
      assertEquals(await Promise.all(lab.hosts.map(countObjects)), objects);
      assertEquals(veteran!.agent!.pid, pid);
    } catch (error) {
      const told = story.slice(-STORY_LINES).map((line) => `  ${line}`);
      const tails = await Promise.all(lab.hosts.map((host) => host.logTail()));
      const lines = [`seed ${SEED}, after ${faults} faults; the last rounds:`, ...told, ...tails];
      throw new Error([...lines, errorText(error)].join("\n"));
    }
    print(`${faults} faults in ${samples.length - 1} rounds`);
    checkGrowth(samples);
  });
});

/** One fault of a round. */
interface Plan extends Pick<FaultSite, "host" | "peer" | "family"> {
  readonly fault: Fault;
  /** Whether the fault stays until it is followed, or goes at once. */
  readonly isLong: boolean;
}

/**
 * Chooses what happens to one, two or all hosts at the same time. The registry stays: to move SQLite's files while
 * another program has them open may lose the last leases, which are what is expected here.
 */
function planRound(random: () => number, hosts: readonly LabHost[]): Plan[] {
  const victims = [...hosts];
  while (victims.length > 1 && random() < 0.4) victims.splice(Math.floor(random() * victims.length), 1);
  return victims.map((host) => {
    const peer = pick(random, hosts.filter((other) => other !== host));
    const fault = pick(
      random,
      FAULTS.filter((fault) =>
        applies(fault, MODE, host.families) && !fault.isOfAll &&
        !(host === hosts[0] && ENDING.includes(fault))
      ),
    );
    return { fault, host, peer, family: fault.family ?? pick(random, host.families), isLong: random() < 0.5 };
  });
}

function describePlan({ fault, host, peer, family }: Plan): string {
  return `${host.name} (${peer.name}, ${family === AF_INET ? "IPv4" : "IPv6"}): ${fault.name}`;
}

/** Makes a fault and takes away what is not the agent's to mend. */
async function inflict(
  { fault, isLong }: Plan,
  site: FaultSite,
  stateOf: (host: LabHost) => HostState,
): Promise<void> {
  const follower = fault.follows && stateOf(fault.follows === "host" ? site.host : site.peer);
  const before = follower?.lines();
  try {
    await fault.make(site);
  } catch (error) {
    // The agent may have been faster: a member has gone, or the peer is elsewhere.
    if (!(error instanceof Error && ROW_IS_GONE.test(error.message))) throw error;
  }
  if (isLong && follower !== undefined) await untilFollowed(follower, before!);
  await fault.restore?.(site);
}

/** Waits until all hosts hold what is expected, and their rules are as before. */
async function untilWhole(
  states: readonly HostState[],
  expected: readonly (readonly string[])[],
  hosts: readonly LabHost[],
  rules: readonly (readonly string[])[],
): Promise<void> {
  const endsAtMs = performance.now() + DEADLINE_MS;
  const isSame = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  for (;;) {
    const found = states.map((state) => state.lines().map(withoutWords).sort());
    const foundRules = isSame(found, expected) ? await Promise.all(hosts.map(rulesOf)) : undefined;
    if (isSame(foundRules, rules)) return;
    if (performance.now() > endsAtMs) {
      const wrong = hosts.flatMap(({ name }, at) => differences(name, found[at]!, expected[at]!));
      assertEquals(wrong, [], `not whole after ${DEADLINE_MS} ms`);
      assertEquals(foundRules, rules, `not whole after ${DEADLINE_MS} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** The lines of a host that are too many, and those that are missing. */
function differences(name: string, found: readonly string[], expected: readonly string[]): string[] {
  return [
    ...found.filter((line) => !expected.includes(line)).map((line) => `${name} has ${line}`),
    ...expected.filter((line) => !found.includes(line)).map((line) => `${name} lacks ${line}`),
  ];
}

/** A line of `HostState` without the words of the row behind it. */
function withoutWords(line: string): string {
  return line.replace(/ \([0-9a-f ]+\)$/, "");
}

/** Compares the late rounds with early ones, when all code has been run. */
function checkGrowth(samples: readonly ProcessHoldings[]): void {
  const quarter = Math.floor(samples.length / 4);
  const early = samples.slice(quarter, 2 * quarter);
  const late = samples.slice(-quarter);
  const rss = (part: readonly ProcessHoldings[]) => median(part.map(({ rssMiB }) => rssMiB));
  const descriptors = (part: readonly ProcessHoldings[]) =>
    median(part.map(({ descriptors }) => descriptors));
  print(
    `RSS ${samples[0]!.rssMiB.toFixed(1)} MiB at first, ${rss(early).toFixed(1)} MiB early, ` +
      `${rss(late).toFixed(1)} MiB late; descriptors ${descriptors(early)} early, ${descriptors(late)} late`,
  );
  assertLess(rss(late) - rss(early), GROWTH_MIB);
  assertEquals(descriptors(late), descriptors(early));
}
