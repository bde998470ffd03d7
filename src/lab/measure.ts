import { type Address, type Family, familyOf, formatAddress } from "../model/address.ts";
import type { LabHost } from "./host.ts";
import { waitUntil } from "./wait.ts";

/** Where the throughput is measured. */
const IPERF_PORT = "5201";
/** What the server may take until it listens, and the client until it has connected. */
const IPERF_DEADLINE_MS = 10_000;

/** One direction between two pods. */
export interface Pair {
  readonly from: LabHost;
  readonly to: LabHost;
  readonly family: Family;
}

/** What ping(8) counted. */
export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Round trip, the mean over all answers; `undefined` without any. */
  readonly averageMs: number | undefined;
}

/** What was measured between two pods. */
export interface PairResult extends PingResult {
  readonly pair: Pair;
}

/** Every ordered pair of hosts in every family, in rounds in which no host is twice a source or a target. */
export function pairRounds(hosts: readonly LabHost[], families: readonly Family[]): Pair[][] {
  const distances = hosts.slice(1).map((_, index) => index + 1);
  return families.flatMap((family) =>
    distances.map((distance) =>
      hosts.map((from, index): Pair => ({ from, to: hosts[(index + distance) % hosts.length]!, family }))
    )
  );
}

/** The address of the pod that a pair is about. */
export function targetOf({ to, family }: Pair): Address {
  return to.pod.addresses.find((address) => familyOf(address) === family)!;
}

/** Waits until the pod of the target answers one ping. Reports whether it did, in time. */
export async function waitForAnswer(
  pair: Pair,
  options: { deadlineMs: number; signal: AbortSignal },
): Promise<boolean> {
  const address = formatAddress(targetOf(pair));
  const look = async () => {
    const { code } = await pair.from.podExec("ping", "-c1", "-i0.05", "-w1", address);
    return code === 0 ? true : undefined;
  };
  try {
    return await waitUntil(`reach ${address}`, look, options);
  } catch {
    options.signal.throwIfAborted();
    return false;
  }
}

/** Sends five pings in a second. */
export async function measureLatency(pair: Pair): Promise<PairResult> {
  const address = formatAddress(targetOf(pair));
  const { stdout } = await pair.from.podExec("ping", "-c5", "-i0.2", "-W1", address);
  return { pair, ...parsePing(stdout) };
}

/** Parses the summary of ping(8), of iputils or busybox; nothing was sent where there is none. */
export function parsePing(output: string): PingResult {
  const [, sent, received] = /(\d+) packets transmitted, (\d+) (?:packets )?received/.exec(output) ?? [];
  const [, average] = /min\/avg\/max(?:\/mdev)? = [\d.]+\/([\d.]+)\//.exec(output) ?? [];
  return {
    sent: Number(sent ?? 0),
    received: Number(received ?? 0),
    averageMs: average === undefined ? undefined : Number(average),
  };
}

/**
 * Sends over one TCP connection for two seconds. Returns bits received in a second.
 *
 * @throws {Error} If iperf3 fails, with its own words.
 */
export async function measureThroughput(pair: Pair, options: { signal: AbortSignal }): Promise<number> {
  const address = formatAddress(targetOf(pair));
  const server = pair.to.podExec("iperf3", "-s", "-1", "-p", IPERF_PORT);
  let reason = "";
  const look = async () => {
    const flags = ["-p", IPERF_PORT, "-t2", "-J", "--connect-timeout", "2000"];
    const { stdout } = await pair.from.podExec("iperf3", "-c", address, ...flags);
    const result = parseIperf(stdout);
    if (typeof result === "number") return result;
    reason = result;
  };
  const bits = await waitUntil(
    "measure the throughput",
    look,
    { deadlineMs: IPERF_DEADLINE_MS, ...options },
    () => reason,
  );
  await server;
  return bits;
}

/** Parses what `iperf3 -J` printed: bits received in a second, or why there are none. */
export function parseIperf(output: string): number | string {
  try {
    const report = JSON.parse(output);
    const bits = report.end?.sum_received?.bits_per_second;
    return typeof bits === "number" ? bits : String(report.error ?? "iperf3 reports no sum");
  } catch {
    return "iperf3 printed no report";
  }
}
