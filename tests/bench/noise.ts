import { addRule, changeRules, type NftRuleText } from "../../src/nftables/objects.ts";
import { readGeneration } from "../../src/nftables/dump.ts";
import { formatAddress, formatPrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { Libc } from "../../src/linux/libc.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { type RunningAgent, startAgent } from "./agent.ts";
import { cpuMs } from "./machine.ts";
import { member, members, NETWORK } from "./members.ts";
import { measureLoad } from "./registries.ts";

const REST_MS = 5000;
const NOISE_MS = 10_000;
const DEADLINE_MS = 30_000;
/** Of the table of a router that has the internet's routes, and of kube-proxy in a large cluster. */
const MANY_ROUTES = 200_000;
const MANY_CHAINS = 20_000;
const NODES = 1000;
/** What 5,000 nodes report of their status, once in five minutes each. */
const NODE_UPDATES = 17;

/** What other programs do on a host, which is none of the agent's business. */
interface Noise {
  readonly name: string;
  readonly backend: string;
  readonly leases: number;
  readonly perSecond: number;
  /** Lines of ip-batch(8) that are there before the agent. */
  readonly before?: () => string[];
  /** Lines of nft(8) that are. */
  readonly rules?: () => string[];
  /** The lines of ip-batch(8) of one change; a rule of nf_tables where there are none. */
  readonly change: (at: number) => string[];
}

const other = "other0";
const otherLink = [
  `link add ${other} type veth peer name other1`,
  `link set ${other} up`,
  "link set other1 up",
];
const arp = (at: number) => [
  `neigh replace 100.64.200.${1 + at % 200} lladdr 02:00:00:00:00:01 dev eth0 nud ${
    at % 2 === 0 ? "reachable" : "stale"
  }`,
];
const turns = (at: number) => Math.floor(at / 2);
const isFirst = (at: number) => at % 2 === 0;

const NOISES: readonly Noise[] = [
  { name: "ARP of the underlay", backend: "host-gw", leases: 5000, perSecond: 30, change: arp },
  { name: "ARP of the underlay", backend: "auto", leases: 5000, perSecond: 30, change: arp },
  ...["host-gw", "vxlan"].map((backend) => ({
    name: `others' routes, half of them multipath, beside ${MANY_ROUTES}`,
    backend,
    leases: 1000,
    perSecond: 20,
    before: () => [
      ...otherLink,
      `address add 192.168.1.1/24 dev ${other}`,
      ...Array.from(
        { length: MANY_ROUTES },
        (_, at) =>
          `route add ${16 + (at >> 16)}.${at >> 8 & 255}.${
            at & 255
          }.0/24 via 192.168.1.2 dev ${other} proto bird`,
      ),
    ],
    change: (at: number) => {
      const to = `172.${16 + turns(at) % 16}.${turns(at) % 256}.0/24`;
      const hops = [2, 3].map((n) => `nexthop via 192.168.1.${n} dev ${other}`).join(" ");
      const way = turns(at) % 2 === 0 ? hops : `via 192.168.1.2 dev ${other}`;
      return [`route ${isFirst(at) ? "add" : "delete"} ${to} proto bird ${way}`];
    },
  })),
  {
    name: `rules of others, beside ${MANY_CHAINS} chains`,
    backend: "vxlan",
    leases: 1000,
    perSecond: 6,
    rules: () => [
      "add table ip nat",
      "add chain ip nat x",
      ...Array.from({ length: MANY_CHAINS }, (_, at) => `add chain ip nat KUBE-SEP-${at}`),
    ],
    change: () => [],
  },
  {
    name: "pods' links up and down",
    backend: "vxlan",
    leases: 1000,
    perSecond: 10,
    before: () => [
      ...otherLink,
      "link add cbr9 type bridge",
      "link set cbr9 up",
      ...Array.from({ length: 100 }, (_, at) => [
        `link add veth${at} type veth peer name pod${at}`,
        `link set veth${at} master cbr9 up`,
      ]).flat(),
    ],
    change: (at) => [`link set pod${turns(at) % 100} ${isFirst(at) ? "up" : "down"}`],
  },
  {
    name: "addresses of other links",
    backend: "auto",
    leases: 5000,
    perSecond: 10,
    before: () => otherLink,
    change: (at) => [
      `address ${isFirst(at) ? "add" : "delete"} 192.168.${turns(at) % 250}.1/24 dev ${other}`,
    ],
  },
];

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
  const netns = stack.use(await TestNetns.create());
  await createUnderlayLink(netns, { name: "eth0", address4: "100.64.0.1/10" });
  const folder = await Deno.makeTempDir({ prefix: "loden-bench-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  await prepare(netns, folder, noise);
  const { backend, leases } = noise;
  const config = { Network: NETWORK, SubnetLen: 24, Backend: { Type: backend } };
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify(config));
  seed(`${folder}/registry.db`, leases, backend === "host-gw" ? backend : "vxlan");
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
async function prepare(netns: TestNetns, folder: string, { before, rules }: Noise): Promise<void> {
  if (before !== undefined) {
    await Deno.writeTextFile(`${folder}/before`, before().join("\n"));
    await netns.ip("-batch", `${folder}/before`);
  }
  if (rules === undefined) return;
  await Deno.writeTextFile(`${folder}/rules`, rules().join("\n"));
  const { code, stderr } = await netns.run("nft", "-f", `${folder}/rules`);
  if (code !== 0) throw new Error(`Cannot make rules: ${stderr}`);
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
function seed(path: string, count: number, backendType: string): void {
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
