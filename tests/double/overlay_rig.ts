import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { Lab, type LabOptions } from "../../src/lab/lab.ts";
import { pairRounds, targetOf, waitForAnswer } from "../../src/lab/measure.ts";
import { namesIn, netnsNames, ownerOfNetns } from "../../src/lab/names.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { formatAddress } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "./overlay_http.ts";

/** What a condition may take to come about, on a machine that does other things too. */
const DEADLINE_MS = 20_000;

/** What starts the agent under test: `LODEN_BINARY` if set, else this source. */
export const agentCommand: readonly string[] = commandOf(Deno.env.get("LODEN_BINARY"));

function commandOf(binary: string | undefined): readonly string[] {
  if (binary) return [binary, "agent"];
  const main = new URL("../../mod.ts", import.meta.url).pathname;
  return [Deno.execPath(), "run", "--quiet", "--no-check", "-A", main, "agent"];
}

/** Waits until `look` finds what it looks for, and returns that; `state` says what it found instead. */
export function until<T>(
  action: string,
  look: () => T | undefined | Promise<T | undefined>,
  state?: () => string,
): Promise<T> {
  return waitUntil(action, look, { deadlineMs: DEADLINE_MS, signal: new AbortController().signal }, state);
}

/** Opens a lab of real agents, runs `run` in it, takes it away and checks that nothing is left. */
export async function withOverlay(
  options: Partial<LabOptions>,
  run: (lab: Lab, libc: Libc) => Promise<void>,
): Promise<void> {
  using libc = new Libc();
  const directory = await Deno.makeTempDir();
  try {
    await using lab = await Lab.open({ libc, agentCommand, directory, ...options });
    try {
      await run(lab, libc);
    } catch (error) {
      const tails = await Promise.all(lab.hosts.map((host) => host.logTail()));
      throw new Error([error instanceof Error ? error.message : String(error), ...tails].join("\n"), {
        cause: error,
      });
    }
  } finally {
    const left = await namesIn(directory);
    await Deno.remove(directory, { recursive: true });
    assertEquals(left, [], "folders that are left");
    assertEquals((await netnsNames()).filter((name) => ownerOfNetns(name) === Deno.pid), []);
  }
}

/** The hosts of a lab by name. */
export function hostsOf(lab: Lab): readonly [h1: LabHost, h2: LabHost, h3: LabHost] {
  return lab.hosts as readonly LabHost[] as readonly [LabHost, LabHost, LabHost];
}

/** Waits until the agent of `host` says that it is ready. */
export async function untilReady(libc: Libc, host: LabHost): Promise<void> {
  let answer = "nobody listens";
  await until(`see ${host.name} ready`, async () => {
    const response = await httpGet(libc, host.netns, "/readyz");
    if (response?.status === 200) return true;
    answer = response?.body ?? "nobody listens";
  }, () => answer);
}

/** Waits until a host is not ready, and says `words`. */
export async function untilUnready(libc: Libc, host: LabHost, words: string): Promise<void> {
  let answer = "nobody listens";
  await until(`hear of ${host.name} "${words}"`, async () => {
    const response = await httpGet(libc, host.netns, "/readyz");
    answer = response === undefined ? "nobody listens" : `${response.status} ${response.body}`;
    return response?.status === 503 && response.body.includes(words) ? true : undefined;
  }, () => answer);
}

/** Waits until every agent is ready and every pod answers every other, in every family. */
export async function untilSettled(lab: Lab, libc: Libc): Promise<void> {
  for (const host of lab.hosts) await untilReady(libc, host);
  await untilReachable(lab);
}

/** Waits until every pod answers every other, in every family. */
export async function untilReachable(lab: Lab): Promise<void> {
  const options = { deadlineMs: DEADLINE_MS, signal: new AbortController().signal };
  const pairs = pairRounds(lab.hosts, lab.hosts[0]!.families).flat();
  for (const pair of pairs) {
    const name = `${pair.from.name} reaches ${formatAddress(targetOf(pair))} of ${pair.to.name}`;
    assertEquals(await waitForAnswer(pair, options), true, name);
  }
}

/** What an agent has logged since it was started last, one parsed line each. */
export async function logSince(host: LabHost, firstLine: number): Promise<Record<string, unknown>[]> {
  return (await host.logLines()).slice(firstLine).map((line) => JSON.parse(line));
}

/** The name that a host has in the registry. */
export function registryName(host: LabHost): string {
  return formatAddress(host.underlayAddresses[0]!);
}

/** What `/status` says. */
export interface Status {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
  readonly conditions: readonly {
    readonly code: string;
    readonly severity: string;
    readonly reason: string;
  }[];
  readonly pass: {
    readonly startedAt: string;
    readonly planned: number;
    readonly remoteLeases: number;
    readonly leftOut: number;
    readonly faults: readonly { readonly host: string; readonly reason: string }[];
  };
}

/** Asks the agent of `host` for its status; `undefined` while it does not answer or has made no pass. */
export async function statusOf(libc: Libc, host: LabHost): Promise<Status | undefined> {
  const response = await httpGet(libc, host.netns, "/status");
  if (response?.status !== 200) return undefined;
  const status = JSON.parse(response.body);
  return status.pass === null ? undefined : status;
}
