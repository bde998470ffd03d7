import { type Family, FAMILY_NAMES, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import { Libc } from "../linux/libc.ts";
import { describeEnd } from "./agent_process.ts";
import { isInstalled } from "./command.ts";
import { type LabFlags, labHelp, parseLabFlags } from "./flags.ts";
import type { LabHost } from "./host.ts";
import { Lab } from "./lab.ts";
import {
  measureLatency,
  measureThroughput,
  type PairResult,
  pairRounds,
  targetOf,
  waitForAnswer,
} from "./measure.ts";
import { temporaryFolder } from "./names.ts";
import { missingPrecondition, observeMachine } from "./preconditions.ts";
import { type Output, Progress } from "./progress.ts";
import { possessionsOf, sweepLabs } from "./sweep.ts";
import { formatBitRate, formatLatency, formatTable } from "./table.ts";
import { aborted } from "../loop/pause.ts";

/** What the overlay may take to form once all pods are there, where the caller does not say. */
const FORM_DEADLINE_MS = 15_000;
/** Hosts whose logs are shown when something is wrong. */
const MAX_LOGS = 3;

/** What the lab needs of the process that it runs in. */
export interface LabDeps extends Output {
  /** What starts an agent; its flags follow. */
  readonly agentCommand: readonly string[];
  /** How long pods are given to reach each other. */
  readonly formDeadlineMs?: number;
}

/** What was measured in the overlay. */
interface Measured {
  /** From the start of the first agent to the first answer of each pair that had one, in order. */
  readonly answersMs: readonly number[];
  readonly results: readonly PairResult[];
  /** One line. */
  readonly throughput: string;
}

/**
 * Runs `loden lab`: makes hosts, measures the overlay between their pods, and takes all away again, also when
 * `signal` aborts. Returns the exit code.
 *
 * @throws {UsageError} If a flag is unknown or has a bad value.
 * @throws {Error} If the machine lacks something, before anything is made.
 */
export async function runLab(
  argv: readonly string[],
  deps: LabDeps,
  { signal }: { signal: AbortSignal },
): Promise<number> {
  const flags = parseLabFlags(argv);
  if (flags === undefined) {
    deps.write(labHelp());
    return 0;
  }
  for (const warning of flags.warnings) deps.write(`warning: ${warning}`);
  using libc = new Libc();
  const searchPath = Deno.env.get("PATH") ?? "";
  const missing = missingPrecondition(await observeMachine(libc, searchPath));
  if (missing !== undefined) throw new Error(missing);

  const progress = new Progress(deps);
  const swept = await sweepLabs(libc, temporaryFolder());
  if (swept.length > 0) progress.line(`removed what an earlier lab left: ${swept.join(", ")}`);
  let isGood = false;
  try {
    await using lab = await Lab.open({
      ...flags,
      libc,
      agentCommand: deps.agentCommand,
      signal,
      progress: (step) => progress.step(step),
    });
    const { formDeadlineMs = FORM_DEADLINE_MS } = deps;
    const measured = await measure(lab, flags.families, progress, { formDeadlineMs, searchPath, signal });
    for (const line of report(lab, flags, measured)) progress.line(line);
    const faults = await faultsOf(lab, measured);
    for (const line of faults) progress.line(line);
    isGood = faults.length === 0;
    if (flags.isKept) {
      for (const line of directions(lab)) progress.line(line);
      await aborted(signal);
    }
    progress.step("taking the lab away");
  } catch (error) {
    isGood = false;
    progress.line(signal.aborted ? "interrupted" : (error as Error).message);
  }
  const left = await possessionsOf(Deno.pid, temporaryFolder());
  progress.line(left.length === 0 ? "nothing left behind" : `left behind: ${left.join(", ")}`);
  return isGood && left.length === 0 ? 0 : 1;
}

async function measure(
  lab: Lab,
  families: readonly Family[],
  progress: Progress,
  options: { formDeadlineMs: number; searchPath: string; signal: AbortSignal },
): Promise<Measured> {
  const { formDeadlineMs, searchPath, signal } = options;
  const rounds = pairRounds(lab.hosts, families);
  const startedAtMs = Math.min(...lab.hosts.map((host) => host.agent!.startedAtMs));
  const sinceStartMs = () => performance.now() - startedAtMs;

  progress.step("waiting for the pods to reach each other");
  const endsAtMs = performance.now() + formDeadlineMs;
  const answersMs: number[] = [];
  for (const round of rounds) {
    await Promise.all(round.map(async (pair) => {
      const deadlineMs = Math.max(0, endsAtMs - performance.now());
      if (await waitForAnswer(pair, { deadlineMs, signal })) answersMs.push(sinceStartMs());
    }));
  }

  const results: PairResult[] = [];
  for (const [index, round] of rounds.entries()) {
    progress.step(`measuring latency: round ${index + 1} of ${rounds.length}`);
    results.push(...await Promise.all(round.map(measureLatency)));
    signal.throwIfAborted();
  }
  progress.step("measuring throughput");
  const throughput = await describeThroughput(results, searchPath, signal);
  return { answersMs, results, throughput };
}

async function describeThroughput(
  results: readonly PairResult[],
  searchPath: string,
  signal: AbortSignal,
): Promise<string> {
  if (results.length === 0) return "not measured: there is one host";
  const pair = results.find(({ received }) => received > 0)?.pair;
  if (pair === undefined) return "not measured: no pod reaches another";
  if (!await isInstalled("iperf3", searchPath)) return "not measured: iperf3 is not installed";
  try {
    const bitsPerSecond = await measureThroughput(pair, { signal });
    return `${
      formatBitRate(bitsPerSecond)
    } from ${pair.from.name} to ${pair.to.name}, one TCP connection, 2 s`;
  } catch (error) {
    signal.throwIfAborted();
    return `not measured: ${(error as Error).message}`;
  }
}

function report(lab: Lab, { isRouted, families }: LabFlags, measured: Measured): string[] {
  const { hosts } = lab;
  const heading = ["host", "underlay address", "subnet", "MTU", ...hosts.map(({ name }) => `ms to ${name}`)];
  const rows = hosts.flatMap((host) =>
    families.map((family) => {
      const subnet = host.share.subnets.find(({ address }) => familyOf(address) === family);
      const latencies = hosts.map((to) => {
        const isPair = ({ pair }: PairResult) =>
          pair.from === host && pair.to === to && pair.family === family;
        const result = measured.results.find(isPair);
        return result === undefined ? "-" : formatLatency(result);
      });
      return [
        host.name,
        formatAddress(host.underlayAddresses.find((address) => familyOf(address) === family)!),
        subnet === undefined ? "none" : formatPrefix(subnet),
        String(host.share.mtuBytes),
        ...latencies,
      ];
    })
  );
  const where = isRouted ? "each in a segment of its own behind a router" : "on one segment";
  const which = families.map((family) => FAMILY_NAMES[family]).join(" and ");
  return [
    hosts.length === 1 ? `1 host, ${which}` : `${hosts.length} hosts, ${where}, ${which}`,
    "",
    ...formatTable([heading, ...rows]),
    "",
    ...formation(measured),
    `throughput: ${measured.throughput}`,
  ];
}

function formation({ answersMs, results }: Measured): string[] {
  const [first] = answersMs;
  if (first === undefined) return [];
  const seconds = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const all = answersMs.length === results.length ? "all" : `${answersMs.length} of`;
  return [
    `the overlay formed in ${seconds(first)}, from the start of the agents to the first ping; ` +
    `${all} ${results.length} directions answered after ${seconds(answersMs.at(-1)!)}`,
  ];
}

/** What is wrong: pods that don't reach each other, agents that have ended, and the logs of their hosts. */
async function faultsOf(lab: Lab, { results }: Measured): Promise<string[]> {
  const faults: string[] = [];
  const suspects = new Set<LabHost>();
  for (const host of lab.hosts) {
    if (host.agent?.end === undefined) continue;
    faults.push(`the agent of ${host.name} ended with ${describeEnd(host.agent.end)}`);
    suspects.add(host);
  }
  const inOrder = results.toSorted((a, b) => lab.hosts.indexOf(a.pair.from) - lab.hosts.indexOf(b.pair.from));
  for (const { pair, sent, received } of inOrder) {
    if (sent > 0 && sent === received) continue;
    const lost = sent === 0 ? "no ping was sent" : `${sent - received} of ${sent} pings were lost`;
    const to = `the pod of ${pair.to.name} (${formatAddress(targetOf(pair))})`;
    faults.push(`the pod of ${pair.from.name} does not reach ${to}: ${lost}`);
    suspects.add(pair.from).add(pair.to);
  }
  const shown = lab.hosts.filter((host) => suspects.has(host)).slice(0, MAX_LOGS);
  const tails = await Promise.all(shown.map((host) => host.logTail()));
  return [...faults, ...tails];
}

/** How to look around in a lab that keeps running. */
function directions(lab: Lab): string[] {
  const host = lab.hosts[0]!;
  const other = lab.hosts.at(-1)!.pod.addresses[0]!;
  return [
    "",
    `on a host:  ip netns exec ${host.netns.name} ip route`,
    `in a pod:   ip netns exec ${host.pod.netns.name} ping ${formatAddress(other)}`,
    `agent logs: ${lab.directory}/h*/agent.log`,
    "Ctrl-C ends the lab",
  ];
}
