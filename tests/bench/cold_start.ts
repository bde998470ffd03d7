import { LocalFile } from "../../src/registry/local/local_file.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import type { Ipv4 } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { isOverVtep, startAgent } from "./agent.ts";
import { openHost } from "./host.ts";
import { cpuMs, median, processCost } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";

const ROUNDS = 5;
/** How long the agent has been at rest when its memory is read. */
const REST_MS = 1000;

/** Figures of an agent as a process of its own; medians. */
export interface ColdStartFigures extends Record<string, string | number> {
  readonly "remote leases": string;
  /** `now`, or `before` of the binary to compare with. */
  readonly binary: string;
  /** From the start of the process to the last route. */
  readonly "last route ms": number;
  /** CPU and memory of the process once it has been at rest for a second. */
  readonly "user ms": number;
  readonly "system ms": number;
  readonly "RSS MiB": number;
  readonly "RssAnon MiB": number;
  /** A second start on the settled host: from the start of the process to its first whole pass. */
  readonly "restart ms": number;
  /** From SIGTERM to the end of the process. */
  readonly "SIGTERM ms": number;
  /** CPU of the process per second while nothing happens, in percent of one core. */
  readonly "idle CPU %": number | string;
}

/**
 * Starts the agent with `count` remote leases in its registry, several times over; with a binary to compare with, of both
 * in turn.
 */
export async function timeColdStart(
  binary: string,
  count: number,
  options: { readonly idleMs: number; readonly before?: string | undefined },
): Promise<ColdStartFigures[]> {
  const { idleMs, before } = options;
  const binaries = Object.entries({ ...before !== undefined && { before }, now: binary });
  const all = new Map<string, Round[]>(binaries.map(([name]) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, path] of binaries) {
      all.get(name)!.push(await oneRound(path, count, round === 0 ? idleMs : 0));
    }
  }
  return [...all].map(([name, rounds]) => {
    const middle = (figure: keyof Round) => median(rounds.map((figures) => figures[figure] as number));
    return {
      "remote leases": String(count),
      binary: name,
      "last route ms": middle("last route ms"),
      "user ms": middle("user ms"),
      "system ms": middle("system ms"),
      "RSS MiB": middle("RSS MiB"),
      "RssAnon MiB": middle("RssAnon MiB"),
      "restart ms": middle("restart ms"),
      "SIGTERM ms": middle("SIGTERM ms"),
      "idle CPU %": rounds[0]!["idle CPU %"]!,
    };
  });
}

type Round = Omit<ColdStartFigures, "remote leases" | "binary">;

async function oneRound(
  binary: string,
  count: number,
  idleMs: number,
): Promise<Round> {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, folder } = await openHost(stack);
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify({ Network: NETWORK, SubnetLen: 24 }));
  seed(`${folder}/registry.db`, count);
  const last = 0x0a000000 + (count + 1) * 256 + 1 as Ipv4;

  const agent = stack.use(startAgent(binary, netns.name, flagsOf(folder)));
  const lastRouteMs = await agent.until(() => isOverVtep(client, last));
  await agent.until(() => agent.settledPasses() > 0);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  const cost = await processCost(agent.pid);
  const idle = idleMs > 0 ? await idlePercent(agent.pid, idleMs) : "-";
  const sigtermMs = await agent.stop();

  const second = stack.use(startAgent(binary, netns.name, flagsOf(folder)));
  const restartMs = await second.until(() => second.settledPasses() > 0);
  await second.stop();
  // Left to the namespace's end, the kernel would do it some time later, and lock links for seconds in the next round.
  await netns.ip("link", "delete", "flannel.1");
  return {
    "last route ms": lastRouteMs,
    "user ms": cost.userMs,
    "system ms": cost.systemMs,
    "RSS MiB": cost.rssMiB,
    "RssAnon MiB": cost.rssAnonMiB,
    "restart ms": restartMs,
    "SIGTERM ms": sigtermMs,
    "idle CPU %": idle,
  };
}

/** Fills a registry with members 2 to `count` + 1; member 1 is the host itself and takes its own lease. */
function seed(path: string, count: number): void {
  using file = new LocalFile(path);
  const expiresAtMs = Date.now() + 24 * 3600 * 1000;
  file.transaction("IMMEDIATE", "seed leases", () => {
    // Each with a number, which would else be looked for in all that are there.
    for (const [index, lease] of members(2, count + 1).entries()) {
      writeLease(file, { ...lease, expiresAtMs, since: index + 1 }, "seed leases");
    }
    // The host is given member 1's subnet again, so that no random choice disturbs the figures.
    const own = member(1);
    writeLease(file, { ...own, host: "100.64.0.1", expiresAtMs }, "seed leases");
  });
}

function flagsOf(folder: string): readonly string[] {
  return [
    `-local-registry=${folder}/registry.db`,
    `-net-config-path=${folder}/net-conf.json`,
    `-subnet-file=${folder}/subnet.env`,
  ];
}

async function idlePercent(pid: number, ms: number): Promise<number> {
  const before = await cpuMs(pid);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (await cpuMs(pid) - before) / ms * 100;
}
