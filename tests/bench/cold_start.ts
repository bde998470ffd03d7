import { LocalFile } from "../../src/lease/local_file.ts";
import { writeLease } from "../../src/lease/local_acquire.ts";
import type { Address, Ipv4 } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import { queryLink } from "../../src/netlink/link.ts";
import { decodeRouteLookup, encodeRouteLookup } from "../../src/netlink/route_lookup.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { cpuMs, median, processCost } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";

const ROUNDS = 3;
const POLL_MS = 1;
/** How long the agent has been at rest when its memory is read. */
const REST_MS = 1000;
const DEADLINE_MS = 60_000;

/** Figures of an agent as a process of its own; medians. */
export interface ColdStartFigures extends Record<string, string | number> {
  readonly "remote leases": string;
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

/** Starts the agent with `count` remote leases in its registry, several times over. */
export async function timeColdStart(
  binary: string,
  count: number,
  options: { idleMs: number },
): Promise<ColdStartFigures> {
  const rounds: Omit<ColdStartFigures, "remote leases">[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    rounds.push(await oneRound(binary, count, round === 0 ? options.idleMs : 0));
  }
  const middle = (name: string) => median(rounds.map((figures) => figures[name] as number));
  return {
    "remote leases": String(count),
    "last route ms": middle("last route ms"),
    "user ms": middle("user ms"),
    "system ms": middle("system ms"),
    "RSS MiB": middle("RSS MiB"),
    "RssAnon MiB": middle("RssAnon MiB"),
    "restart ms": middle("restart ms"),
    "SIGTERM ms": middle("SIGTERM ms"),
    "idle CPU %": rounds[0]!["idle CPU %"]!,
  };
}

async function oneRound(
  binary: string,
  count: number,
  idleMs: number,
): Promise<Omit<ColdStartFigures, "remote leases">> {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const netns = stack.use(await TestNetns.create());
  await createUnderlayLink(netns, { name: "eth0", address4: "100.64.0.1/10" });
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  const folder = await Deno.makeTempDir({ prefix: "loden-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify({ Network: NETWORK, SubnetLen: 24 }));
  seed(`${folder}/registry.db`, count);
  const last = 0x0a000000 + (count + 1) * 256 + 1 as Ipv4;

  const agent = stack.use(startAgent(binary, netns.name, folder));
  const lastRouteMs = await agent.until(() => isOverVtep(client, last));
  await agent.until(() => agent.settledPasses() > 0);
  await new Promise((resolve) => setTimeout(resolve, REST_MS));
  const cost = await processCost(agent.pid);
  const idle = idleMs > 0 ? await idlePercent(agent.pid, idleMs) : "-";
  const sigtermMs = await agent.stop();

  const second = stack.use(startAgent(binary, netns.name, folder));
  const restartMs = await second.until(() => second.settledPasses() > 0);
  await second.stop();
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
    for (const lease of members(2, count + 1)) writeLease(file, { ...lease, expiresAtMs }, "seed leases");
    // The host is given member 1's subnet again, so that no random choice disturbs the figures.
    const own = member(1);
    writeLease(file, { ...own, host: "100.64.0.1", expiresAtMs }, "seed leases");
  });
}

/** Reports whether the kernel would send to `address` over the VTEP: cheap enough to ask every millisecond. */
function isOverVtep(client: NetlinkClient, address: Address): boolean {
  const vtep = queryLink(client, "flannel.1");
  if (vtep === undefined) return false;
  let isOver = false;
  client.request(
    "look up a route",
    (writer, sequence) => encodeRouteLookup(writer, sequence, address),
    (message) => isOver = decodeRouteLookup(message)?.linkIndex === vtep.linkIndex,
  );
  return isOver;
}

interface RunningAgent extends AsyncDisposable {
  readonly pid: number;
  /** Waits for a condition; milliseconds since the start of the process. */
  until(condition: () => boolean): Promise<number>;
  /** Passes so far that planned nothing. */
  settledPasses(): number;
  /** Sends SIGTERM and waits for the end; milliseconds. */
  stop(): Promise<number>;
}

function startAgent(binary: string, netns: string, folder: string): RunningAgent {
  const startedMs = performance.now();
  const child = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", netns, binary, "agent", "-v=1", "-log-format=json", "-iface=eth0"],
      `-local-registry=${folder}/registry.db`,
      `-net-config-path=${folder}/net-conf.json`,
      `-subnet-file=${folder}/subnet.env`,
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let settled = 0;
  let tail = "";
  const log = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      settled += text.split('"event":"pass ended","planned":0').length - 1;
      tail = (tail + text).slice(-2000);
    }
  })();
  const stop = async () => {
    const sentMs = performance.now();
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended already.
    }
    await child.status;
    await log;
    return performance.now() - sentMs;
  };
  return {
    pid: child.pid,
    settledPasses: () => settled,
    async until(condition) {
      while (!condition()) {
        if (performance.now() - startedMs > DEADLINE_MS) {
          throw new Error(`Cannot measure: the agent took over ${DEADLINE_MS} ms; its log ends: ${tail}`);
        }
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return performance.now() - startedMs;
    },
    stop,
    [Symbol.asyncDispose]: async () => void await stop(),
  };
}

async function idlePercent(pid: number, ms: number): Promise<number> {
  const before = await cpuMs(pid);
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (await cpuMs(pid) - before) / ms * 100;
}
