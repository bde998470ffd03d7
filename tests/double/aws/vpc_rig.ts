import { assertEquals } from "@std/assert";
import { leastPolicy } from "../../../src/cloud/aws/policy.ts";
import { LabHost, UPLINK } from "../../../src/lab/host.ts";
import { labName, netnsNames, ownerOfNetns } from "../../../src/lab/names.ts";
import { Netns } from "../../../src/lab/netns.ts";
import { addAddress, addDefaultRoute, changeLink, linkIndexOf } from "../../../src/lab/wiring.ts";
import { Libc } from "../../../src/linux/libc.ts";
import { formatAddress, formatPrefix, parseAddress } from "../../../src/model/address.ts";
import { awsConfig, CLUSTER } from "../../cloud/aws/aws_rig.ts";
import { EtcdServer } from "../etcd.ts";
import { httpGet } from "../overlay_http.ts";
import { agentCommand, statusOf, until, untilReady } from "../overlay_rig.ts";
import { ETCD_PREFIX } from "../overlay_servers.ts";
import { Relay } from "../relay.ts";
import { FakeAws } from "./fake_aws.ts";
import type { PolicyDocument } from "./policy.ts";
import type { NetworkInterface, Tags } from "./resources.ts";
import { ROUTER_IPV6, routerOf, VpcRouter } from "./vpc_router.ts";

const TAGS: Tags = { "flannel.io/cluster": CLUSTER };
/** Where hosts reach the registry, EC2 and STS; and their metadata services, each at a port of its own. */
const SERVICES = "192.0.2.254";
const METADATA = "169.254.169.254";
const PORTS = { etcd: 2379, ec2: 8001, sts: 8002, imds: 8100 } as const;
/** The name of the role that hosts have. */
export const ROLE = "node";

/** What a host is to be. */
export interface VpcHostOptions {
  /** Which of the two subnets it is in. */
  readonly subnet?: 0 | 1;
  /** Without one, its metadata service has no credentials. */
  readonly hasRole?: boolean;
  /** Variables for the agent. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** An instance with a real agent. */
export class VpcHost {
  constructor(
    readonly rig: VpcRig,
    readonly lab: LabHost,
    readonly instanceId: string,
    readonly eni: NetworkInterface,
    /** Where it finds AWS's services. */
    readonly environment: Readonly<Record<string, string>>,
  ) {}

  get name(): string {
    return this.lab.name;
  }

  /** Its subnets, as text. */
  get subnets(): readonly string[] {
    return this.lab.share.subnets.map(formatPrefix);
  }

  /** Starts the agent, and a pod if there is none yet. */
  async start(): Promise<void> {
    this.lab.startAgent(this.rig.flags);
    await this.lab.waitForSubnets();
  }

  /** Ends the agent, and starts another. */
  async restart(): Promise<void> {
    await this.lab.stopAgent();
    await this.start();
  }

  ready(): Promise<void> {
    return untilReady(this.rig.libc, this.lab);
  }

  /** Attaches a new ENI, or `eni`, as an operator does, and configures its link as AWS's own scripts do. */
  async attach(
    { subnet, eni: given }: { readonly subnet: 0 | 1; readonly eni?: NetworkInterface },
  ): Promise<NetworkInterface> {
    const { aws: { cloud }, router, subnetIds } = this.rig;
    const eni = given ?? cloud.addInterface(subnetIds[subnet], { isIpv6: true, tags: TAGS });
    const deviceIndex = cloud.interfacesOf(this.instanceId).length;
    cloud.plug(eni, this.instanceId, deviceIndex);
    cloud.changed();
    await router.settled();
    const { netns } = this.lab;
    const link = `eth${deviceIndex}`;
    netns.writeSysctl(`net/ipv4/conf/${link}/rp_filter`, "2");
    await netns.mustExec("ip", "link", "set", link, "up");
    for (const address of [`${eni.addresses[0]}/24`, `${eni.ipv6Addresses[0]}/128`]) {
      await netns.mustExec("ip", "address", "add", address, "dev", link, "noprefixroute");
    }
    return eni;
  }

  /** Takes an ENI away, as an operator does. */
  async detach(eni: NetworkInterface): Promise<void> {
    eni.attachment = undefined;
    this.rig.aws.cloud.changed();
    await this.rig.router.settled();
  }

