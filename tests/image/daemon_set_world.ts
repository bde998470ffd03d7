import { ensureImage } from "../../.ci/image.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { namesIn } from "../../src/lab/names.ts";
import { addAddress, linkIndexOf } from "../../src/lab/wiring.ts";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import { nodeOf, SERVER_ADDRESS } from "../double/overlay_servers.ts";
import { until, withOverlay } from "../double/overlay_rig.ts";
import { Relay } from "../double/relay.ts";
import { AttachedPod, CONFLIST, furnish } from "./attached.ts";
import { type KubeObject, SERVICE_HOST, SERVICE_PORT, TestCluster } from "./cluster.ts";
import { type ContainerEnd, type DaemonSet, type NodePlace, podOf, RunningPod } from "./daemon_set.ts";

const MANIFEST = new URL("../../manifests/kube-flannel.yml", import.meta.url);

/** Applies the manifests, and returns their objects as the API server keeps them. */
export async function applyManifests(cluster: TestCluster): Promise<readonly KubeObject[]> {
  return await cluster.apply(await Deno.readTextFile(MANIFEST));
}

/** A node, and the pod of the DaemonSet that runs on it. */
export class DaemonNode {
  readonly #daemonSet: DaemonSet;
  readonly #cluster: TestCluster;
  #running: RunningPod | undefined;

  constructor(readonly place: NodePlace, daemonSet: DaemonSet, cluster: TestCluster) {
    this.#daemonSet = daemonSet;
    this.#cluster = cluster;
  }

  get name(): string {
    return this.place.name;
  }

  /** The pod that runs, or ran last. */
  get running(): RunningPod {
    if (this.#running === undefined) throw new Error(`Cannot find the pod on ${this.name}: none was started`);
    return this.#running;
  }

  /** Makes a pod and runs it; it is in the API server too, as the agent may ask for it. */
  async start(): Promise<RunningPod> {
    const pod = await this.#cluster.createPod(podOf(this.#daemonSet, this.name));
    return this.#running = await RunningPod.start(pod, this.place);
  }

  /** Ends the pod and takes it away, as an update of the DaemonSet does. Returns how the container ended. */
  async stop(): Promise<ContainerEnd> {
    const end = await this.running.stop();
    await this.running[Symbol.asyncDispose]();
    await this.#cluster.delete(this.running.pod);
    return end;
  }

  /** Waits until the runtime of the node finds a network. */
  async untilConflist(): Promise<void> {
    await until(`see a conflist on ${this.name}`, async () => {
      return await Deno.readTextFile(this.place.root + CONFLIST).catch(() => undefined);
    }, () => this.running.logs().slice(-5).join("\n"));
  }

  /** Addresses that host-local has given to pods of the node and not got back. */
  async reserved(): Promise<string[]> {
    const networks = `${this.place.root}/var/lib/cni/networks`;
    const files = (await namesIn(networks)).map((network) => namesIn(`${networks}/${network}`));
    return (await Promise.all(files)).flat().filter((name) => /^[\d.]+$/.test(name));
  }

  /** Whether the node is marked as one without a network, as the API server has it. */
  async networkUnavailable(): Promise<string | undefined> {
    const node = await this.#cluster.server.node(this.name);
    const { conditions } = node!.status as { conditions: { type: string; status: string }[] };
    return conditions.find(({ type }) => type === "NetworkUnavailable")?.status;
  }
}

/** A cluster with the manifests applied. */
export interface DaemonWorld {
  readonly lab: Lab;
  readonly cluster: TestCluster;
  readonly nodes: readonly DaemonNode[];
  /** The manifests' objects, as the API server keeps them. */
  readonly objects: readonly KubeObject[];
  /** Attaches pods that are detached in the end. */
  readonly attach: (node: DaemonNode, serial: number) => Promise<AttachedPod>;
}

/** The DaemonSet, with further arguments for the agent. */
function withArgs(daemonSet: DaemonSet, more: readonly string[]): DaemonSet {
  const copy = structuredClone(daemonSet);
  const [agent] = copy.spec.template.spec!.containers;
  agent!.args = [...agent!.args ?? [], ...more];
  return copy;
}

/** Makes a cluster whose nodes have no network yet, runs `run` in it, and takes all away. */
export async function withDaemonWorld(
  { hosts, agentArgs = [] }: { readonly hosts: number; readonly agentArgs?: readonly string[] },
  run: (world: DaemonWorld) => Promise<void>,
): Promise<void> {
  const image = await ensureImage();
  await using cluster = await TestCluster.open();
  for (let number = 1; number <= hosts; number++) await cluster.server.createNode(unreachableNode(number));
  const objects = await applyManifests(cluster);
  const daemonSet = withArgs(
    objects.find(({ kind }) => kind === "DaemonSet") as unknown as DaemonSet,
    agentArgs,
  );
  await withOverlay({ hosts, withAgents: false }, async (lab, libc) => {
    await using stack = new AsyncDisposableStack();
    const bridge = linkIndexOf(lab.underlay.client, "switch");
    for (const [address, length] of [[SERVER_ADDRESS, 24], [SERVICE_HOST, 32]] as const) {
      addAddress(lab.underlay.client, bridge, { address: parseAddress(address), length });
    }
    const targetPort = cluster.server.port;
    const netns = lab.underlay.name;
    stack.use(await Relay.open({ netns, hostname: SERVICE_HOST, port: SERVICE_PORT, targetPort }));
    const nodes = await Promise.all(lab.hosts.map(async (host) => {
      const root = `${host.directory}/root`;
      await furnish(root);
      const { name, netns } = host;
      const address = formatAddress(host.underlayAddresses[0]!);
      return new DaemonNode({ libc, name, address, netns, root, image, cluster }, daemonSet, cluster);
    }));
    for (const node of nodes) {
      stack.defer(async () => await hasStarted(node)?.[Symbol.asyncDispose]());
    }
    const attach = async (node: DaemonNode, serial: number) => {
      return stack.use(await AttachedPod.attach(node.place, serial));
    };
    try {
      await run({ lab, cluster, nodes, objects, attach });
    } catch (error) {
      const tails = nodes.map((node) =>
        [`The last log lines on ${node.name}:`, ...logTail(node)].join("\n  ")
      );
      throw new Error([error instanceof Error ? error.message : String(error), ...tails].join("\n"), {
        cause: error,
      });
    }
  });
}

function logTail(node: DaemonNode): readonly string[] {
  return hasStarted(node)?.logs().slice(-10) ?? [];
}

function hasStarted(node: DaemonNode): RunningPod | undefined {
  try {
    return node.running;
  } catch {
    return undefined;
  }
}

/** A node as a cloud makes it: marked until its network is there. */
function unreachableNode(number: number): Record<string, unknown> {
  const conditions = [{ type: "NetworkUnavailable", status: "True", reason: "NoRouteCreated" }];
  return { ...nodeOf(number), status: { conditions } };
}
