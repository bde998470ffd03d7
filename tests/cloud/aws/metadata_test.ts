import { assertEquals, assertLess, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { MetadataError, metadataReader, readInstance } from "../../../src/cloud/aws/metadata.ts";
import { formatAddress, formatMac, formatPrefix } from "../../../src/model/address.ts";
import { openSmallCloud } from "../../double/aws/small_cloud.ts";

const AT = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/** An instance with a second interface, and what reads its metadata. */
function openInstance() {
  const small = openSmallCloud(1);
  const { aws, hosts, subnets } = small;
  const { instance, eni } = hosts[0]!;
  const more = aws.cloud.addInterface(subnets[0].id, { isIpv6: true });
  aws.cloud.plug(more, instance.id, 1);
  const imds = aws.openImds(instance.id);
  const read = metadataReader({ [AT]: `${imds.url}/` });
  return {
    ...{ small, aws, instance, eni, more, imds, read },
    tokens: () => aws.control.count("PUT */api/token"),
    [Symbol.asyncDispose]: () => small[Symbol.asyncDispose](),
  };
}

Deno.test("readInstance() says what an instance is and what is attached to it, with one token", async () => {
  await using world = openInstance();
  const { region, instanceId, interfaces } = await readInstance(world.read, undefined);
  assertEquals([region, instanceId], ["eu-central-1", world.instance.id]);
  assertEquals(
    interfaces.map(({ mac, addresses, subnetPrefixes, vpcPrefixes, ...ids }) => ({
      ...ids,
      mac: formatMac(mac),
      addresses: addresses.map(formatAddress),
      subnets: subnetPrefixes.map(formatPrefix),
      vpc: vpcPrefixes.map(formatPrefix),
    })),
    [[world.eni, 0], [world.more, 1]].map(([eni, deviceIndex]) => {
      const { id, mac, subnetId, vpcId, groups, addresses, ipv6Addresses } = eni as typeof world.eni;
      const isIpv6 = ipv6Addresses.length > 0;
      return {
        ...{ id, mac, deviceIndex, subnetId, vpcId, securityGroupIds: groups },
        addresses: [...addresses, ...ipv6Addresses],
        subnets: ["172.20.0.0/24", ...isIpv6 ? ["2001:db8:20::/64"] : []],
        vpc: ["172.20.0.0/16", ...isIpv6 ? ["2001:db8:20::/56"] : []],
      };
    }) as never,
  );
  assertEquals(world.tokens(), 1);
});

Deno.test("readInstance() takes the region that the environment names, and does not ask for another", async () => {
  await using world = openInstance();
  assertEquals((await readInstance(world.read, "us-east-1")).region, "us-east-1");
  assertEquals(world.aws.control.count("GET *placement/region"), 0);
});

Deno.test("a token that is refused is asked for anew, once", async () => {
  await using world = openInstance();
  assertEquals(await world.read("instance-id"), world.instance.id);
  world.aws.control.clockOffsetMs = 22_000_000;
  assertEquals(await world.read("instance-id"), world.instance.id);
  assertEquals(world.tokens(), 2);
  assertEquals(await world.read("nothing/of/it"), undefined);
});

Deno.test("a service that never answers is given up after two seconds, and named with the remedy", async () => {
  await using world = openInstance();
  world.imds.settings.isTooFar = true;
  const startedMs = performance.now();
  const error = await assertRejects(() => readInstance(world.read, undefined), MetadataError);
  assertLess(performance.now() - startedMs, 4000);
  assertEquals(
    error.message,
    "the instance metadata service does not answer (nothing within 2 s); turn it on for this instance, with a hop " +
      "limit of 2 if the agent is not in the host's network",
  );
});

Deno.test("a service that trickles is given up after two seconds, too", async () => {
  const bytes = new TextEncoder().encode("x");
  const timers: number[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, () =>
    new Response(
      new ReadableStream({
        start: (out) => void timers.push(setInterval(() => out.enqueue(bytes), 100)),
        cancel: () => clearInterval(timers.pop()),
      }),
    ));
  const read = metadataReader({ [AT]: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}` });
  await assertRejects(() => read("instance-id"), MetadataError, "nothing within 2 s");
});

const refusals: readonly [status: number, why: string][] = [[403, "it is turned off"], [
  500,
  "it has failed",
]];

for (const [status, why] of refusals) {
  Deno.test(`a service that answers ${status} is told: ${why}`, async () => {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      () => new Response("<html>no</html>", { status }),
    );
    const read = metadataReader({ [AT]: `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}` });
    await assertRejects(() => read("instance-id"), MetadataError, `no token, but status ${status}`);
  });
}

Deno.test("a host where nothing listens is told in a sentence", async () => {
  const read = metadataReader({ [AT]: "http://127.0.0.1:1" });
  const { message } = await assertRejects(() => read("instance-id"), MetadataError);
  assertMatch(
    message,
    /^the instance metadata service does not answer \(.*\); turn it on for this instance, [^\n]*$/,
  );
});

const settings: readonly [environment: Record<string, string>, message: string][] = [
  [
    { AWS_EC2_METADATA_DISABLED: "TRUE" },
    "AWS_EC2_METADATA_DISABLED says not to ask the instance what it is; leave it out",
  ],
  [{ [AT]: "169.254.169.254" }, `${AT} is no URL, as http://169.254.169.254 is one; leave it out`],
  [{ [AT]: "file:///etc" }, `${AT} is no URL, as http://169.254.169.254 is one; leave it out`],
];

for (const [environment, message] of settings) {
  Deno.test(`metadataReader() refuses ${JSON.stringify(environment)}`, () => {
    assertEquals(assertThrows(() => metadataReader(environment), MetadataError).message, message);
  });
}

const MAC = "02:00:00:00:00:01";
const macs = "network/interfaces/macs/";
const GOOD: Readonly<Record<string, string>> = {
  "instance-id": "i-1",
  "placement/region": "eu-west-1",
  [macs]: `${MAC}/`,
  [`${macs}${MAC}/interface-id`]: "eni-1",
  [`${macs}${MAC}/device-number`]: "0",
  [`${macs}${MAC}/subnet-id`]: "subnet-1",
  [`${macs}${MAC}/vpc-id`]: "vpc-1",
  [`${macs}${MAC}/local-ipv4s`]: "10.0.0.4",
};
const readOf = (tree: Readonly<Record<string, string | undefined>>) => (path: string) =>
  Promise.resolve(tree[path]);

Deno.test("readInstance() is content with what each instance has", async () => {
  const { interfaces: [eni] } = await readInstance(readOf(GOOD), undefined);
  assertEquals([eni!.id, eni!.addresses.length, eni!.vpcPrefixes, eni!.securityGroupIds], [
    "eni-1",
    1,
    [],
    [],
  ]);
});

const junk: readonly [path: string, text: string | undefined, message: string][] = [
  ["instance-id", undefined, "has no instance-id: is this an EC2 instance?"],
  ["instance-id", " \n", "has no instance-id: is this an EC2 instance?"],
  ["instance-id", "<html>\n</html>", 'says "<html>\\n</html>" at instance-id, which is not understood'],
  [
    "placement/region",
    "evil.example/x",
    'says "evil.example/x" at placement/region, which is not understood',
  ],
  [macs, "", `has no ${macs}: is this an EC2 instance?`],
  [macs, "../../x/", `says "../../x" at ${macs}, which is not understood`],
  [`${macs}${MAC}/interface-id`, undefined, `has no ${macs}${MAC}/interface-id: is this an EC2 instance?`],
  [
    `${macs}${MAC}/device-number`,
    "one",
    `says "one" at ${macs}${MAC}/device-number, which is not understood`,
  ],
  [`${macs}${MAC}/device-number`, "-1", `says "-1" at ${macs}${MAC}/device-number, which is not understood`],
  [
    `${macs}${MAC}/local-ipv4s`,
    "10.0.0.4\n10.0.0.256",
    `says "10.0.0.256" at ${macs}${MAC}/local-ipv4s, which is`,
  ],
  [
    `${macs}${MAC}/vpc-ipv4-cidr-blocks`,
    "10.0.0.0",
    `says "10.0.0.0" at ${macs}${MAC}/vpc-ipv4-cidr-blocks, which`,
  ],
  [
    `${macs}${MAC}/subnet-ipv6-cidr-blocks`,
    "::/129",
    `says "::/129" at ${macs}${MAC}/subnet-ipv6-cidr-blocks`,
  ],
  [`${macs}${MAC}/security-group-ids`, "sg 1", `says "sg 1" at ${macs}${MAC}/security-group-ids, which`],
  ["instance-id", "i".repeat(10_000), `says "${"i".repeat(60)}…" at instance-id`],
];

for (const [path, text, message] of junk) {
  Deno.test(`readInstance() says that the service ${message.slice(0, 90)}`, async () => {
    const error = await assertRejects(
      () => readInstance(readOf({ ...GOOD, [path]: text }), undefined),
      MetadataError,
    );
    assertEquals(error.message.startsWith(`the instance metadata service ${message}`), true, error.message);
    assertEquals(error.message.includes("\n"), false);
  });
}

Deno.test("an answer that is too large is not read to its end", async () => {
  await using world = openInstance();
  await world.read("instance-id");
  world.aws.control.fail({ hugeBytes: 2 ** 30 });
  await assertRejects(() => world.read("instance-id"), MetadataError, "the answer is larger than 64 KiB");
});