  /** Has the host know nothing of before, as after its disk was replaced. */
  async forget(): Promise<void> {
    const { directory, machineIdPath } = this.lab;
    for await (const { name } of Deno.readDir(directory)) {
      const path = `${directory}/${name}`;
      if (path !== machineIdPath && path !== this.lab.logPath) await Deno.remove(path, { recursive: true });
    }
  }

  /** What is wrong with it, by code. */
  async conditions(): Promise<Readonly<Record<string, string>>> {
    const status = await statusOf(this.rig.libc, this.lab);
    return Object.fromEntries(
      (status?.conditions ?? []).map(({ code, reason }) => [code, reason]),
    );
  }

  /** Waits until a condition holds and says `words`. */
  async until(code: string, words: string): Promise<void> {
    let seen = "nothing";
    await until(`hear ${code} of ${this.name}`, async () => {
      const conditions = await this.conditions();
      seen = JSON.stringify(conditions);
      return conditions[code]?.includes(words) || undefined;
    }, () => seen);
  }

  /** Waits until no condition of its cloud holds. */
  async untilCalm(): Promise<void> {
    let seen = "nothing";
    await until(`see the cloud of ${this.name} right`, async () => {
      const conditions = await this.conditions();
      seen = JSON.stringify(conditions);
      return Object.keys(conditions).some((code) => code.startsWith("cloud-")) ? undefined : true;
    }, () => seen);
  }

  async isReady(): Promise<boolean> {
    return (await httpGet(this.rig.libc, this.lab.netns, "/readyz"))?.status === 200;
  }

  /**
   * Has the agent look at the cloud now, as it does when its host has other addresses: one is taken away, and given back.
   * Resolves when the second look has begun.
   */
  async nudge(): Promise<void> {
    await this.#changeIpv6("delete");
    await this.#changeIpv6("add");
  }

  async #changeIpv6(verb: "add" | "delete"): Promise<void> {
    const { control } = this.rig.aws;
    const before = control.count("*", this.instanceId);
    const address = `${this.eni.ipv6Addresses[0]}/128`;
    await this.lab.netns.mustExec("ip", "-6", "address", verb, address, "dev", UPLINK);
    await until(`have ${this.name} look`, () => control.count("*", this.instanceId) > before || undefined);
  }
}

/**
 * A VPC of network namespaces: its router (`VpcRouter`), hosts with real agents in its two subnets, a real etcd, and AWS's
 * double, whose services hosts reach as they would AWS's.
 */
