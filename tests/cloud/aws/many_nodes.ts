import { AwsCloud } from "../../../src/cloud/aws/aws_cloud.ts";
import { Ec2Client } from "../../../src/cloud/aws/ec2_client.ts";
import type { InstanceFacts } from "../../../src/cloud/aws/metadata.ts";
import { inTurns } from "../../../src/loop/worker.ts";
import { Trigger } from "../../../src/loop/trigger.ts";
import { type Mac, parseAddress } from "../../../src/model/address.ts";
import { seededRandom } from "../../double/random.ts";
import { RecordedLog } from "../../double/recorded_log.ts";
import { stub } from "../../std_testing/mock.ts";
import { FakeTime } from "../../std_testing/time.ts";
import { awsConfig, AwsRig, desiredOf } from "./aws_rig.ts";

/** What EC2 lets an account of a region do, by the documentation of its API: calls at once, and more each second. */
const READS = [100, 20] as const;
const WRITES = [50, 5] as const;
/** As the agent's loop has it. */
const PACE = { periodMs: 13 * 60_000, restMs: 1000, retryMs: 2000 } as const;
/** By then all is as it must be, or never. */
const DEADLINE_MS = 15 * 60_000;

/** What became of nodes that started at the same moment. */
export interface Start {
  /** From the start until the last route was there and the last check off, in milliseconds. */
  readonly convergedMs: number;
  /** Turns that did not do all. */
  readonly failedTurns: number;
  /** Calls that EC2 did, by action. */
  readonly done: Readonly<Record<string, number>>;
  /** Calls that EC2 throttled, by action. */
  readonly throttled: Readonly<Record<string, number>>;
  /** Sentences of conditions at the end. */
  readonly conditions: readonly string[];
}

/**
 * Has `nodes` nodes start at the same moment, in a time of their own that goes as fast as this machine computes.
 *
 * @param isThrottled Whether EC2 throttles as it does by default.
 */
export async function startNodes(
  nodes: number,
  { isThrottled, seed }: { readonly isThrottled: boolean; readonly seed: number },
): Promise<Start> {
  await using rig = new AwsRig();
  const { aws, subnetIds } = rig;
  const [subnet] = subnetIds;
  aws.cloud.subnets.set(subnet, { ...aws.cloud.subnets.get(subnet)!, cidr: "10.0.16.0/20" });
  aws.cloud.settings.routesPerTable = 1000;
  if (isThrottled) {
    aws.control.limit("Describe*", ...READS);
    aws.control.limit("*Route", ...WRITES);
    aws.control.limit("Modify*", ...WRITES);
  }
  using time = new FakeTime();
  using _clock = stub(performance, "now", () => time.now);
  const startMs = time.now;
  const random = seededRandom(seed);
  const end = new AbortController();
  let busy = 0;
  let failedTurns = 0;
  const askEc2 = async (url: string, init: RequestInit) => {
    busy++;
    try {
      const headers = new Headers(init.headers);
      headers.set("host", new URL(url).host);
      return await aws.askEc2(new Request(url, { ...init, headers }));
    } finally {
      busy--;
    }
  };
  const clouds = Array.from({ length: nodes }, (_, n) => {
    const { cloud, own } = openNode(rig, n, { askEc2, random, elapsedMs: () => time.now });
    cloud.want(desiredOf({ own: [own], networks: ["10.128.0.0/9 24"] }), { isRemembered: false });
    const turn = async (options: { readonly signal: AbortSignal }) => {
      const isDone = await cloud.turn(options);
      if (!isDone) failedTurns++;
      return isDone;
    };
    const pace = { ...PACE, trigger: new Trigger(), elapsedMs: () => time.now };
    return { cloud, running: inTurns(turn, pace)(end).catch(() => {}) };
  });
  const isRight = () =>
    rig.routes().length === nodes &&
    [...aws.cloud.interfaces.values()].every(({ sourceDestCheck }) => !sourceDestCheck);
  for (;;) {
    do await time.tickAsync(); while (busy > 0);
    if (isRight() || time.now - startMs > DEADLINE_MS || !time.next()) break;
  }
  const convergedMs = time.now - startMs;
  await time.tickAsync();
  await time.tickAsync();
  const conditions = clouds.flatMap(({ cloud }) => cloud.conditions.map(({ sentence }) => sentence));
  end.abort();
  await Promise.all(clouds.map(({ running }) => running));
  const tally = (isWanted: (result: string) => boolean) =>
    Object.fromEntries(
      Object.entries(
        Object.groupBy(aws.control.calls.filter(({ result }) => isWanted(result)), ({ action }) => action),
      )
        .map(([action, calls]) => [action, calls!.length]),
    );
  return {
    ...{ convergedMs, failedTurns, conditions },
    done: tally((result) => result === "ok"),
    throttled: tally((result) => result === "RequestLimitExceeded"),
  };
}

/** One instance with its agent's part. */
function openNode(
  { aws, subnetIds, vpcId }: AwsRig,
  n: number,
  { askEc2, random, elapsedMs }: {
    readonly askEc2: (url: string, init: RequestInit) => Promise<Response>;
    readonly random: () => number;
    readonly elapsedMs: () => number;
  },
): { readonly cloud: AwsCloud; readonly own: string } {
  const { instance, eni } = aws.cloud.runInstance(subnetIds[0], { role: "node" });
  (eni as { tags: unknown }).tags = { "flannel.io/cluster": "blue" };
  const addresses = eni.addresses.map(parseAddress);
  const facts: InstanceFacts = {
    region: aws.cloud.region,
    instanceId: instance.id,
    interfaces: [{
      ...{ id: eni.id, mac: n as Mac, deviceIndex: 0, subnetId: eni.subnetId, vpcId, addresses },
      ...{ subnetPrefixes: [], vpcPrefixes: [], securityGroupIds: eni.groups },
    }],
  };
  const credentials = aws.identities.issue("node", instance.id, 6 * 3600);
  const cloud = new AwsCloud({
    config: awsConfig(),
    instance: () => Promise.resolve(facts),
    client: (region) =>
      new Ec2Client({
        region,
        endpoint: "https://ec2.example/",
        credentials: () => Promise.resolve(credentials),
        fetch: askEc2,
        random,
      }),
    calls: new Map(),
    underlay: () => addresses,
    now: () => new Date(),
    elapsedMs,
    log: new RecordedLog(),
  });
  return { cloud, own: `10.${128 + (n >> 8)}.${n & 255}.0/24` };
}
