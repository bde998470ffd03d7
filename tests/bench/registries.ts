import { formatAddress, type Ipv4 } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import type { Json } from "../double/api_objects.ts";
import { ApiServerDouble } from "../double/api_server.ts";
import { EtcdServer } from "../double/etcd.ts";
import { KubeApiServer } from "../double/kube_apiserver.ts";
import { openHost } from "./host.ts";
import { Relay } from "../double/relay.ts";
import { memberNode } from "../registry/kube/servers.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";
import { isOverVtep, type RunningAgent, startAgent } from "./agent.ts";
import { cpuMs, median, processCost } from "./machine.ts";

const NETWORK = "10.0.0.0/8";
const PREFIX = "/coreos.com/network";
/** Members that are there before the first join is timed. */
const WARM_UP = 20;
/** Bytes of a Node as clusters have them. */
const NODE_BYTES = 15_000;
const LOAD_MS = 30_000;
const REST_MS = 3000;

/** A host with an agent of the registry under test. */
interface BenchHost {
  readonly agent: RunningAgent;
  readonly client: NetlinkClient;
}

/** How long joins take from the request that writes them to the route in the kernel. */
export interface JoinFigures extends Record<string, string | number> {
  readonly registry: string;
  readonly joins: string;
  readonly "median ms": number;
  readonly "p99 ms": number;
  readonly "worst ms": number;
}

/** What a cluster of large nodes costs an agent. */
export interface LoadFigures extends Record<string, string | number> {
  readonly "nodes of 15 KB": string;
  readonly "RSS MiB": number;
  readonly "RssAnon MiB": number;
  readonly "peak RSS MiB": number;
  /** While nodes change what is of no interest. */
  readonly "CPU % under updates": number;
  readonly "idle CPU %": number;
}

/** Runs an agent in a private namespace that reaches `port` of this host's loopback at its own. */
async function withHost(
  binary: string,
  port: number,
  flagsAt: (url: string, folder: string) => Promise<readonly string[]>,
  run: (host: BenchHost) => Promise<void>,
): Promise<void> {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, folder } = await openHost(stack);
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  await Deno.writeTextFile(`${folder}/net-conf.json`, JSON.stringify({ Network: NETWORK, SubnetLen: 24 }));
  stack.use(await Relay.open({ netns: netns.name, hostname: "127.0.0.1", port: 8080, targetPort: port }));
  const agent = stack.use(startAgent(binary, netns.name, [
    ...await flagsAt("127.0.0.1:8080", folder),
    `-net-config-path=${folder}/net-conf.json`,
    `-subnet-file=${folder}/subnet.env`,
    `-lease-cache=${folder}/leases.json`,
  ], { NODE_NAME: "n1" }));
  await agent.until(() => agent.settledPasses() > 0);
  await run({ agent, client });
}

/** The first address of member `number`'s subnet but one. */
export function addressIn(number: number): Ipv4 {
  return 0x0a010000 + number * 256 + 1 as Ipv4;
}

/** The subnet of member `number`, without its length: 24. */
export function subnetOf(number: number): string {
  return formatAddress(addressIn(number) - 1 as Ipv4);
}

/** The underlay address of member `number`. */
export function underlayOf(number: number): string {
  return formatAddress(0x64400100 + number as Ipv4);
}

/** The MAC of member `number`. */
export function macOf(number: number): string {
  return `0e:00:00:${
    [number >> 16, number >> 8, number].map((byte) => (byte & 255).toString(16).padStart(2, "0")).join(":")
  }`;
}

async function timeJoins(
  registry: string,
  count: number,
  host: BenchHost,
  join: (number: number) => Promise<void>,
): Promise<JoinFigures> {
  const timesMs: number[] = [];
  for (let number = 0; number < WARM_UP + count; number++) {
    const startedMs = performance.now();
    const written = join(number);
    await host.agent.until(() => isOverVtep(host.client, addressIn(number)));
    if (number >= WARM_UP) timesMs.push(performance.now() - startedMs);
    await written;
  }
  timesMs.sort((a, b) => a - b);
  return {
    registry,
    joins: String(count),
    "median ms": median(timesMs),
    "p99 ms": timesMs[Math.floor(timesMs.length * 0.99)]!,
    "worst ms": timesMs.at(-1)!,
  };
}

/** Times joins in a real etcd. */
export async function timeEtcdJoins(binary: string, count: number): Promise<JoinFigures> {
  await using server = await EtcdServer.open();
  await server.put(
    `${PREFIX}/config`,
    JSON.stringify({ Network: NETWORK, SubnetLen: 24, SubnetMin: "10.200.0.0" }),
  );
  let figures: JoinFigures;
  const flagsAt = (at: string) => Promise.resolve([`-etcd-endpoints=http://${at}`]);
  await withHost(binary, server.port, flagsAt, async (host) => {
    figures = await timeJoins(
      "etcd 3.4",
      count,
      host,
      (number) =>
        server.put(
          `${PREFIX}/subnets/${subnetOf(number)}-24`,
          flannelValue(underlayOf(number), macOf(number)),
        ),
    );
  });
  return figures!;
}

