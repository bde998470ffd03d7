import { addRule, changeRules, type NftRuleText } from "../../src/nftables/objects.ts";
import { readGeneration } from "../../src/nftables/dump.ts";
import { formatAddress, formatPrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { Libc } from "../../src/linux/libc.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { type TestNetns } from "../double/netns.ts";
import { openHost } from "./host.ts";
import { type RunningAgent, startAgent } from "./agent.ts";
import { cpuMs } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";
import { type Noise, NOISES } from "./noises.ts";
import { measureLoad } from "./registries.ts";

const REST_MS = 5000;
const NOISE_MS = 10_000;
const DEADLINE_MS = 30_000;
const NODES = 1000;
/** What 5,000 nodes report of their status, once in five minutes each. */
const NODE_UPDATES = 17;

/** What one noise costs an agent. */
export type NoiseFigures = Readonly<Record<string, string | number>>;

/**
 * Measures what each noise costs the agent, in percent of one core.
 *
 * @param before Another binary, to compare with.
 */
export async function measureNoise(binary: string, before: string | undefined): Promise<NoiseFigures[]> {
  const rows: NoiseFigures[] = [];
  const [old, now] = [before ?? "", binary];
  const each = async (of: (binary: string) => Promise<Measured>) =>
    [old === "" ? undefined : await of(old), await of(now)] as const;
  for (const noise of NOISES) {
    const [was, is] = await each((binary) => measure(binary, noise));
    rows.push({
      noise: noise.name,
      backend: noise.backend,
      leases: String(noise.leases),
      "a second": String(noise.perSecond),
      "CPU % before": was?.percent ?? "–",
      "passes ": was?.passes ?? "–",
      "CPU %": is.percent,
      "passes": is.passes,
      "at rest %": is.restPercent,
      "repair ms before": was?.repairMs ?? "–",
      "repair ms": is.repairMs,
    });
  }
  const [was, is] = await each(async (binary) => {
    const figures = await measureLoad(binary, NODES, NODE_UPDATES);
    return {
      percent: figures["CPU % under updates"],
      restPercent: figures["idle CPU %"],
      passes: "–",
      repairMs: 0,
    };
  });
  rows.push({
    noise: `nodes whose status changes, of ${NODES}`,
    backend: "vxlan",
    leases: String(NODES),
    "a second": String(NODE_UPDATES),
    "CPU % before": was?.percent ?? "–",
    "passes ": "–",
    "CPU %": is.percent,
    "passes": "–",
    "at rest %": is.restPercent,
    "repair ms before": "–",
    "repair ms": "–",
  });
  return rows;
}

interface Measured {
  readonly percent: number;
  readonly restPercent: number;
  readonly passes: string;
  /** Until a route of the agent's is there again that somebody deletes meanwhile. */
  readonly repairMs: number;
}

async function measure(binary: string, noise: Noise): Promise<Measured> {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, folder } = await openHost(stack);
  await prepare(netns, folder, noise);
  const { backend, leases } = noise;
  const config = { Network: NETWORK, SubnetLen: 24, Backend: { Type: backend } };
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify(config));
  seedLeases(`${folder}/registry.db`, leases, backend === "host-gw" ? backend : "vxlan");
  const agent = stack.use(startAgent(binary, netns.name, [
    `-local-registry=${folder}/registry.db`,
    `-net-config-path=${folder}/net-conf.json`,
    `-subnet-file=${folder}/subnet.env`,
    "-ip-masq",
    "-resync=600",
  ]));
  const { subnet } = member(leases + 1).parts[0]!;
  // To list routes would take long where there are many. The default route has no gateway.
  const isRouted = async () =>
    (await netns.ip("route", "get", formatAddress(subnet.address))).includes(" via ");
  await until(isRouted);
  await agent.until(() => agent.settledPasses() > 0);
  await pause(REST_MS);
  const restPercent = await percentOf(agent, () => pause(REST_MS));

  const controller = new AbortController();
  const [batch, client] = noise.rules === undefined
    ? [ipBatch(netns), undefined]
    : [undefined, new NetlinkClient(stack.use(netns.openTransport(libc, { protocol: NETLINK_NETFILTER })))];
  const running = (async () => {
    const startMs = performance.now();
    for (let at = 0; !controller.signal.aborted; at++) {
      await batch?.write(noise.change(at));
      if (client !== undefined) addCounter(client);
      await pause(Math.max(0, startMs + (at + 1) * 1000 / noise.perSecond - performance.now()));
    }
    await batch?.end();
  })();
  const before = agent.settledPasses();
  const percent = await percentOf(agent, () => pause(NOISE_MS));
  const passes = String(agent.settledPasses() - before);
  await netns.ip("route", "delete", formatPrefix(subnet));
  const deletedMs = performance.now();
  await until(isRouted);
  const repairMs = performance.now() - deletedMs;
  controller.abort();
  await running;
  await agent.stop();
  // Left to the namespace's end, the kernel would do it some time later, and lock links for seconds in the next round.
  if (backend !== "host-gw") await netns.ip("link", "delete", "flannel.1");
  return { percent, restPercent, passes, repairMs };
}

/** Makes what is there before the agent. */
async function prepare(netns: TestNetns, folder: string, noise: Noise): Promise<void> {
  const steps: readonly [readonly string[], string[] | undefined][] = [
    [["ip", "-batch"], noise.before?.()],
    [["iptables-legacy-restore"], noise.legacy?.()],
    [["nft", "-f"], noise.rules?.()],
  ];
  for (const [command, lines] of steps) {
    if (lines === undefined) continue;
    await Deno.writeTextFile(`${folder}/before`, lines.join("\n"));
    const { code, stderr } = await netns.run(command[0]!, ...command.slice(1), `${folder}/before`);
    if (code !== 0) throw new Error(`Cannot prepare ${noise.name}: ${stderr}`);
  }
}

function addCounter(client: NetlinkClient): void {
  const rule: NftRuleText = { expressions: [{ kind: "counter" }] };
  const change = addRule({ family: 2, table: "nat", chain: "x", ...rule });
  changeRules(client, "add a rule", readGeneration(client), [change]);
}

/** An ip(8) that does what it is told, one line after the other. */
function ipBatch(netns: TestNetns): { write(lines: readonly string[]): Promise<void>; end(): Promise<void> } {
  const child = new Deno.Command("ip", {
    args: ["-n", netns.name, "-force", "-batch", "-"],
    stdin: "piped",
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  return {
    write: (lines) => writer.write(new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""))),
    async end() {
      await writer.close();
      await child.status;
    },
  };
}

/** Fills a registry with `count` others; the host itself takes its own lease. */
export function seedLeases(path: string, count: number, backendType: string): void {
  using file = new LocalFile(path);
  const expiresAtMs = Date.now() + 24 * 3600 * 1000;
  file.transaction("IMMEDIATE", "seed leases", () => {
    for (const lease of members(2, count + 1)) {
      writeLease(file, { ...lease, backendType, expiresAtMs }, "seed leases");
    }
    writeLease(file, { ...member(1), backendType, host: "100.64.0.1", expiresAtMs }, "seed leases");
  });
}

async function percentOf(agent: RunningAgent, during: () => Promise<unknown>): Promise<number> {
  const [before, startedMs] = [await cpuMs(agent.pid), performance.now()];
  await during();
  return (await cpuMs(agent.pid) - before) / (performance.now() - startedMs) * 100;
}

async function until(isThere: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + DEADLINE_MS;
  while (!await isThere()) {
    if (performance.now() > endMs) throw new Error(`Cannot measure: it took over ${DEADLINE_MS} ms`);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
