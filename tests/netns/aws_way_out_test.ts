import { assertEquals, assertStringIncludes } from "@std/assert";
import { AgentProcess } from "../../src/lab/agent_process.ts";
import type { Cloud } from "../double/aws/cloud.ts";
import { FakeAws } from "../double/aws/fake_aws.ts";
import type { NetworkInterface, RouteTable } from "../double/aws/resources.ts";
import { agentCommand, until } from "../double/overlay_rig.ts";
import { Relay } from "../double/relay.ts";
import { VpcWorld } from "../double/vpc_world.ts";

const EC2_PORT = 4566;
const IMDS_PORT = 4567;
const TAGS = { "flannel.io/cluster": "blue" };

const NET_CONF = {
  Network: "10.244.0.0/16",
  SubnetMin: "10.244.1.0",
  SubnetMax: "10.244.1.0",
  EnableIPv6: true,
  IPv6Network: "fd00:10:244::/48",
  IPv6SubnetMin: "fd00:10:244:1::",
  IPv6SubnetMax: "fd00:10:244:1::",
};

/** What the kernel must hold, but for the link's name. */
const ALL = [
  "7676: from 10.244.1.0/24 lookup 7676 proto 76",
  "7676: from fd00:10:244:1::/64 lookup 7676 proto 76",
  "10.0.0.0/16 via 10.0.9.1 dev eth1 proto 76 onlink",
  "10.244.0.0/16 via 10.0.9.1 dev eth1 proto 76 onlink",
  "throw 10.244.1.0/24 proto 76",
  "2001:db8::/44 via fe80:ec2::1 dev eth1 proto 76 metric 1024 onlink pref medium",
  "throw fd00:10:244:1::/64 dev lo proto 76 metric 1024 pref medium",
  "fd00:10:244::/48 via fe80:ec2::1 dev eth1 proto 76 metric 1024 onlink pref medium",
];

