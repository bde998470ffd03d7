import { EniPathKeeper } from "../../src/agent/eni_path_keeper.ts";
import { watchEniPath } from "../../src/agent/eni_path_watch.ts";
import type { EniPathWanted } from "../../src/host/eni_path.ts";
import { Libc } from "../../src/linux/libc.ts";
import { Trigger } from "../../src/loop/trigger.ts";
import { inTurns } from "../../src/loop/worker.ts";
import { parseAddress, parseMac, parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import type { NetlinkSocket } from "../../src/netlink/socket.ts";
import { TestNetns } from "./netns.ts";
import { RecordedLog } from "./recorded_log.ts";

/** The MAC of the second network interface. */
const ENI_MAC = "02:00:00:00:09:10";

/** Passes are asked for, and come by themselves after the test is over. */
const PERIOD_MS = 600_000;

const WANTED: EniPathWanted = {
  interfaceId: "eni-0009",
  mac: parseMac(ENI_MAC),
  addresses: ["10.0.9.10", "2001:db8:9::10"].map(parseAddress),
  subnetPrefixes: ["10.0.9.0/24", "2001:db8:9::/64"].map(parsePrefix),
  vpcPrefixes: ["10.0.0.0/16", "2001:db8::/32"].map(parsePrefix),
  isManaged: false,
  mtuBytes: 1500,
  own: ["10.244.1.0/24", "fd00:10:244:1::/64"].map(parsePrefix),
  networks: ["10.244.0.0/16", "fd00:10:244::/48"].map(parsePrefix),
};

/**
 * A VPC of three namespaces beside a pod's: an instance with two network interfaces, of which the route table leads
 * packets for pods to the second; the router, which drops what has a foreign source and comes from the first, and
 * lets all pass from the second; and another host with an address of the VPC and one of a pod.
 */
export class VpcWorld implements AsyncDisposable {
  readonly log = new RecordedLog();
  readonly trigger = new Trigger();
  /** Milliseconds of the keeper's clock. */
  readonly clock = { ms: 0 };
  readonly client: NetlinkClient;
  readonly keeper: EniPathKeeper;
  /** What is looked for in each pass; changed by `want()`. */
  wanted: EniPathWanted | undefined = WANTED;
  readonly #stop = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly host: TestNetns,
    readonly pod: TestNetns,
    readonly router: TestNetns,
    readonly other: TestNetns,
    readonly libc: Libc,
    readonly transport: NetlinkSocket,
    stack: AsyncDisposableStack,
  ) {
    this.#stack = stack;
    this.client = new NetlinkClient(transport);
    const { client, log } = this;
    const elapsedMs = () => this.clock.ms;
    this.keeper = new EniPathKeeper({
      client,
      libc,
      networks: WANTED.networks,
      linkLost: () => {},
      elapsedMs,
      log,
    });
  }

  static async create(): Promise<VpcWorld> {
    await using stack = new AsyncDisposableStack();
    const netns = async () => stack.use(await TestNetns.create());
    const [host, pod, router, other] = [await netns(), await netns(), await netns(), await netns()];
    const libc = stack.use(new Libc());
    const transport = stack.use(host.openTransport(libc));
    for (const one of [host, router]) {
      await one.writeSysctl("net/ipv4/ip_forward", "1");
      await one.writeSysctl("net/ipv6/conf/all/forwarding", "1");
    }
    await join(host, "eth0", router, "r0");
    await makeUp(router, "r0", "10.0.1.1/24", "fe80:ec2::1/64");
    await makeUp(host, "eth0", "10.0.1.10/24", "2001:db8:1::10/64");
    await host.ip("route", "add", "default", "via", "10.0.1.1");
    await host.ip("-6", "route", "add", "default", "via", "fe80:ec2::1", "dev", "eth0");
    await join(other, "eth0", router, "r2");
    await makeUp(router, "r2", "10.0.2.1/24", "2001:db8:2::1/64");
    await makeUp(other, "eth0", "10.0.2.20/24", "2001:db8:2::20/64");
    await makeUp(other, "lo", "10.244.2.5/32", "fd00:10:244:2::5/128", "203.0.113.7/32");
    await router.ip("route", "add", "203.0.113.0/24", "via", "10.0.2.20");
    await other.ip("route", "add", "default", "via", "10.0.2.1");
    await other.ip("-6", "route", "add", "default", "via", "2001:db8:2::1");
    await router.ip("route", "add", "10.244.2.0/24", "via", "10.0.2.20");
    await router.ip("-6", "route", "add", "fd00:10:244:2::/64", "via", "2001:db8:2::20");
    await router.ip("-6", "route", "add", "2001:db8:1::/64", "dev", "r0");
    await host.ip("link", "add", "cni0", "type", "bridge");
    await makeUp(host, "cni0", "10.244.1.1/24", "fd00:10:244:1::1/64");
    await join(pod, "eth0", host, "veth1");
    await host.ip("link", "set", "veth1", "master", "cni0", "up");
    await makeUp(pod, "eth0", "10.244.1.2/24", "fd00:10:244:1::2/64");
    await pod.ip("route", "add", "default", "via", "10.244.1.1");
    await pod.ip("-6", "route", "add", "default", "via", "fd00:10:244:1::1");
    await checkSources(router);
    return new VpcWorld(host, pod, router, other, libc, transport, stack.move());
  }

  /** Attaches the second network interface, as the cloud does it: with nothing but a MAC, and down. */
  async attach(name = "eth1", mac = ENI_MAC): Promise<void> {
    await join(this.host, name, this.router, "r1");
    await this.host.ip("link", "set", name, "address", mac);
    await makeUp(this.router, "r1", "10.0.9.1/24", "fe80:ec2::1/64");
    // A VPC leads packets to a network interface, and asks nobody for its MAC.
    const to = ["lladdr", mac, "dev", "r1", "nud", "permanent"];
    await this.router.ip("neigh", "replace", "10.0.9.10", ...to);
    await this.router.ip("neigh", "replace", "fe80::9", ...to);
    await this.router.ip("neigh", "replace", "2001:db8:9::10", ...to);
    await this.router.ip("route", "replace", "10.244.1.0/24", "via", "10.0.9.10", "dev", "r1");
    await this.router.ip("-6", "route", "replace", "fd00:10:244:1::/64", "via", "fe80::9", "dev", "r1");
    await this.router.ip("-6", "route", "replace", "2001:db8:9::/64", "dev", "r1");
  }

  /** Configures its link, as the instance's own programs do it. */
  async configure(name = "eth1"): Promise<void> {
    await this.host.ip("address", "add", "10.0.9.10/24", "dev", name, "noprefixroute");
    await this.host.ip("address", "add", "2001:db8:9::10/64", "dev", name, "nodad", "noprefixroute");
    await this.host.ip("link", "set", name, "up");
  }

  /** What is wanted from now on, as a change of what is wanted at first. */
  want(change: Partial<EniPathWanted> | undefined): void {
    this.wanted = change && { ...WANTED, ...change };
    this.trigger.nudge();
  }

  /** Looks once. */
  look(): void {
    this.libc.inNetns(this.host.path, () => this.keeper.look(this.wanted));
  }

  /** Looks whenever the watch says so, as passes do. */
  start(): void {
    const { signal } = this.#stop;
    const { libc, trigger, keeper, transport } = this;
    const pass = inTurns(() => this.look(), { trigger, periodMs: PERIOD_MS });
    this.#running = Promise.all([
      pass({ signal }),
      watchEniPath({
        keeper,
        open: (groups) => this.host.openNotifications(libc, { groups }),
        ownPortId: transport.portId,
        nudge: () => trigger.nudge(),
      }, { signal }),
    ]);
  }

  /** Whether a ping from the other host to the pod is answered. */
  async isAnswered(from: string): Promise<boolean> {
    const to = from.includes(":") ? "fd00:10:244:1::2" : "10.244.1.2";
    return (await this.other.run("ping", "-n", "-c", "1", "-W", "1", "-I", from, to)).code === 0;
  }

  /** How many packets were dropped for their source, of each family. */
  async dropped(): Promise<number[]> {
    const { stdout } = await this.router.run("nft", "list", "table", "inet", "check");
    return [...stdout.matchAll(/packets (\d+)/g)].map((match) => Number(match[1]));
  }

  /** Ours, as ip(8) shows them. */
  async shown(): Promise<string[]> {
    const { host } = this;
    const rules = await Promise.all([["-4"], ["-6"]].map((family) => host.ip(...family, "rule", "show")));
    const routes = await Promise.all(
      [["-4"], ["-6"]].map((family) => host.run("ip", ...family, "route", "show", "table", "7676")),
    );
    return [
      ...rules.flatMap((text) => text.split("\n")).filter((line) => line.startsWith("7676:")),
      ...routes.flatMap(({ stdout }) => stdout.split("\n")),
    ].map((line) => line.trim().replaceAll(/\s+/g, " ")).filter((line) => line !== "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#stack.disposeAsync();
  }
}

async function join(netns: TestNetns, name: string, far: TestNetns, farName: string): Promise<void> {
  await netns.ip("link", "add", name, "type", "veth", "peer", "name", farName, "netns", far.name);
}

async function makeUp(netns: TestNetns, name: string, ...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const isIpv6 = address.includes(":");
    await netns.ip("address", "add", address, "dev", name, ...isIpv6 ? ["nodad"] : []);
  }
  await netns.ip("link", "set", name, "up");
}

/** The source check of a network interface: only its own addresses come from it. */
async function checkSources(router: TestNetns): Promise<void> {
  const rules = [
    "add table inet check",
    "add chain inet check from { type filter hook prerouting priority 0; }",
    "add rule inet check from iifname r0 ip saddr != 10.0.1.10 counter drop",
    "add rule inet check from iifname r0 ip6 saddr != { 2001:db8:1::10, fe80::/10, :: } counter drop",
  ];
  for (const rule of rules) {
    const { code, stderr } = await router.run("nft", rule);
    if (code !== 0) throw new Error(`Cannot make a source check: ${stderr}`);
  }
}
