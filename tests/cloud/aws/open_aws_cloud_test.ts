import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Ec2Error } from "../../../src/cloud/aws/ec2_error.ts";
import { openAwsCloud, openEc2, regionOf } from "../../../src/cloud/aws/open_aws_cloud.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { makeAuthority } from "../../double/certificates.ts";
import { setVariables } from "../../double/aws/process_env.ts";
import { RecordedLog } from "../../double/recorded_log.ts";
import { awsConfig, AwsRig, desiredOf } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";

const regions: readonly [environment: Record<string, string>, region: string | undefined, why: string][] = [
  [{}, undefined, "the instance says it"],
  [{ AWS_REGION: "", AWS_DEFAULT_REGION: "" }, undefined, "empty variables say nothing"],
  [{ AWS_DEFAULT_REGION: "eu-west-1" }, "eu-west-1", "the older variable"],
  [{ AWS_REGION: "us-east-1", AWS_DEFAULT_REGION: "eu-west-1" }, "us-east-1", "the newer one is stronger"],
];

for (const [environment, region, why] of regions) {
  Deno.test(`regionOf() is ${region} for ${JSON.stringify(environment)}: ${why}`, () => {
    assertEquals(regionOf(environment), region);
  });
}

/** A host of the rig, and the variables that it is opened with. */
function openHost(rig: AwsRig) {
  const { cloud, identities } = rig.aws;
  const { instance, eni } = cloud.runInstance(rig.subnetIds[0], { role: "node" });
  eni.tags = { "flannel.io/cluster": "blue" };
  const environment: Record<string, string> = {
    ...rig.aws.env(identities.issue("node", instance.id, 3600)),
    AWS_EC2_METADATA_SERVICE_ENDPOINT: rig.aws.openImds(instance.id).url,
    AWS_MAX_ATTEMPTS: "1",
  };
  return { environment, eni };
}

/** Takes one turn with these variables; what is wrong after it. */
async function turn(environment: Record<string, string>, address: string): Promise<string[]> {
  using _variables = setVariables(environment);
  const context = { environment, elapsedMs: () => 0, log: new RecordedLog() };
  const cloud = openAwsCloud(awsConfig(), { ...context, underlay: () => [parseAddress(address)] });
  cloud.want(desiredOf({ own: [OWN] }), { isRemembered: false });
  await cloud.turn({ signal: AbortSignal.timeout(30_000) });
  return cloud.conditions.map(({ code, sentence }) => `${code}: ${sentence}`);
}

const NOT_THERE = `cloud-route-missing: it is not known whether packets for ${OWN} get to this host: `;

Deno.test("the calls of a host are counted by action, throttled ones too", async () => {
  await using rig = new AwsRig();
  const { environment, eni } = openHost(rig);
  using _variables = setVariables(environment);
  const counts = new Map<string, number>();
  const client = openEc2(rig.aws.cloud.region, { ...environment, AWS_MAX_ATTEMPTS: "3" }, counts);
  rig.aws.control.fail("throttle");
  await client.call("DescribeRouteTables", {}, { signal: AbortSignal.timeout(30_000) });
  assertEquals(counts, new Map([["DescribeRouteTables", 2]]));
  assertEquals(await turn(environment, eni.addresses[0]!), []);
});

const wrong: readonly [variables: Record<string, string>, reason: string][] = [
  [
    { AWS_ENDPOINT_URL_EC2: "nowhere" },
    "Cannot use AWS_ENDPOINT_URL_EC2: must be a URL as https://ec2.eu-west-1.amazonaws.com",
  ],
  [
    { AWS_REGION: "the moon", AWS_ENDPOINT_URL_EC2: "", AWS_ENDPOINT_URL: "" },
    'Cannot use the region "the moon": must be one as eu-west-1',
  ],
  [
    { AWS_CA_BUNDLE: "/nonexistent/ca.pem" },
    "AWS_CA_BUNDLE, /nonexistent/ca.pem, can't be read: there is no such file or folder",
  ],
  [{ AWS_CA_BUNDLE: "/dev/zero" }, "AWS_CA_BUNDLE, /dev/zero, can't be read: "],
];

for (const [variables, reason] of wrong) {
  Deno.test(`a host with ${JSON.stringify(variables)} is told in a sentence`, async () => {
    await using rig = new AwsRig();
    const { environment, eni } = openHost(rig);
    const [said] = await turn({ ...environment, ...variables }, eni.addresses[0]!);
    assertStringIncludes(said!, NOT_THERE);
    assertStringIncludes(said!, reason);
    assertEquals(said!.includes("\n"), false);
  });
}

Deno.test("a host whose endpoint has a certificate of another authority trusts it by AWS_CA_BUNDLE alone", {
  sanitizeResources: false,
}, async () => {
  await using rig = new AwsRig();
  const folder = await Deno.makeTempDir({ prefix: "loden-aws-" });
  try {
    const authority = await makeAuthority(folder);
    const { certPem, keyPem } = await authority.issue({
      name: "ec2",
      commonName: "localhost",
      addresses: ["127.0.0.1"],
    });
    const options = { hostname: "127.0.0.1", port: 0, cert: certPem, key: keyPem, onListen() {} };
    await using server = Deno.serve(options, async (request) => {
      // HTTP/2 has it in the address.
      const headers = new Headers(request.headers);
      headers.set("host", new URL(request.url).host);
      const { method, url } = request;
      return await rig.aws.askEc2(new Request(url, { method, headers, body: await request.text() }));
    });
    const { environment, eni } = openHost(rig);
    environment["AWS_ENDPOINT_URL_EC2"] = `https://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
    const [said] = await turn(environment, eni.addresses[0]!);
    assertStringIncludes(said!, NOT_THERE);
    assertStringIncludes(said!.toLowerCase(), "certificate");
    const trusting = { ...environment, AWS_CA_BUNDLE: authority.caFile };
    assertEquals(await turn(trusting, eni.addresses[0]!), []);
    assertEquals(rig.routes(), [`${OWN} ${eni.id}`]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("AWS_MAX_ATTEMPTS says how often a throttled call is made, if it is a number from 1 to 20", async () => {
  await using rig = new AwsRig();
  const { environment } = openHost(rig);
  using _variables = setVariables(environment);
  rig.aws.control.fail("throttle", { times: 99 });
  for (const attempts of [1, 2]) {
    rig.calls();
    const client = openEc2(rig.aws.cloud.region, { ...environment, AWS_MAX_ATTEMPTS: String(attempts) });
    const signal = AbortSignal.timeout(30_000);
    await assertRejects(() => client.call("DescribeRouteTables", {}, { signal }), Ec2Error);
    assertEquals(rig.calls(), { DescribeRouteTables: attempts });
  }
});

Deno.test("a host whose AWS_CA_BUNDLE is damaged is told so", async () => {
  await using rig = new AwsRig();
  const { environment, eni } = openHost(rig);
  const bundle = await Deno.makeTempFile({ prefix: "loden-bundle-" });
  try {
    await Deno.writeTextFile(bundle, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    const [said] = await turn({ ...environment, AWS_CA_BUNDLE: bundle }, eni.addresses[0]!);
    assertStringIncludes(said!, `AWS_CA_BUNDLE, ${bundle}, has a certificate that is damaged`);
  } finally {
    await Deno.remove(bundle);
  }
});