/** An instance of a VPC, with what its agent needs; its second subnet is for the network interface of pods. */
class AwsInstance implements AsyncDisposable {
  readonly cloud: Cloud;
  readonly table: RouteTable;
  readonly instanceId: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    readonly world: VpcWorld,
    readonly folder: string,
    { cloud, table, instanceId }: Pick<AwsInstance, "cloud" | "table" | "instanceId">,
    stack: AsyncDisposableStack,
  ) {
    this.cloud = cloud;
    this.table = table;
    this.instanceId = instanceId;
    this.#stack = stack;
  }

  static async open(): Promise<AwsInstance> {
    await using stack = new AsyncDisposableStack();
    const world = stack.use(await VpcWorld.create());
    const aws = stack.use(FakeAws.open());
    const { cloud, identities } = aws;
    const vpc = cloud.addVpc({ cidr: "10.0.0.0/16", ipv6Cidrs: ["2001:db8::/44"], tags: TAGS });
    const first = cloud.addSubnet(vpc.id, { cidr: "10.0.1.0/24", ipv6Cidr: "2001:db8:1::/64" });
    const second = cloud.addSubnet(vpc.id, { cidr: "10.0.9.0/24", ipv6Cidr: "2001:db8:9::/64" });
    const table = cloud.addRouteTable(vpc.id, { subnetIds: [first.id, second.id], tags: TAGS });
    identities.addRole("node", [{
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: "ec2:*", Resource: "*" }],
    }]);
    const { instance } = cloud.runInstance(first.id, {
      address: "10.0.1.10",
      isIpv6: true,
      role: "node",
      tags: TAGS,
    });
    const imds = aws.openImds(instance.id);
    const relay = (port: number, targetPort: number) =>
      Relay.open({ netns: world.host.name, hostname: "127.0.0.1", port, targetPort });
    stack.use(await relay(EC2_PORT, aws.ec2.port));
    stack.use(await relay(IMDS_PORT, imds.port));
    const folder = await Deno.makeTempDir({ prefix: "lodentest-aws-" });
    stack.defer(() => Deno.remove(folder, { recursive: true }));
    return new AwsInstance(world, folder, { cloud, table, instanceId: instance.id }, stack.move());
  }

  /** The subnet that the network interface of pods is in. */
  get subnetId(): string {
    return [...this.cloud.subnets.values()].find(({ cidr }) => cidr === "10.0.9.0/24")!.id;
  }

  /** The network interface with an index, once there is such. */
  eni(deviceIndex: number): Promise<NetworkInterface> {
    return until(
      `see network interface ${deviceIndex}`,
      () =>
        this.cloud.interfacesOf(this.instanceId).find(({ attachment }) =>
          attachment!.deviceIndex === deviceIndex
        ),
    );
  }

  async start(backend: Record<string, unknown>): Promise<AgentProcess> {
    const { folder, world, cloud } = this;
    const text = JSON.stringify({ ...NET_CONF, Backend: { Type: "aws-vpc", Cluster: "blue", ...backend } });
    await Deno.writeTextFile(`${folder}/net-conf.json`, text);
    const agent = AgentProcess.start({
      netns: world.host.name,
      logPath: `${folder}/log`,
      environment: {
        AWS_REGION: cloud.region,
        AWS_ENDPOINT_URL_EC2: `http://127.0.0.1:${EC2_PORT}`,
        AWS_EC2_METADATA_SERVICE_ENDPOINT: `http://127.0.0.1:${IMDS_PORT}`,
      },
      command: [
        ...agentCommand,
        `-local-registry=${folder}/registry.db`,
        `-net-config-path=${folder}/net-conf.json`,
        `-subnet-file=${folder}/subnet.env`,
        `-lease-cache=${folder}/leases.json`,
        "-ip-masq",
        "-unmanaged-files=false",
        "-log-format=json",
      ],
    });
    // Before its folder goes.
    this.#stack.defer(async () => void await agent.stop());
    return agent;
  }

  async untilShown(expected: readonly string[]): Promise<void> {
    let shown: readonly string[] = [];
    const look = async () => {
      shown = await this.world.shown();
      return JSON.stringify(shown) === JSON.stringify(expected) || undefined;
    };
    try {
      await until("see the way out", look, () => shown.join("\n"));
    } catch (error) {
      throw new Error(`${error}\n${await Deno.readTextFile(`${this.folder}/log`)}`);
    }
  }

  /** The codes of what the agent's log says to be wrong still. */
  async standing(): Promise<string[]> {
    const standing = new Set<string>();
    for (const line of (await Deno.readTextFile(`${this.folder}/log`)).split("\n").filter(Boolean)) {
      const { event, code } = JSON.parse(line);
      if (event === "condition set") standing.add(code);
      if (event === "condition cleared") standing.delete(code);
    }
    return [...standing];
  }

  /** Whether pods reach, and are reached by, hosts and pods of the VPC, and reach what is outside of it. */
  async isConnected(): Promise<boolean[]> {
    const { world } = this;
    const reaches = async (to: string) =>
      (await world.pod.run("ping", "-n", "-c", "1", "-W", "1", to)).code === 0;
    return [
      ...await Promise.all(
        ["10.244.2.5", "fd00:10:244:2::5", "10.0.2.20"].map((from) => world.isAnswered(from)),
      ),
      ...await Promise.all(["10.244.2.5", "fd00:10:244:2::5", "10.0.2.20", "203.0.113.7"].map(reaches)),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const CONNECTED = Array<boolean>(7).fill(true);

Deno.test("an agent leads packets of pods out by the network interface that its route tables lead to, and so does the next one", async (t) => {
  await using aws = await AwsInstance.open();
  const { world, cloud, table } = aws;
  const eni = cloud.addInterface(aws.subnetId, { address: "10.0.9.10", isIpv6: true, tags: TAGS });
  cloud.plug(eni, aws.instanceId, 1);
  await world.attach("eth1", eni.mac);
  await world.configure();
  const agent = await aws.start({ ENI: "device-index=1" });
  await t.step("it is there", async () => {
    await aws.untilShown(ALL);
    const led = () => table.routes.filter(({ target }) => target === eni.id).map((one) => one.destination);
    await until("see the routes of the VPC", () => led().length === 2 || undefined, () => led().join());
    await until("see nothing wrong", async () => (await aws.standing()).length === 0 || undefined);
    assertEquals(await aws.isConnected(), CONNECTED);
  });

  await t.step("what is removed is back", async () => {
    await world.host.ip("rule", "delete", "priority", "7676");
    await world.host.ip("-6", "route", "flush", "table", "7676");
    await aws.untilShown(ALL);
  });

  await t.step("it stays when the agent ends, and while the next one has not asked the cloud", async () => {
    await agent.stop();
    assertEquals(await world.shown(), ALL);
  });

  await t.step("it goes when packets for pods come in by the first network interface again", async () => {
    const next = await aws.start({});
    try {
      await aws.untilShown([]);
    } finally {
      await next.stop();
    }
  });
});

Deno.test("an agent configures the link of the network interface that it has made, once it is there", async (t) => {
  await using aws = await AwsInstance.open();
  const { world } = aws;
  await aws.start({ ENI: "managed", ENISubnetID: aws.subnetId });
  const eni = await aws.eni(1);

  await t.step("it says so while there is no such link", async () => {
    await until(
      "hear that it is missing",
      async () => (await aws.standing()).includes("cloud-path-missing") || undefined,
    );
  });

  await t.step("the link comes, down and without an address", async () => {
    await world.attach("eth1", eni.mac);
    await aws.untilShown(ALL);
    await until("see nothing wrong", async () => (await aws.standing()).length === 0 || undefined);
    const shown = await world.host.ip("-4", "address", "show", "dev", "eth1");
    assertStringIncludes(shown, `inet ${eni.addresses[0]}/24 scope global noprefixroute eth1`);
    await world.router.ip("neigh", "replace", eni.addresses[0]!, "lladdr", eni.mac, "dev", "r1");
    assertEquals(await aws.isConnected(), CONNECTED);
  });

  await t.step("somebody takes all of it away", async () => {
    await world.host.ip("address", "flush", "dev", "eth1");
    await world.host.ip("link", "set", "eth1", "down");
    await aws.untilShown(ALL);
    await until("be connected", async () => (await aws.isConnected()).every(Boolean) || undefined);
  });
});