/** Times joins in a real API server. */
export async function timeKubeJoins(binary: string, count: number): Promise<JoinFigures> {
  await using server = await KubeApiServer.open();
  await server.createNode({
    metadata: { name: "n1" },
    spec: { podCIDR: "10.200.0.0/24", podCIDRs: ["10.200.0.0/24"] },
  });
  let figures: JoinFigures;
  const flagsAt = (at: string, folder: string) =>
    kubeFlags(`https://${at}`, folder, server.tokens.agent, server.caFile);
  await withHost(binary, server.port, flagsAt, async (host) => {
    figures = await timeJoins(
      "kube-apiserver 1.20",
      count,
      host,
      (number) =>
        server.createNode(
          memberNode(`joined-${number}`, `${subnetOf(number)}/24`, underlayOf(number), macOf(number)),
        ),
    );
  });
  return figures!;
}

/** Measures an agent in a cluster of `count` large nodes, at rest and under updates that do not concern it. */
export async function measureLoad(binary: string, count: number, perSecond = 100): Promise<LoadFigures> {
  await using server = await ApiServerDouble.open();
  await server.createNode({
    metadata: { name: "n1" },
    spec: { podCIDR: "10.200.0.0/24", podCIDRs: ["10.200.0.0/24"] },
  });
  for (let number = 0; number < count; number++) await server.createNode(largeNode(number));
  let figures: LoadFigures;
  const flagsAt = (at: string, folder: string) =>
    kubeFlags(`http://${at}`, folder, server.tokens.agent, undefined);
  await withHost(binary, server.port, flagsAt, async ({ agent, client }) => {
    if (count > 0) await agent.until(() => isOverVtep(client, addressIn(count - 1)));
    await new Promise((resolve) => setTimeout(resolve, REST_MS + 6000));
    const cost = await processCost(agent.pid);
    const idle = await percentOf(agent.pid, 10_000, () => Promise.resolve());
    const loaded = count === 0 ? 0 : await percentOf(agent.pid, LOAD_MS, async (isOver) => {
      for (let update = 0; !isOver(); update++) {
        const time = new Date().toISOString();
        const conditions = [{ type: "Ready", status: "True", lastHeartbeatTime: `${time}-${update}` }];
        await server.patchNode(`joined-${update % count}`, { status: { conditions } }, "status");
        await new Promise((resolve) => setTimeout(resolve, 1000 / perSecond - 1));
      }
    });
    figures = {
      "nodes of 15 KB": String(count),
      "RSS MiB": cost.rssMiB,
      "RssAnon MiB": cost.rssAnonMiB,
      "peak RSS MiB": cost.peakRssMiB,
      "CPU % under updates": loaded,
      "idle CPU %": idle,
    };
  });
  return figures!;
}

async function kubeFlags(
  url: string,
  folder: string,
  token: string,
  caFile: string | undefined,
): Promise<readonly string[]> {
  const cluster = { server: url, ...caFile !== undefined && { "certificate-authority": caFile } };
  const path = `${folder}/kubeconfig`;
  await Deno.writeTextFile(
    path,
    JSON.stringify({
      "current-context": "bench",
      contexts: [{ name: "bench", context: { cluster: "bench", user: "agent" } }],
      clusters: [{ name: "bench", cluster }],
      users: [{ name: "agent", user: { token } }],
    }),
  );
  return ["-kube-subnet-mgr", `-kubeconfig-file=${path}`];
}

/** A member whose node is as large as in clusters: labels and managed fields, of which watches tell, conditions and images. */
export function largeNode(number: number): Json {
  const node = memberNode(`joined-${number}`, `${subnetOf(number)}/24`, underlayOf(number), macOf(number));
  const managers = ["kubelet", "kube-controller-manager", "loden"].map((manager) => ({
    manager,
    operation: "Update",
    apiVersion: "v1",
    time: "2026-01-01T00:00:00Z",
    fieldsType: "FieldsV1",
    fieldsV1: {
      "f:metadata": Object.fromEntries(
        Array.from({ length: 20 }, (_, at) => [`f:field-${at}.example.com/of-${manager}`, {}]),
      ),
    },
  }));
  const metadata = {
    ...node.metadata as Json,
    labels: Object.fromEntries(
      Array.from({ length: 15 }, (_, at) => [`label-${at}.example.com/name`, `value-${number}`]),
    ),
    managedFields: managers,
  };
  const images: Json[] = [];
  const large = {
    ...node,
    metadata,
    status: {
      conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: "2026-01-01T00:00:00Z" }],
      images,
    },
  };
  for (let length = JSON.stringify(large).length; length < NODE_BYTES;) {
    const name = `registry.example.com/team/application-${images.length}`;
    images.push({ names: [`${name}@sha256:${"5d".repeat(32)}`, `${name}:v1.2.3`], sizeBytes: 123_456_789 });
    length += JSON.stringify(images.at(-1)).length + 1;
  }
  return large;
}

async function percentOf(
  pid: number,
  ms: number,
  load: (isOver: () => boolean) => Promise<void>,
): Promise<number> {
  const before = await cpuMs(pid);
  const startedMs = performance.now();
  await load(() => performance.now() - startedMs >= ms);
  while (performance.now() - startedMs < ms) await new Promise((resolve) => setTimeout(resolve, 50));
  return (await cpuMs(pid) - before) / (performance.now() - startedMs) * 100;
}
