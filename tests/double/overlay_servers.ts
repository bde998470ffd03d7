import { AF_INET, AF_INET6, type Family, parseAddress } from "../../src/model/address.ts";
import type { Lab } from "../../src/lab/lab.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { addAddress, linkIndexOf } from "../../src/lab/wiring.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { ApiServerDouble, type TestApiServer } from "./api_server.ts";
import { EtcdServer, ROOT } from "./etcd.ts";
import { KubeApiServer } from "./kube_apiserver.ts";
import { untilSettled, withOverlay } from "./overlay_rig.ts";
import { Relay } from "./relay.ts";
import { RudeFront } from "./rude_front.ts";

/** Where the hosts of a lab reach the server of their registry: the switch that they are on. */
export const SERVER_ADDRESS = "192.0.2.254";
const ETCD_PORT = 2379;
const API_PORT = 6443;
/** What the keys of the lab begin with. */
export const ETCD_PREFIX = "/coreos.com/network";

/** Three hosts that are members of an overlay, and the server in which they agree. */
export interface ServedOverlay<S> {
  readonly lab: Lab;
  readonly libc: Libc;
  readonly server: S;
  /** What stands between hosts and server. */
  readonly relay: Relay;
  /** What answers in the server's place when it is told to, if that was asked for. */
  readonly front: RudeFront | undefined;
  /** What the agents are started with. */
  readonly flags: readonly string[];
  /** Takes the server away, or brings it back, as the hosts see it. */
  readonly stopServer: () => Promise<void>;
  readonly startServer: () => Promise<void>;
}

/** What hosts of an overlay may be asked to be. */
export interface ServedOptions {
  /** Of underlay and overlay, IPv4 first; IPv4 alone if absent. */
  readonly families?: readonly Family[];
  /** What the cluster calls the node of a host; as the host itself if absent. */
  readonly nodeName?: (hostName: string) => string;
  /** What each agent chooses its underlay by; the link that the lab gives it if absent. */
  readonly underlayFlags?: readonly string[];
  /** Whether a front stands before the server. */
  readonly withFront?: true;
  /** Whether etcd wants a user and a password. */
  readonly withUsers?: true;
  /** Whether etcd and hosts show each other certificates. */
  readonly withTls?: true;
}

/** Opens a lab whose hosts keep their leases in a real etcd, and waits until every pod answers every other. */
export async function withEtcdOverlay(
  run: (overlay: ServedOverlay<EtcdServer>) => Promise<void>,
  options: ServedOptions = {},
): Promise<void> {
  const { families = [AF_INET], withTls, withUsers } = options;
  await using server = await EtcdServer.open({
    addresses: [SERVER_ADDRESS],
    ...withTls && { tls: "both" },
    ...withUsers && { withUsers },
  });
  await server.put(`${ETCD_PREFIX}/config`, JSON.stringify(defaultNetworkConfig(families)));
  const { caFile, certFile, keyFile } = server.access.tls;
  const flags = [
    ...["-local-registry=", `-etcd-endpoints=http${withTls ? "s" : ""}://${SERVER_ADDRESS}:${ETCD_PORT}`],
    ...withUsers ? [`-etcd-username=${ROOT.name}`, `-etcd-password=${ROOT.password}`] : [],
    ...withTls ? [`-etcd-cafile=${caFile}`, `-etcd-certfile=${certFile}`, `-etcd-keyfile=${keyFile}`] : [],
  ];
  const { underlayFlags, withFront } = options;
  const labOptions = { withAgents: false, families, ...underlayFlags && { underlayFlags } };
  await withOverlay(
    labOptions,
    (lab, libc) => serve(lab, libc, server, { port: ETCD_PORT, flags, withFront }, run),
  );
}

