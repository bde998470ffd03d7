import { assertEquals, assertRejects } from "@std/assert";
import { openSmallCloud } from "../../double/aws/small_cloud.ts";

const TTL = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN = "x-aws-ec2-metadata-token";

/** What came: the text, or the status if that is not 200. */
async function ask(url: string, init: RequestInit = {}): Promise<string | number> {
  const response = await fetch(url, init);
  const text = await response.text();
  return response.ok ? text : response.status;
}

Deno.test("the metadata service says what an instance is, to those who have a token", async () => {
  await using small = openSmallCloud(2);
  const { aws: { cloud, control }, aws, hosts, subnets, vpc } = small;
  const { instance, eni } = hosts[1]!;
  const { url } = aws.openImds(instance.id);
  const more = cloud.addInterface(subnets[1].id);
  cloud.plug(more, instance.id, 1);
  const takeToken = (headers: Record<string, string>) =>
    ask(`${url}/latest/api/token`, { method: "PUT", headers });
  assertEquals(await ask(`${url}/latest/meta-data/instance-id`), 401);
  assertEquals(await takeToken({}), 400);
  assertEquals(await takeToken({ [TTL]: "21601" }), 400);
  assertEquals(await takeToken({ [TTL]: "60", "x-forwarded-for": "192.0.2.1" }), 403);
  const headers = { [TOKEN]: String(await takeToken({ [TTL]: "60" })) };
  const read = (path: string) => ask(`${url}/latest/${path}`, { headers });
  const macs = "meta-data/network/interfaces/macs/";
  assertEquals(await read("meta-data/instance-id"), instance.id);
  assertEquals(await read("meta-data/placement/region"), "eu-central-1");
  assertEquals(await read("meta-data/placement/availability-zone"), "eu-central-1b");
  assertEquals(await read("meta-data/mac"), eni.mac);
  assertEquals(await read(macs), `${eni.mac}/\n${more.mac}/`);
  assertEquals(await read(`${macs}${eni.mac}/interface-id`), eni.id);
  assertEquals(await read(`${macs}${more.mac}/device-number`), "1");
  assertEquals(await read(`${macs}${eni.mac}/subnet-id`), subnets[1].id);
  assertEquals(await read(`${macs}${eni.mac}/vpc-id`), vpc.id);
  assertEquals(await read(`${macs}${eni.mac}/local-ipv4s`), eni.addresses[0]);
  assertEquals(await read(`${macs}${eni.mac}/subnet-ipv4-cidr-block`), "172.20.1.0/24");
  assertEquals(await read(`${macs}${eni.mac}/vpc-ipv4-cidr-blocks`), "172.20.0.0/16");
  assertEquals(await read(`${macs}${eni.mac}/ipv6s`), 404);
  assertEquals(await read("meta-data/iam/security-credentials/"), "host");
  assertEquals(JSON.parse(String(await read("dynamic/instance-identity/document"))).region, "eu-central-1");
  control.clockOffsetMs = 61_000;
  assertEquals(await read("meta-data/instance-id"), 401);
});

Deno.test("the metadata service's token does not come where the hop limit is too low", async () => {
  await using small = openSmallCloud(1);
  const { url, settings } = small.aws.openImds(small.hosts[0]!.instance.id);
  settings.isTooFar = true;
  const signal = AbortSignal.timeout(300);
  await assertRejects(
    () => ask(`${url}/latest/api/token`, { method: "PUT", headers: { [TTL]: "60" }, signal }),
    DOMException,
  );
});

Deno.test("an answer may be as huge as a test wants", async () => {
  await using small = openSmallCloud(0);
  const { aws } = small;
  aws.control.fail({ hugeBytes: 1_000_000 });
  const response = await fetch(aws.ec2.url, { method: "POST", body: "Action=DescribeRouteTables" });
  assertEquals((await response.text()).length > 1_000_000, true);
});