export class VpcRig implements AsyncDisposable {
  readonly hosts: VpcHost[] = [];
  /** For the agents, besides those that a rig has anyway. */
  readonly moreFlags: string[] = [];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly libc: Libc,
    readonly aws: FakeAws,
    readonly etcd: EtcdServer,
    readonly router: VpcRouter,
    readonly directory: string,
    readonly labName: string,
    readonly subnetIds: readonly [string, string],
    readonly tableId: string,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
  }

  /** @param keys Of `Backend`. */
  static async open(keys: Readonly<Record<string, unknown>> = {}): Promise<VpcRig> {
    await using stack = new AsyncDisposableStack();
    const libc = stack.use(new Libc());
    const directory = await Deno.makeTempDir({ prefix: "loden-vpc-" });
    stack.defer(() => Deno.remove(directory, { recursive: true }));
    const aws = stack.use(FakeAws.open());
    const { cloud, identities } = aws;
    const vpc = cloud.addVpc({ cidr: "10.0.0.0/16", ipv6Cidrs: ["2001:db8:1::/56"], tags: TAGS });
    const addSubnet = (number: number) =>
      cloud.addSubnet(vpc.id, { cidr: `10.0.${number}.0/24`, ipv6Cidr: `2001:db8:1:${number}::/64` });
    const [a, b] = [addSubnet(1), addSubnet(2)];
    const table = cloud.addRouteTable(vpc.id, { subnetIds: [a.id, b.id], tags: TAGS });
    identities.addRole(ROLE, [policyOf(aws, keys)]);
    const etcd = stack.use(await EtcdServer.open());
    await etcd.put(
      `${ETCD_PREFIX}/config`,
      JSON.stringify({
        Network: "10.244.0.0/16",
        EnableIPv6: true,
        IPv6Network: "fd00:10:244::/56",
        Backend: { Type: "aws-vpc", Cluster: CLUSTER, ...keys },
      }),
    );
    const [name, netns] = await claim(libc);
    stack.use(netns);
    const router = VpcRouter.open(libc, netns, cloud);
    stack.use(router);
    for (const text of [SERVICES, METADATA]) router.addAddress(text);
    const rig = new VpcRig(libc, aws, etcd, router, directory, name, [a.id, b.id], table.id, stack.move());
    await Promise.all([
      rig.relay(SERVICES, PORTS.etcd, etcd.port),
      rig.relay(SERVICES, PORTS.ec2, aws.ec2.port),
      rig.relay(SERVICES, PORTS.sts, aws.sts.port),
    ]);
    return rig;
  }

  /** Has hosts reach a server on the loopback at an address of the router's. */
  async relay(hostname: string, port: number, targetPort: number): Promise<void> {
    this.#stack.use(await Relay.open({ netns: this.router.netns.name, hostname, port, targetPort }));
  }

  get flags(): readonly string[] {
    return ["-local-registry=", `-etcd-endpoints=http://${SERVICES}:${PORTS.etcd}`, ...this.moreFlags];
  }

  /** The least policy of a configuration. */
  policy(keys: Readonly<Record<string, unknown>> = {}): PolicyDocument {
    return policyOf(this.aws, keys);
  }

  /** Starts an instance, without an agent yet. */
  async addHost(
    { subnet = 0, hasRole = true, environment: more = {} }: VpcHostOptions = {},
  ): Promise<VpcHost> {
    const { cloud } = this.aws;
    const number = this.hosts.length + 1;
    const place = cloud.subnets.get(this.subnetIds[subnet])!;
    const { instance, eni } = cloud.runInstance(place.id, {
      tags: TAGS,
      isIpv6: true,
      ...hasRole && { role: ROLE },
    });
    eni.tags = TAGS;
    const { port } = this.aws.openImds(instance.id);
    const imdsPort = PORTS.imds + number;
    await this.relay(METADATA, imdsPort, port);
    const [ipv4, ipv6] = [eni.addresses[0]!, eni.ipv6Addresses[0]!].map(parseAddress) as [
      ReturnType<typeof parseAddress>,
      ReturnType<typeof parseAddress>,
    ];
    const placements = [
      { address: ipv4, length: 24, gateway: routerOf(place.cidr) },
      { address: ipv6, length: 128, gateway: parseAddress(ROUTER_IPV6) },
    ];
    const environment = {
      AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://${METADATA}:${imdsPort}`,
      AWS_ENDPOINT_URL_EC2: `http://${SERVICES}:${PORTS.ec2}`,
      AWS_ENDPOINT_URL_STS: `http://${SERVICES}:${PORTS.sts}`,
      ...more,
    };
    const lab = await LabHost.create(this.libc, {
      ...{ number, labName: this.labName, placements, directory: this.directory },
      registryPath: `${this.directory}/registry.db`,
      networkConfigPath: `${this.directory}/net-conf.json`,
      agentCommand,
      agentEnvironment: environment,
      underlayFlags: [`-iface=${UPLINK}`],
    }, { signal: new AbortController().signal });
    this.#stack.use(lab);
    await this.router.connect(instance.id, lab.netns);
    const uplink = linkIndexOf(lab.client, UPLINK);
    changeLink(lab.client, uplink, { isUp: true });
    for (const placement of placements) {
      addAddress(lab.client, uplink, placement);
      addDefaultRoute(lab.client, uplink, placement.gateway);
    }
    const host = new VpcHost(this, lab, instance.id, eni, environment);
    this.hosts.push(host);
    return host;
  }

  /** Starts instances in both subnets in turn, their agents, and a pod on each. */
  async addHosts(count: number, options: VpcHostOptions = {}): Promise<readonly VpcHost[]> {
    const hosts: VpcHost[] = [];
    for (let at = 0; at < count; at++) {
      hosts.push(await this.addHost({ subnet: at % 2 === 0 ? 0 : 1, ...options }));
    }
    await this.startAll(hosts);
    return hosts;
  }

  /** Starts the agent of each host, and makes a pod. */
  async startAll(hosts: readonly VpcHost[]): Promise<void> {
    await Promise.all(hosts.map((host) => host.start()));
    for (const host of hosts) await host.lab.makePod();
  }

  /** The routes to pods, as `DESTINATION NAME` of the host whose ENI they lead to. */
  routes(): readonly string[] {
    return this.aws.cloud.routeTables.get(this.tableId)!.routes.filter(({ target }) => target !== "local")
      .map(({ destination, target }) => {
        const instance = this.aws.cloud.interfaces.get(target)?.attachment?.instanceId;
        return `${destination} ${
          this.hosts.find(({ instanceId }) => instanceId === instance)?.name ?? target
        }`;
      }).sort();
  }

  /** The ENIs that routes to pods lead to, in the order in which they were made. */
  targets(): readonly string[] {
    const targets = this.aws.cloud.routeTables.get(this.tableId)!.routes.map(({ target }) => target);
    return [...new Set(targets)].filter((target) => target !== "local").sort();
  }

  /** The routes that hosts' subnets are to have. */
  routesOf(hosts: readonly VpcHost[]): readonly string[] {
    return hosts.flatMap(({ name, subnets }) => subnets.map((subnet) => `${subnet} ${name}`)).sort();
  }

  /** Calls that change something, since the last time that this was asked. */
  writes(): readonly string[] {
    const { control } = this.aws;
    const writes = control.calls.filter(({ service, action }) =>
      service === "ec2" && !action.startsWith("Describe")
    ).map(({ action }) => action);
    control.forgetCalls();
    return writes;
  }

  /** Reports whether the pod of a host answers that of another. */
  async answers(from: VpcHost, to: VpcHost, family: 0 | 1 = 0): Promise<boolean> {
    const address = formatAddress(to.lab.pod.addresses[family]!);
    return (await from.lab.podExec("ping", "-n", "-c1", "-W1", address)).code === 0;
  }

  /** Reports whether a host answers the pod of another, and that pod this host. */
  async answersHost(host: VpcHost, other: VpcHost, family: 0 | 1): Promise<boolean> {
    const ping = ["ping", "-n", "-c1", "-W1"] as const;
    const address = [host.eni.addresses, host.eni.ipv6Addresses][family]![0]!;
    const pod = formatAddress(other.lab.pod.addresses[family]!);
    const results = [await other.lab.podExec(...ping, address), await host.lab.exec(...ping, pod)];
    return results.every(({ code }) => code === 0);
  }

  /** Has an instance end for good, as by an operator's hand: its agent is killed with it. */
  async terminate(host: VpcHost): Promise<void> {
    await host.lab.stopAgent("SIGKILL");
    this.aws.cloud.setState(host.instanceId, "terminated");
    await this.router.settled();
  }

  /** Removes the lease of a host, as its end does in time. */
  async forget(host: VpcHost): Promise<void> {
    const leases = await this.etcd.list(`${ETCD_PREFIX}/subnets/`);
    const [own] = host.subnets;
    for (const key of Object.keys(leases)) {
      if (key.includes(own!.replace("/", "-"))) await this.etcd.delete(key);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.hosts.map(({ lab }) => lab.agent?.stop("SIGTERM", 2000)));
    await this.#stack.disposeAsync();
    assertEquals((await netnsNames()).filter((name) => ownerOfNetns(name) === Deno.pid), []);
  }
}

/** Opens a rig, runs `run` in it, and tells of the agents' logs if that fails. */
export async function withVpc(
  run: (rig: VpcRig) => Promise<void>,
  keys: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await using rig = await VpcRig.open(keys);
  try {
    await run(rig);
  } catch (error) {
    const tails = await Promise.all(rig.hosts.map(({ lab }) => lab.logTail()));
    throw new Error([error instanceof Error ? error.message : String(error), ...tails].join("\n"), {
      cause: error,
    });
  }
}

function policyOf({ cloud }: FakeAws, keys: Readonly<Record<string, unknown>>): PolicyDocument {
  const { region, account } = cloud;
  return leastPolicy(awsConfig(keys), { partition: "aws", region, account, cluster: CLUSTER });
}

/** Takes the first name that is free. */
async function claim(libc: Libc): Promise<readonly [string, Netns]> {
  const taken = await netnsNames();
  for (let serial = 1;; serial++) {
    const name = labName(Deno.pid, serial);
    if (taken.includes(`${name}-underlay`)) continue;
    const options = { signal: new AbortController().signal };
    return [name, await Netns.create(libc, `${name}-underlay`, options)];
  }
}
