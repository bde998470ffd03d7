import { assertEquals, assertNotEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { median } from "../bench/machine.ts";
import { RunningPing } from "../double/overlay_ping.ts";
import { statusOf, until } from "../double/overlay_rig.ts";
import { HostState, rulesOf } from "./host_state.ts";
import type { Fault, FaultSite } from "./site.ts";

/** Times that a fault is made and timed, after the one that proves that it shows, by the number of families. */
const ROUNDS = [0, 3, 2] as const;
/** What no repair may take, on the slowest machine; less than the time between two sweeps of an agent. */
const DEADLINE_MS = 15_000;
/** An agent that has made no pass for this long has nothing left to do. */
const QUIET_MS = 60;

/** What came of one fault. */
export interface Outcome {
  /** The middle of all rounds. */
  readonly wholeAfterMs: number;
  /** Packets lost in a round on ways that the fault does not touch. */
  readonly lostElsewhere: number;
  /** Packets lost in a round from the host to the peer, in the families that are meant; the mean of all rounds. */
  readonly lostOnWay: number;
}

/** Makes a fault several times under traffic, in each family that has it, and checks that all becomes as before. */
export async function runFault(fault: Fault, site: Omit<FaultSite, "family">): Promise<Outcome> {
  const { lab, host, peer } = site;
  const families = fault.family !== undefined
    ? [fault.family]
    : fault.isOfHost === true
    ? host.families.slice(0, 1)
    : host.families;
  await untilQuiet(site);
  const states = lab.hosts.map((each) => each === host ? site.state : new HostState(each));
  const expected = states.map((state) => state.lines());
  const rules = await Promise.all(lab.hosts.map(rulesOf));
  const untilAllWhole = async () => {
    await untilWhole(fault, states, expected);
    if (fault.isOfRules) await untilRulesWhole(fault, host, rules[lab.hosts.indexOf(host)]!);
  };
  const times: number[] = [];
  let lostOnWay = 0;
  for (const family of families) {
    const other = host.families.filter((each) => each !== family);
    const third = lab.hosts.find((each) => each !== host && each !== peer)!;
    const sparedHere = fault.reach === "host" ? [] : fault.reach === "family" ? other : host.families;
    const ways = [
      ...host.families.map((each) => [peer, third, each] as const),
      ...sparedHere.map((each) => [host, third, each] as const),
    ];
    await using stack = new AsyncDisposableStack();
    const start = async (from: LabHost, to: LabHost, each: number) =>
      stack.use(await RunningPing.start(from, to, host.families.indexOf(each as typeof family)));
    const elsewhere = await Promise.all(ways.map((way) => start(...way)));
    const onWay = await start(host, peer, family);
    const round = { ...site, family };
    if (fault.shows ?? true) {
      await proveThatItShows(fault, round, [
        ...expected[lab.hosts.indexOf(host)]!,
        ...fault.isOfRules ? rules[lab.hosts.indexOf(host)]! : [],
      ]);
    }
    await untilAllWhole();
    for (let count = 0; count < ROUNDS[families.length]!; count++) {
      await Promise.all([...elsewhere, onWay].map((ping) => ping.untilMore(2)));
      let startMs = performance.now();
      await fault.make(round);
      if (fault.follows !== undefined) {
        const follower = lab.hosts.indexOf(fault.follows === "host" ? host : peer);
        await untilFollowed(states[follower]!, expected[follower]!);
      }
      if (fault.restore !== undefined) {
        startMs = performance.now();
        await fault.restore(round);
      }
      await untilAllWhole();
      times.push(performance.now() - startMs);
    }
    await Promise.all([...elsewhere, onWay].map((ping) => ping.untilMore(5)));
    for (const ping of elsewhere) assertEquals((await ping.stop()).lost, [], `${ping.name}: packets lost`);
    const { lost } = await onWay.stop();
    if (fault.reach === "nobody") assertEquals(lost, [], `${onWay.name}: packets lost`);
    lostOnWay += lost.length;
  }
  assertEquals(await Promise.all(lab.hosts.map(rulesOf)), rules);
  assertEquals(states.map((state) => state.lines()), expected);
  return { wholeAfterMs: median(times), lostElsewhere: 0, lostOnWay: lostOnWay / times.length };
}

/** Makes a fault while the agent is stopped, so that it is there to be seen, and lets the agent go on. */
async function proveThatItShows(fault: Fault, site: FaultSite, expected: readonly string[]): Promise<void> {
  const { agent } = site.host;
  agent!.signal("SIGSTOP");
  try {
    await fault.make(site);
    const holds = async () => [...site.state.lines(), ...fault.isOfRules ? await rulesOf(site.host) : []];
    assertNotEquals(await holds(), expected, "the fault left no trace");
  } finally {
    agent!.signal("SIGCONT");
  }
  await fault.restore?.(site);
}

/** Waits until a host holds something else than before, besides what the fault has changed itself. */
export async function untilFollowed(state: HostState, before: readonly string[]): Promise<void> {
  const own = new RegExp(`^link ${UPLINK} |^address .* dev ${UPLINK}$`);
  const ofAgent = (lines: readonly string[]) => lines.filter((line) => !own.test(line)).join();
  await until("see the fault followed", () => ofAgent(state.lines()) !== ofAgent(before) ? true : undefined);
}

/** Looks until all hosts hold what is expected, as often as it can: a timer would round the time up. */
async function untilWhole(
  { name }: Fault,
  states: readonly HostState[],
  expected: readonly (readonly string[])[],
): Promise<void> {
  const startMs = performance.now();
  const isWhole = (state: HostState, index: number) =>
    state.lines().join("\n") === expected[index]!.join("\n");
  while (!states.every(isWhole)) {
    if (performance.now() - startMs > DEADLINE_MS) {
      assertEquals(
        states.map((state) => state.lines()),
        expected,
        `${name}: not repaired in ${DEADLINE_MS} ms`,
      );
    }
    await nextTask();
  }
}

/** Looks until the rules of a host are as before. */
async function untilRulesWhole({ name }: Fault, host: LabHost, expected: readonly string[]): Promise<void> {
  const startMs = performance.now();
  for (;;) {
    const rules = await rulesOf(host);
    if (rules.join("\n") === expected.join("\n")) return;
    if (performance.now() - startMs > DEADLINE_MS) {
      assertEquals(rules, expected, `${name}: not repaired in ${DEADLINE_MS} ms`);
    }
  }
}

/** Waits until the agent has made no pass for a while: else a fault finds it at work on the one before. */
export async function untilQuiet({ libc, host }: Pick<FaultSite, "libc" | "host">): Promise<void> {
  let last: string | undefined;
  let sinceMs = 0;
  await until("see the agent at rest", async () => {
    const startedAt = (await statusOf(libc, host))?.pass.startedAt;
    if (startedAt === undefined || startedAt !== last) {
      last = startedAt;
      sinceMs = performance.now();
    }
    return performance.now() - sinceMs >= QUIET_MS ? true : undefined;
  });
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