/** The same with annotations of nodes, in a real API server or in the double. */
export async function withKubeOverlay(
  kind: "real" | "double",
  run: (overlay: ServedOverlay<TestApiServer>) => Promise<void>,
  { families = [AF_INET], nodeName = (hostName) => hostName, underlayFlags, withFront }: ServedOptions = {},
): Promise<void> {
  await using server: TestApiServer = kind === "real"
    ? await KubeApiServer.open({ addresses: [SERVER_ADDRESS] })
    : await ApiServerDouble.open();
  for (let number = 1; number <= 3; number++) {
    await server.createNode(nodeOf(number, { name: nodeName(`h${number}`), families }));
  }
  const agentEnvironment = (hostName: string) => ({ NODE_NAME: nodeName(hostName) });
  const options = { withAgents: false, families, agentEnvironment, ...underlayFlags && { underlayFlags } };
  await withOverlay(options, async (lab, libc) => {
    const kubeconfig = `${lab.directory}/kubeconfig`;
    const scheme = server.caFile === undefined ? "http" : "https";
    const cluster = {
      server: `${scheme}://${SERVER_ADDRESS}:${API_PORT}`,
      ...server.caFile !== undefined && { "certificate-authority": server.caFile },
    };
    await Deno.writeTextFile(
      kubeconfig,
      JSON.stringify({
        "current-context": "lab",
        contexts: [{ name: "lab", context: { cluster: "lab", user: "agent" } }],
        clusters: [{ name: "lab", cluster }],
        users: [{ name: "agent", user: { token: server.tokens.agent } }],
      }),
    );
    const flags = ["-local-registry=", "-kube-subnet-mgr", `-kubeconfig-file=${kubeconfig}`];
    await serve(lab, libc, server, { port: API_PORT, flags, withFront }, run);
  });
}

/** The node of host `number`, as the cluster makes it. */
export function nodeOf(
  number: number,
  { name = `h${number}`, families = [AF_INET] }: { name?: string; families?: readonly Family[] } = {},
): Record<string, unknown> {
  const podCIDRs = [
    ...families.includes(AF_INET) ? [`10.244.${number}.0/24`] : [],
    ...families.includes(AF_INET6) ? [`fd00:10:244:${number}::/64`] : [],
  ];
  return { metadata: { name }, spec: { podCIDR: podCIDRs[0], podCIDRs } };
}

/** A server that is started and ended by tests. */
interface Served {
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

async function serve<S extends Served>(
  lab: Lab,
  libc: Libc,
  server: S,
  { port, flags, withFront }: {
    readonly port: number;
    readonly flags: readonly string[];
    readonly withFront: true | undefined;
  },
  run: (overlay: ServedOverlay<S>) => Promise<void>,
): Promise<void> {
  const bridge = linkIndexOf(lab.underlay.client, "switch");
  addAddress(lab.underlay.client, bridge, { address: parseAddress(SERVER_ADDRESS), length: 24 });
  await using front = withFront && new RudeFront(server.url);
  const targetPort = front?.port ?? server.port;
  const options = { netns: lab.underlay.name, hostname: SERVER_ADDRESS, port, targetPort };
  await using relay = await Relay.open(options);
  await startAll(lab, libc, flags);
  await run({
    lab,
    libc,
    server,
    relay,
    front,
    flags,
    stopServer: async () => {
      await relay.stop();
      await server.stop();
    },
    startServer: async () => {
      await server.start();
      await relay.start();
    },
  });
}

/** Starts an agent and makes a pod on each host, and waits until every pod answers every other. */
export async function startAll(lab: Lab, libc: Libc, flags: readonly string[]): Promise<void> {
  await Promise.all(lab.hosts.map(async (host) => {
    host.startAgent(flags);
    await host.waitForSubnets();
    await host.makePod();
  }));
  await untilSettled(lab, libc);
}

/** Pings between all hosts but `left`, in both directions. */
export function pairsWithout(lab: Lab, left?: LabHost): readonly (readonly [from: LabHost, to: LabHost])[] {
  const hosts = lab.hosts.filter((host) => host !== left);
  return hosts.flatMap((from) => hosts.filter((to) => to !== from).map((to) => [from, to] as const));
}
