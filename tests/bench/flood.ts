import { Libc } from "../../src/linux/libc.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import { NOTIFICATION_GROUPS, type NotificationSocket } from "../../src/netlink/notifications.ts";
import { RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { doorPath } from "../../src/status/door_path.ts";
import { type TestNetns } from "../double/netns.ts";
import { openHost } from "./host.ts";
import { encodeRouteDeletion } from "../double/route_deletion.ts";
import { startAgent } from "./agent.ts";
import type { FloodResult, FloodTask } from "./flood_inside.ts";
import { cpuMs, percentile } from "./machine.ts";
import { member, NETWORK } from "./members.ts";
import { seedLeases } from "./noise.ts";

const PORT = 8081;
const LEASES = 100;
const REPAIRS = 100;
/** Between two repairs. */
const REST_MS = 50;
const DEADLINE_MS = 30_000;

/** What is asked for, by whom it is asked. */
const FLOODS: Readonly<Record<string, readonly string[]>> = {
  "nobody": [],
  // What the load of asking alone does, on a machine that is no larger: nobody listens there.
  "a closed port": ["closed /"],
  "/status": ["tcp /status"],
  "/metrics": ["tcp /metrics"],
  "the door": ["door /status"],
  "all of these": ["tcp /status", "tcp /metrics", "tcp /readyz", "door /status"],
  "always another": Array.from({ length: 997 }, (_, at) => `tcp /status?${at}`),
};

/** An agent that is asked, and what it takes to ask and to disturb it. */
interface FloodedAgent {
  readonly name: string;
  readonly netns: TestNetns;
  readonly pid: number;
  readonly doorPath: string;
  readonly client: NetlinkClient;
}

/**
 * Measures how long repairs take while an agent is asked `perSecond` times a second; with a binary to compare with, of both in
 * turns, as what else the machine does changes from minute to minute.
 */
export async function measureFlood(
  binary: string,
  perSecond: number,
  before?: string,
): Promise<Record<string, string | number>[]> {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const binaries = { ...before !== undefined && { before }, now: binary };
  const agents: FloodedAgent[] = [];
  for (const [name, path] of Object.entries(binaries)) {
    agents.push(await startFlooded(libc, { name, path, stack }));
  }
  const rows: Record<string, string | number>[] = [];
  for (const [name, questions] of Object.entries(FLOODS)) {
    for (const agent of agents) {
      const row = await measureOne(libc, agent, { questions, perSecond });
      rows.push({ "asked for": name, ...before !== undefined && { binary: agent.name }, ...row });
    }
  }
  return rows;
}

async function startFlooded(
  libc: Libc,
  { name, path, stack }: {
    readonly name: string;
    readonly path: string;
    readonly stack: AsyncDisposableStack;
  },
): Promise<FloodedAgent> {
  const { netns, folder } = await openHost(stack);
  const config = { Network: NETWORK, SubnetLen: 24, Backend: { Type: "vxlan" } };
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify(config));
  seedLeases(`${folder}/registry.db`, LEASES, "vxlan");
  const subnetFile = `${folder}/subnet.env`;
  const agent = stack.use(startAgent(path, netns.name, [
    `-local-registry=${folder}/registry.db`,
    `-net-config-path=${folder}/net-conf.json`,
    `-subnet-file=${subnetFile}`,
    `-healthz-port=${PORT}`,
    "-healthz-ip=127.0.0.1",
    "-resync=600",
  ]));
  await agent.until(() => agent.settledPasses() > 0);
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  return { name, netns, pid: agent.pid, doorPath: doorPath(subnetFile), client };
}

async function measureOne(
  libc: Libc,
  { netns, pid, doorPath, client }: FloodedAgent,
  { questions, perSecond }: Pick<FloodTask, "questions" | "perSecond">,
): Promise<Record<string, string | number>> {
  const task = { port: PORT, doorPath, questions, perSecond };
  const [cpuBefore, startedMs] = [await cpuMs(pid), performance.now()];
  const flood = questions.length === 0 ? undefined : startFlood(netns, task);
  await pause(1000);
  const repairs = await timeRepairs(libc, netns, client);
  const percent = (await cpuMs(pid) - cpuBefore) / (performance.now() - startedMs) * 100;
  const result = await flood?.stop();
  return {
    "asked a second": result === undefined ? "–" : Math.round(result.asked / result.seconds),
    "answered a second": result === undefined ? "–" : Math.round(result.answered / result.seconds),
    "CPU %": percent,
    "repair ms, median": percentile(repairs, 0.5),
    "99 of 100": percentile(repairs, 0.99),
    "longest": Math.max(...repairs),
  };
}

/** How long it takes until a route is back that is deleted, one after the other. */
async function timeRepairs(libc: Libc, netns: TestNetns, client: NetlinkClient): Promise<number[]> {
  const tookMs: number[] = [];
  await using notifications = netns.openNotifications(libc, { groups: [NOTIFICATION_GROUPS.ipv4Route] });
  for (let at = 0; at < REPAIRS; at++) {
    const { subnet } = member(2 + at % LEASES).parts[0]!;
    await pause(REST_MS);
    drain(notifications);
    const startMs = performance.now();
    client.request("delete a route", (writer, sequence) => encodeRouteDeletion(writer, sequence, subnet));
    const signal = AbortSignal.timeout(DEADLINE_MS);
    do await notifications.wait({ signal }); while (!isAdded(notifications));
    tookMs.push(performance.now() - startMs);
  }
  return tookMs;
}

const buffer = new Uint8Array(64 * 1024);

function drain(notifications: NotificationSocket): void {
  while (notifications.receive(buffer) !== 0);
}

/** Whether the kernel tells of a new route. */
function isAdded(notifications: NotificationSocket): boolean {
  const reader = new MessageReader(buffer);
  let found = false;
  for (let length; (length = notifications.receive(buffer)) > 0;) {
    reader.reset(length);
    while (reader.next()) found ||= reader.type === RTM_NEWROUTE;
  }
  return found;
}

/** A flood that goes on until it is stopped. */
function startFlood(netns: TestNetns, task: FloodTask): { stop(): Promise<FloodResult> } {
  const script = new URL("flood_inside.ts", import.meta.url).pathname;
  const child = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", netns.name, Deno.execPath(), "run", "--quiet", "--no-check", "-A", script],
      JSON.stringify(task),
    ],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  return {
    async stop() {
      await child.stdin.close();
      const { stdout } = await child.output();
      return JSON.parse(new TextDecoder().decode(stdout));
    },
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
