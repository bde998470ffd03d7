import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ensureMoto } from "../../.ci/moto.ts";
import { AwsCloud } from "../../src/cloud/aws/aws_cloud.ts";
import { describeNetworkInterfaces, describeRouteTables } from "../../src/cloud/aws/ec2_calls.ts";
import { type Credentials, Ec2Client } from "../../src/cloud/aws/ec2_client.ts";
import { Ec2Error } from "../../src/cloud/aws/ec2_error.ts";
import { filter, type FormValue } from "../../src/cloud/aws/ec2_form.ts";
import type { InstanceFacts } from "../../src/cloud/aws/metadata.ts";
import { formatPrefix, type Mac, parseAddress } from "../../src/model/address.ts";
import { webIdentityToken } from "../double/aws/web_identity.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { awsConfig, desiredOf } from "../cloud/aws/aws_rig.ts";
import { ChainProcess } from "../cloud/aws/chain_rig.ts";

const REGION = "us-east-1";
const ANYONE: Credentials = { accessKeyId: "AKIAANYONE0000000000", secretAccessKey: "anything" };
const DEADLINE_MS = 30_000;
const OWN = "10.244.1.0/24";

/** moto's server, in a process of its own. */
class Moto implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  private constructor(readonly url: string, child: Deno.ChildProcess) {
    this.#child = child;
  }

  static async open(): Promise<Moto> {
    const python = await ensureMoto();
    const probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = probe.addr;
    probe.close();
    const child = new Deno.Command(python, {
      args: ["-m", "moto.server", "-H", "127.0.0.1", "-p", String(port)],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const moto = new Moto(`http://127.0.0.1:${port}`, child);
    const endMs = performance.now() + DEADLINE_MS;
    while (!await moto.#answers()) {
      assert(performance.now() < endMs, `moto answers within ${DEADLINE_MS} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return moto;
  }

  async #answers(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/moto-api/data.json`, { signal: AbortSignal.timeout(2000) });
      return (await response.text()).length > 0;
    } catch {
      return false;
    }
  }

  client(credentials = ANYONE): Ec2Client {
    return new Ec2Client({
      region: REGION,
      endpoint: `${this.url}/`,
      credentials: () => Promise.resolve(credentials),
      fetch,
      random: Math.random,
      maxAttempts: 1,
    });
  }

  /** Has it ask from now on who calls, and what they may. */
  async askWho(): Promise<void> {
    const init = { method: "POST", body: "0", signal: signal() };
    await (await fetch(`${this.url}/moto-api/reset-auth`, init)).text();
  }

  /** A call of IAM's, which is not signed: moto looks at the service that the header names. */
  async iam(parameters: Readonly<Record<string, string>>): Promise<string> {
    const authorization = `AWS4-HMAC-SHA256 Credential=a/20200101/${REGION}/iam/aws4_request`;
    const body = new URLSearchParams({ Version: "2010-05-08", ...parameters });
    const init = { method: "POST", headers: { authorization }, body, signal: signal() };
    const response = await fetch(this.url, init);
    return await response.text();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

const signal = () => AbortSignal.timeout(DEADLINE_MS);
// deno-lint-ignore no-explicit-any
type Answer = any;

/** A VPC with a subnet and a running instance. */
async function openVpc(client: Ec2Client) {
  const call = async (action: string, parameters: Readonly<Record<string, FormValue>>): Promise<Answer> =>
    (await client.call(action, parameters, { signal: signal() }) as Answer)[`${action}Response`];
  const { vpc: { vpcId } } = await call("CreateVpc", { CidrBlock: "10.0.0.0/16" });
  const { subnet: { subnetId } } = await call("CreateSubnet", { VpcId: vpcId, CidrBlock: "10.0.1.0/24" });
  const run = async () => {
    const { instancesSet } = await call("RunInstances", {
      ImageId: "ami-12c6146b",
      MinCount: 1,
      MaxCount: 1,
      SubnetId: subnetId,
    });
    const instanceId: string = instancesSet.item.instanceId;
    const [eni] = await describeNetworkInterfaces(client, {
      filters: [filter("attachment.instance-id", instanceId)],
    }, { signal: signal() });
    return { instanceId, eni: eni! };
  };
  const tables = async () =>
    await describeRouteTables(client, { filters: [filter("vpc-id", vpcId)] }, { signal: signal() });
  /** Routes but the VPC's own, as `DESTINATION TARGET`. */
  const routes = async () =>
    (await tables()).flatMap(({ routes }) => routes).filter(({ isLocal }) => !isLocal)
      .map(({ destination, eniId, target }) => `${formatPrefix(destination)} ${eniId ?? target}`).sort();
  return { call, run, routes, tables, vpcId: vpcId as string, subnetId: subnetId as string };
}

type Host = Awaited<ReturnType<Awaited<ReturnType<typeof openVpc>>["run"]>>;

/** The agent's part on an instance. */
function cloudOf(client: Ec2Client, keys: Record<string, unknown>, facts: () => InstanceFacts): AwsCloud {
  return new AwsCloud({
    config: awsConfig(keys),
    instance: () => Promise.resolve(facts()),
    client: () => client,
    ...{ calls: new Map(), underlay: () => [parseAddress("10.0.1.4")] },
    ...{ now: () => new Date(), elapsedMs: () => 0, log: new RecordedLog() },
  });
}

function factsOf({ instanceId, eni }: Host): InstanceFacts {
  const { id, subnetId, vpcId, securityGroupIds } = eni;
  return {
    region: REGION,
    instanceId,
    interfaces: [{
      ...{ id, mac: 1 as Mac, deviceIndex: 0, subnetId, vpcId, securityGroupIds },
      ...{ addresses: [parseAddress("10.0.1.4")], subnetPrefixes: [], vpcPrefixes: [] },
    }],
  };
}

Deno.test("moto, others' imitation of AWS, has the routes that the agent makes, replaces and deletes", async (test) => {
  await using moto = await Moto.open();

  await test.step("a route is made, and the check turned off; then there is nothing to do", async () => {
    const client = moto.client();
    const vpc = await openVpc(client);
    const host = await vpc.run();
    const cloud = cloudOf(client, {}, () => factsOf(host));
    cloud.want(desiredOf({ own: [OWN] }), { isRemembered: false });
    assertEquals([await cloud.turn({ signal: signal() }), cloud.conditions], [true, []]);
    assertEquals(await vpc.routes(), [`${OWN} ${host.eni.id}`]);
    const [eni] = await describeNetworkInterfaces(client, { ids: [host.eni.id] }, { signal: signal() });
    assertEquals([host.eni.isChecked, eni!.isChecked], [true, false]);
    assertEquals(await cloud.turn({ signal: signal() }), true);
    assertEquals(cloud.report?.tables.map(({ routes }) => routes), [2]);
  });

  await test.step("a route to another is replaced, a former one deleted, and IPv6 has its own", async () => {
    const client = moto.client();
    const vpc = await openVpc(client);
    const [host, other] = [await vpc.run(), await vpc.run()];
    const { id } = (await vpc.tables())[0]!;
    for (
      const [destination, { eni }] of [[OWN, other], ["10.244.9.0/24", host], [
        "10.244.2.0/24",
        other,
      ]] as const
    ) {
      await vpc.call("CreateRoute", {
        RouteTableId: id,
        DestinationCidrBlock: destination,
        NetworkInterfaceId: eni.id,
      });
    }
    const cloud = cloudOf(client, {}, () => factsOf(host));
    const own = [OWN, "fd00:244:0:1::/64"];
    const networks = ["10.244.0.0/16 24", "fd00:244::/48 64"];
    cloud.want(desiredOf({ own, peers: ["10.244.2.0/24"], networks }), { isRemembered: false });
    assertEquals([await cloud.turn({ signal: signal() }), cloud.conditions], [true, []]);
    assertEquals(await vpc.routes(), [
      `${OWN} ${host.eni.id}`,
      `10.244.2.0/24 ${other.eni.id}`,
      `fd00:244:0:1::/64 ${host.eni.id}`,
    ]);
  });

  await test.step("an interface of the agent's own is made, attached and found again", async () => {
    const client = moto.client();
    const vpc = await openVpc(client);
    const host = await vpc.run();
    const tag = filter("tag:flannel.io/instance", host.instanceId);
    const made = () => describeNetworkInterfaces(client, { filters: [tag] }, { signal: signal() });
    let facts = factsOf(host);
    const cloud = cloudOf(client, { ENI: "managed" }, () => facts);
    cloud.want(desiredOf({ own: [OWN] }), { isRemembered: false });
    assertEquals(await cloud.turn({ signal: signal() }), false, "it is being attached");
    const [eni] = await made();
    assertEquals([eni?.instanceId, eni?.deviceIndex], [host.instanceId, 1]);
    facts = {
      ...facts,
      interfaces: [...facts.interfaces, { ...facts.interfaces[0]!, id: eni!.id, deviceIndex: 1 }],
    };
    assertEquals([await cloud.turn({ signal: signal() }), cloud.conditions], [true, []]);
    assertEquals([await vpc.routes(), (await made()).length], [[`${OWN} ${eni!.id}`], 1]);
  });

  await test.step("what EC2 refuses has the codes that the agent goes by", async () => {
    const client = moto.client();
    const vpc = await openVpc(client);
    const { eni } = await vpc.run();
    const { id } = (await vpc.tables())[0]!;
    const route = { RouteTableId: id, DestinationCidrBlock: OWN };
    const refused = async (action: string, parameters: Readonly<Record<string, FormValue>>) =>
      (await assertRejects(() => vpc.call(action, parameters), Ec2Error)).code;
    assertEquals(await refused("DeleteRoute", route), "InvalidRoute.NotFound");
    assertEquals(
      await refused("ReplaceRoute", { ...route, NetworkInterfaceId: eni.id }),
      "InvalidParameterValue",
    );
    assertEquals(
      await refused("CreateRoute", { ...route, NetworkInterfaceId: "eni-0" }),
      "InvalidNetworkInterfaceID.NotFound",
    );
    assertEquals(
      await refused("DescribeRouteTables", { RouteTableId: ["rtb-0"] }),
      "InvalidRouteTableID.NotFound",
    );
    const dry = { SubnetId: vpc.subnetId, DryRun: true };
    assertEquals(await refused("CreateNetworkInterface", dry), "DryRunOperation");
  });

  await test.step("a service account's token becomes a role, by AWS's own code", async () => {
    const folder = await Deno.makeTempDir({ prefix: "loden-moto-" });
    try {
      const AWS_WEB_IDENTITY_TOKEN_FILE = `${folder}/token`;
      const expiresAt = new Date(Date.now() + 3_600_000);
      const claims = {
        issuer: "https://oidc.example",
        subject: "a",
        audience: "sts.amazonaws.com",
        expiresAt,
      };
      await Deno.writeTextFile(AWS_WEB_IDENTITY_TOKEN_FILE, webIdentityToken(claims));
      await using child = new ChainProcess({
        AWS_REGION: REGION,
        AWS_ENDPOINT_URL: moto.url,
        AWS_WEB_IDENTITY_TOKEN_FILE,
        AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/node",
      });
      assertEquals((await child.ask()).said, "ok");
      assertEquals(await child.end(), "");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  await test.step("a signature is right or refused, and a policy is kept to", async () => {
    await moto.iam({ Action: "CreateUser", UserName: "node" });
    const key = await moto.iam({ Action: "CreateAccessKey", UserName: "node" });
    const text = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(key)![1]!;
    const credentials = { accessKeyId: text("AccessKeyId"), secretAccessKey: text("SecretAccessKey") };
    const Statement = [{ Effect: "Allow", Action: "ec2:DescribeRouteTables", Resource: "*" }];
    await moto.iam({
      ...{ Action: "PutUserPolicy", UserName: "node", PolicyName: "read" },
      PolicyDocument: JSON.stringify({ Version: "2012-10-17", Statement }),
    });
    await moto.askWho();
    const all = { filters: [] };
    const look = (client: Ec2Client) => describeRouteTables(client, all, { signal: signal() });
    assert((await look(moto.client(credentials))).length > 0);
    const forged = moto.client({ ...credentials, secretAccessKey: "forged" });
    const { message } = await assertRejects(() => look(forged), Ec2Error, "AuthFailure");
    assertEquals([credentials.accessKeyId, "clock"].filter((word) => message.includes(word)), []);
    const denied = await assertRejects(
      () => describeNetworkInterfaces(moto.client(credentials), all, { signal: signal() }),
      Ec2Error,
    );
    assertEquals(denied.isRefusal, true, denied.message);
    assertStringIncludes(denied.message, "ec2:DescribeNetworkInterfaces");
  });
});
