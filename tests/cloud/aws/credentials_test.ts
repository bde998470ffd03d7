import { assertEquals, assertLess, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { credentialChain } from "../../../src/cloud/aws/credentials.ts";
import { AwsError } from "../../double/aws/aws_error.ts";
import { FakeAws } from "../../double/aws/fake_aws.ts";
import { allow } from "../../double/aws/small_cloud.ts";
import { webIdentityToken } from "../../double/aws/web_identity.ts";
import { FakeTime } from "../../std_testing/time.ts";
import { ChainProcess } from "./chain_rig.ts";

const ISSUER = "https://oidc.example/id/LODEN";
const SUBJECT = "system:serviceaccount:kube-flannel:flannel";
const AUDIENCE = "sts.amazonaws.com";
const READ = allow({ Action: "ec2:DescribeRouteTables", Resource: "*" });
/** AWS's code asks anew when less than this is left of what it has. */
const MARGIN_SECONDS = 300;

/** An AWS with a role `node`, an instance that has it, and files for a host's configuration. */
async function openWorld() {
  const aws = FakeAws.open();
  const { cloud, identities } = aws;
  const vpc = cloud.addVpc({ cidr: "10.0.0.0/16" });
  const subnet = cloud.addSubnet(vpc.id, { cidr: "10.0.1.0/24" });
  const trust = { issuer: ISSUER, audience: AUDIENCE, subject: SUBJECT };
  const roleArn = identities.addRole("node", [READ], trust);
  const { instance } = cloud.runInstance(subnet.id, { role: "node" });
  const imds = aws.openImds(instance.id);
  const folder = await Deno.makeTempDir({ prefix: "loden-aws-" });
  return {
    ...{ aws, instance, imds, folder, roleArn },
    /** The variables of a host on which nothing is said: AWS's files are where none are. */
    env: { ...aws.env(), AWS_EC2_METADATA_SERVICE_ENDPOINT: imds.url },
    async file(name: string, text: string) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
      return `${folder}/${name}`;
    },
    /** Who signed the last call that EC2 got. */
    caller: () => aws.control.calls.findLast(({ service }) => service === "ec2")?.caller.split(":").at(-1),
    count: (service: string) => aws.control.calls.filter((call) => call.service === service).length,
    async [Symbol.asyncDispose]() {
      await aws[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

type World = Awaited<ReturnType<typeof openWorld>>;

function tokenOf({ aws }: World, lifeMs = 3_600_000, subject = SUBJECT): string {
  const expiresAt = new Date(aws.control.now() + lifeMs);
  return webIdentityToken({ issuer: ISSUER, subject, audience: AUDIENCE, expiresAt });
}

/** Asks once in a process with these variables, which must print nothing by itself. */
async function askOnce(env: Readonly<Record<string, string>>): Promise<string> {
  await using child = new ChainProcess(env);
  const { said } = await child.ask();
  assertEquals(await child.end(), "", "nothing else is printed");
  return said;
}

/** Asks until something has happened: what expires soon is renewed beside the calls. */
async function askUntil(child: ChainProcess, isDone: () => boolean): Promise<void> {
  for (let count = 0; !isDone(); count++) {
    assertLess(count, 50);
    assertEquals((await child.ask()).said, "ok");
  }
}

Deno.test("credentials come from the environment, of a user or with a session's token", async () => {
  await using world = await openWorld();
  const { identities } = world.aws;
  const user = identities.addUser("operator", [READ]);
  assertEquals(await askOnce({ ...world.env, ...world.aws.env(user) }), "ok");
  assertEquals(world.caller(), "user/operator");
  const session = identities.issue("node", "by-hand", 900);
  assertEquals(await askOnce({ ...world.env, ...world.aws.env(session) }), "ok");
  assertEquals(world.caller(), "assumed-role/node/by-hand");
  assertEquals(world.count("imds"), 0, "nobody else is asked");
});

Deno.test("credentials come from the shared files and the profile that variables name", async () => {
  await using world = await openWorld();
  const [one, two] = ["one", "two"].map((name) => world.aws.identities.addUser(name, [READ]));
  const keys = (of: typeof one) =>
    `aws_access_key_id = ${of!.accessKeyId}\naws_secret_access_key = ${of!.secretAccessKey}\n`;
  const AWS_SHARED_CREDENTIALS_FILE = await world.file("credentials", `[default]\n${keys(one)}`);
  const AWS_CONFIG_FILE = await world.file("config", `[profile pods]\n${keys(two)}`);
  const env = { ...world.env, AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE };
  assertEquals(await askOnce(env), "ok");
  assertEquals(world.caller(), "user/one");
  // Keys in the environment beside a profile: AWS's code warns on the console, unless it is kept from it.
  assertEquals(await askOnce({ ...env, AWS_PROFILE: "pods", ...world.aws.env(one) }), "ok");
  assertEquals(world.caller(), "user/two");
});

Deno.test("keys of a shared file that were exchanged are used without a restart", async () => {
  await using world = await openWorld();
  const [old, other] = ["old", "other"].map((name) => world.aws.identities.addUser(name, [READ]));
  const text = ({ accessKeyId, secretAccessKey }: NonNullable<typeof old>) =>
    `[default]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`;
  const AWS_SHARED_CREDENTIALS_FILE = await world.file("credentials", text(old!));
  await using child = new ChainProcess({ ...world.env, AWS_SHARED_CREDENTIALS_FILE });
  assertEquals((await child.ask()).said, "ok");
  await world.file("credentials", text(other!));
  world.aws.control.fail(new AwsError("AuthFailure", "not any more", 401));
  assertEquals((await child.ask()).said, "ok");
  assertEquals(world.caller(), "user/other");
  assertEquals(await child.end(), "");
});

Deno.test("a service account's token becomes a role (IRSA), and is read again at each refresh", async () => {
  await using world = await openWorld();
  const AWS_WEB_IDENTITY_TOKEN_FILE = await world.file("token", tokenOf(world));
  await using child = new ChainProcess({
    ...world.env,
    AWS_WEB_IDENTITY_TOKEN_FILE,
    AWS_ROLE_ARN: world.roleArn,
    AWS_ROLE_SESSION_NAME: "pod-a",
  });
  assertEquals((await child.ask()).said, "ok");
  assertEquals(world.caller(), "assumed-role/node/pod-a");
  assertEquals(world.count("sts"), 1);
  await child.ask();
  assertEquals(world.count("sts"), 1, "what holds is not asked for again");
  // Kubernetes writes another token; the credentials are refused, as they are when they were revoked.
  const rotated = tokenOf(world, 1_800_000);
  await world.file("token", rotated);
  world.aws.control.fail(new AwsError("RequestExpired", "Request has expired."), {
    action: "DescribeRouteTables",
  });
  assertEquals((await child.ask()).said, "ok");
  const last = world.aws.control.calls.findLast(({ service }) => service === "sts");
  assertEquals(last?.query?.text("WebIdentityToken"), rotated);
  assertEquals(await child.end(), "");
});

Deno.test("a service account's token that has expired, is not trusted, or is not there is told in a sentence", async () => {
  await using world = await openWorld();
  const path = await world.file("token", tokenOf(world, -60_000));
  const env = {
    ...world.env,
    AWS_WEB_IDENTITY_TOKEN_FILE: path,
    AWS_ROLE_ARN: world.roleArn,
    AWS_ROLE_SESSION_NAME: "pod-a",
  };
  await using child = new ChainProcess(env);
  assertStringIncludes((await child.ask()).said, "Token expired: current date/time");
  await world.file("token", tokenOf(world, 60_000, "system:serviceaccount:other:other"));
  assertStringIncludes(
    (await child.ask()).said,
    "Not authorized to perform sts:AssumeRoleWithWebIdentity",
  );
  await Deno.remove(path);
  assertStringIncludes((await child.ask()).said, `${world.folder}/token`);
  assertEquals(await child.end(), "");
  assertEquals(world.count("imds"), 0, "the instance's own role does not stand in for it");
});

Deno.test("a container's endpoint gives credentials (EKS Pod Identity), with a token that is read each time", async () => {
  await using world = await openWorld();
  let token = "first";
  // What holds for less than AWS's margin is asked for anew each time.
  const endpoint = world.aws.openContainerCredentials("node", () => token, MARGIN_SECONDS - 60);
  const AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = await world.file("token", token);
  await using child = new ChainProcess({
    ...world.env,
    AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint.url}/v1/credentials`,
    AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE,
  });
  assertEquals((await child.ask()).said, "ok");
  assertEquals(world.caller(), "assumed-role/node/container");
  token = "second";
  await world.file("token", token);
  await askUntil(child, () => world.count("container") > 1);
  const results = world.aws.control.calls.filter(({ service }) => service === "container")
    .map(({ result }) => result);
  assertEquals(results, ["ok", "ok"]);
  assertEquals(await child.end(), "");
});

Deno.test("a container's endpoint may be named with its token (ECS), and must be one of AWS's or this host's", async () => {
  await using world = await openWorld();
  const endpoint = world.aws.openContainerCredentials("node", () => "let me in");
  const env = { ...world.env, AWS_CONTAINER_AUTHORIZATION_TOKEN: "let me in" };
  const full = { ...env, AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint.url}/creds` };
  assertEquals(await askOnce(full), "ok");
  assertEquals(world.caller(), "assumed-role/node/container");
  const wrong = await askOnce({ ...full, AWS_CONTAINER_AUTHORIZATION_TOKEN: "no" });
  assertStringIncludes(wrong, "the container's endpoint that AWS_CONTAINER_CREDENTIALS_FULL_URI names");
  const away = await askOnce({ ...env, AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://192.0.2.1/creds" });
  assertStringIncludes(away, "no credentials from the container's endpoint");
  assertEquals(away.includes("\n"), false, away);
});

Deno.test("an instance's role gives credentials, by the metadata service of version 2, also without a home", async () => {
  await using world = await openWorld();
  assertEquals(await askOnce(world.env), "ok");
  assertEquals(world.caller(), `assumed-role/node/${world.instance.id}`);
  const actions = world.aws.control.calls.filter(({ service }) => service === "imds")
    .map(({ action }) => action.replace("/latest/", ""));
  assertEquals(actions[0], "PUT api/token");
  assertEquals(world.aws.control.calls.every(({ result }) => result === "ok"), true);
});

Deno.test("credentials of an instance are taken anew before they expire", async () => {
  await using world = await openWorld();
  world.imds.settings.credentialSeconds = MARGIN_SECONDS - 60;
  await using child = new ChainProcess(world.env);
  assertEquals((await child.ask()).said, "ok");
  const asked = world.count("imds");
  await askUntil(child, () => world.count("imds") > asked);
  assertEquals(await child.end(), "");
});

Deno.test("an instance without a role, and one whose metadata is off, are told in a sentence", async () => {
  await using world = await openWorld();
  const { cloud } = world.aws;
  cloud.instances.set(world.instance.id, { ...world.instance, role: undefined });
  const none = await askOnce(world.env);
  assertStringIncludes(none, "no credentials");
  assertStringIncludes(none, "role");
  const off = await askOnce({ ...world.env, AWS_EC2_METADATA_DISABLED: "true" });
  assertStringIncludes(off, "no credentials");
  assertStringIncludes(off, "AWS_EC2_METADATA_DISABLED");
  for (const text of [none, off]) assertEquals(/\n| {4}at /.test(text), false, text);
});

Deno.test("a service that gives credentials and never answers costs a call ten seconds, and is asked again", async () => {
  const ways: readonly ((world: World) => Promise<Record<string, string>>)[] = [
    () => Promise.resolve({}),
    (world) =>
      Promise.resolve({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${
          world.aws.openContainerCredentials("node", () => "t").url
        }/creds`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN: "t",
      }),
    async (world) => ({
      AWS_WEB_IDENTITY_TOKEN_FILE: await world.file("token", tokenOf(world)),
      AWS_ROLE_ARN: world.roleArn,
    }),
  ];
  await Promise.all(ways.map(async (way) => {
    await using world = await openWorld();
    await using child = new ChainProcess({ ...world.env, ...await way(world) });
    world.aws.control.fail("silence", { times: 99 });
    const { said, tookMs } = await child.ask();
    assertMatch(said, /^no credentials from .*: nothing within 10 s$/);
    assertLess(tookMs, 13_000);
    world.aws.control.heal();
    assertEquals((await child.ask()).said, "ok");
    assertEquals(await child.end(), "");
  }));
});

Deno.test("a chain that hangs is given up after ten seconds, and another is made for who comes later", async () => {
  using time = new FakeTime();
  let made = 0;
  const chain = credentialChain("eu-central-1", () => {
    const isFirst = ++made === 1;
    return () =>
      isFirst ? new Promise<never>(() => {}) : Promise.resolve({ accessKeyId: "a", secretAccessKey: "b" });
  });
  const first = chain({ isFresh: false });
  const second = chain({ isFresh: false });
  const refusals = Promise.all([first, second].map((one) => assertRejects(() => one, Error, "within 10 s")));
  time.tick(10_000);
  await refusals;
  assertEquals(made, 2);
  assertEquals((await chain({ isFresh: false })).accessKeyId, "a");
});
