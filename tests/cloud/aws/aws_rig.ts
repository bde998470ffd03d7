import { AwsCloud } from "../../../src/cloud/aws/aws_cloud.ts";
import { Ec2Client } from "../../../src/cloud/aws/ec2_client.ts";
import { metadataReader, readInstance } from "../../../src/cloud/aws/metadata.ts";
import { leastPolicy } from "../../../src/cloud/aws/policy.ts";
import type { AwsVpcConfig } from "../../../src/config/aws_schema.ts";
import { parseNetworkConfig } from "../../../src/config/network.ts";
import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { DesiredCloud } from "../../../src/model/state.ts";
import { FakeAws, type FakeAwsOptions } from "../../double/aws/fake_aws.ts";
import type { NetworkInterface } from "../../double/aws/resources.ts";
import type { PolicyDocument } from "../../double/aws/policy.ts";
import { RecordedLog } from "../../double/recorded_log.ts";

/** What hosts of the rig are tagged with, as the least policy asks. */
export const CLUSTER = "blue";
const TAGS = { "flannel.io/cluster": CLUSTER };
/** Seconds that a rig may run. */
const DEADLINE_MS = 60_000;

/** `Backend` of type aws-vpc, as net-conf.json would have it. */
export function awsConfig(keys: Record<string, unknown> = {}): AwsVpcConfig {
  const text = JSON.stringify({
    Network: "10.244.0.0/16",
    Backend: { Type: "aws-vpc", Cluster: CLUSTER, ...keys },
  });
  const { backend } = parseNetworkConfig(text, { source: "net-conf.json" }).config;
  if (backend.type !== "aws-vpc") throw new TypeError(`Cannot test ${backend.type}`);
  return backend;
}

/** What a host with these subnets asks of its cloud. */
export function desiredOf(
  { own, peers = [], networks = ["10.244.0.0/16 24"] }: {
    readonly own: readonly string[];
    readonly peers?: readonly string[];
    readonly networks?: readonly string[];
  },
): DesiredCloud {
  return {
    own: own.map(parsePrefix),
    peers: peers.map(parsePrefix),
    networks: networks.map((text) => {
      const [network, length] = text.split(" ");
      return { network: parsePrefix(network!), subnetLength: Number(length) };
    }),
  };
}

/** One instance of the rig, and the agent's part that is tested. */
export interface AwsHost {
  readonly instanceId: string;
  readonly eniId: string;
  readonly cloud: AwsCloud;
  readonly log: RecordedLog;
  /** Says what is wanted, and takes one turn. */
  readonly turn: (own: readonly string[], peers?: readonly string[]) => Promise<boolean>;
  /** The clock of the agent, in milliseconds. */
  readonly clock: { ms: number };
}

/** A VPC with two subnets, whose hosts have the least policy. */
export class AwsRig implements AsyncDisposable {
  readonly aws: FakeAws;
  readonly vpcId: string;
  readonly subnetIds: readonly [string, string];
  readonly tableId: string;
  readonly signal = AbortSignal.timeout(DEADLINE_MS);

  constructor(options: FakeAwsOptions = {}) {
    this.aws = FakeAws.open(options);
    const { cloud, identities } = this.aws;
    const vpc = cloud.addVpc({ cidr: "10.0.0.0/16", ipv6Cidrs: ["2001:db8:1::/56"], tags: TAGS });
    this.vpcId = vpc.id;
    const [a, b] = [
      cloud.addSubnet(vpc.id, { cidr: "10.0.1.0/24", ipv6Cidr: "2001:db8:1:1::/64" }),
      cloud.addSubnet(vpc.id, { cidr: "10.0.2.0/24", ipv6Cidr: "2001:db8:1:2::/64" }),
    ];
    this.subnetIds = [a.id, b.id];
    this.tableId = cloud.addRouteTable(vpc.id, { subnetIds: [a.id, b.id], tags: TAGS }).id;
    identities.addRole("node", [this.policy({})]);
  }

  /** The least policy of a configuration, as a host's role would have it. */
  policy(keys: Record<string, unknown>): PolicyDocument {
    const { region, account } = this.aws.cloud;
    return leastPolicy(awsConfig(keys), { partition: "aws", region, account, cluster: CLUSTER });
  }

  /** Starts an instance, and the agent's part on it. */
  host(
    keys: Record<string, unknown> = {},
    { subnet = 0, role = "node", maxAttempts = 3, isIpv6 = false }: {
      readonly subnet?: 0 | 1;
      readonly role?: string;
      readonly maxAttempts?: number;
      readonly isIpv6?: boolean;
    } = {},
  ): AwsHost {
    const { instance, eni } = this.aws.cloud.runInstance(this.subnetIds[subnet], {
      role,
      tags: TAGS,
      isIpv6,
    });
    (eni as { tags: unknown }).tags = TAGS;
    return this.#agent(instance.id, keys, { eni, role, maxAttempts });
  }

  /** Starts the agent's part of a host again, as after a restart. */
  again({ instanceId, eniId }: AwsHost, keys: Record<string, unknown> = {}): AwsHost {
    const eni = this.aws.cloud.interfaces.get(eniId)!;
    return this.#agent(instanceId, keys, { eni, role: "node", maxAttempts: 3 });
  }

  #agent(
    instanceId: string,
    keys: Record<string, unknown>,
    { eni, role, maxAttempts }: {
      readonly eni: NetworkInterface;
      readonly role: string;
      readonly maxAttempts: number;
    },
  ): AwsHost {
    const { control, ec2, identities } = this.aws;
    const imds = this.aws.openImds(instanceId);
    const read = metadataReader({ AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.url });
    const log = new RecordedLog();
    const clock = { ms: 0 };
    let credentials = identities.issue(role, instanceId, 3600);
    const cloud = new AwsCloud({
      config: awsConfig(keys),
      instance: () => readInstance(read, undefined),
      client: (region) =>
        new Ec2Client({
          region,
          endpoint: `${ec2.url}/`,
          credentials({ isFresh }) {
            if (isFresh) credentials = identities.issue(role, instanceId, 3600);
            return Promise.resolve(credentials);
          },
          fetch,
          // Nothing is waited for in a test.
          random: () => 0,
          pauseMs: 1,
          maxAttempts,
        }),
      calls: new Map(),
      underlay: () => eni.addresses.map(parseAddress),
      now: () => new Date(control.now()),
      elapsedMs: () => clock.ms,
      log,
    });
    const turn = async (own: readonly string[], peers: readonly string[] = []) => {
      const networks = [
        "10.244.0.0/16 24",
        ...own.some((one) => one.includes(":")) ? ["fd00:244::/48 64"] : [],
      ];
      cloud.want(desiredOf({ own, peers, networks }), { isRemembered: false });
      return await cloud.turn({ signal: this.signal });
    };
    return { instanceId, eniId: eni.id, cloud, log, turn, clock };
  }

  /** The routes of a table beside the VPC's own, as `DESTINATION TARGET`. */
  routes(tableId = this.tableId): readonly string[] {
    return this.aws.cloud.routeTables.get(tableId)!.routes.filter(({ target }) => target !== "local")
      .map(({ destination, target }) => `${destination} ${target}`).sort();
  }

  /** The calls that came since the last time, by action: EC2's only. */
  calls(): Readonly<Record<string, number>> {
    const { control } = this.aws;
    const tally = Object.fromEntries(
      Object.entries(control.tally()).filter(([action]) => !action.includes(" ")),
    );
    control.forgetCalls();
    return tally;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.aws[Symbol.asyncDispose]();
  }
}
