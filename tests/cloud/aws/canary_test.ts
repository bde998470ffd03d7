import { assert, assertEquals, assertGreater } from "@std/assert";
import { AgentStateFile } from "../../../src/agent/agent_state_file.ts";
import { openAwsCloud } from "../../../src/cloud/aws/open_aws_cloud.ts";
import { Conditions } from "../../../src/loop/conditions.ts";
import { parseAddress } from "../../../src/model/address.ts";
import { statusApp } from "../../../src/status/app.ts";
import { DoctorRig } from "../../command/doctor/aws_doctor_rig.ts";
import { AwsError } from "../../double/aws/aws_error.ts";
import type { Fault } from "../../double/aws/control.ts";
import { setVariables } from "../../double/aws/process_env.ts";
import { webIdentityToken } from "../../double/aws/web_identity.ts";
import { RecordedLog } from "../../double/recorded_log.ts";
import { READY } from "../../status/facts.ts";
import { ChainProcess } from "./chain_rig.ts";
import { awsConfig, desiredOf } from "./aws_rig.ts";

const OWN = "10.244.1.0/24";

/** A host whose secrets are known, and all that it writes. */
async function openHost() {
  const doctor = new DoctorRig();
  const { identities } = doctor.rig.aws;
  const secrets = new Set<string>();
  const issue = identities.issue.bind(identities);
  identities.issue = (...args) => {
    const credentials = issue(...args);
    const { accessKeyId, secretAccessKey, sessionToken } = credentials;
    for (const secret of [accessKeyId, secretAccessKey, sessionToken]) secrets.add(secret);
    return credentials;
  };
  const folder = await Deno.makeTempDir({ prefix: "loden-canary-" });
  const written: string[] = [];

  /** Runs the agent's part and the doctor with these variables, and keeps what they wrote. */
  async function run(environment: Readonly<Record<string, string | undefined>>): Promise<void> {
    using _variables = setVariables(environment);
    const log = new RecordedLog();
    const cloud = openAwsCloud(awsConfig({ ENI: "device-index=0" }), {
      ...{ environment, log, underlay: () => [parseAddress(doctor.eni.addresses[0]!)] },
      elapsedMs: () => performance.now(),
    });
    const board = new Conditions({ log, now: () => new Date(), elapsedMs: () => 0 });
    cloud.want(desiredOf({ own: [OWN] }), { isRemembered: false });
    await cloud.turn({ signal: AbortSignal.timeout(60_000) });
    const standing = board.see(cloud.conditions);
    const app = statusApp(() => ({ ...READY, conditions: () => standing, cloud: () => cloud.report }));
    for (const path of ["/status", "/metrics", "/readyz"]) {
      written.push(await (await app.request(path)).text());
    }
    new AgentStateFile(`${folder}/subnet.env`, { now: () => new Date() }).keep(standing);
    for await (const { name } of Deno.readDir(folder)) {
      if (name.endsWith(".json")) written.push(await Deno.readTextFile(`${folder}/${name}`));
    }
    written.push(...log.lines);
    try {
      written.push((await doctor.run({}, { environment })).text);
    } catch (error) {
      written.push(error instanceof Error ? `${error.stack} ${error.cause}` : String(error));
    }
  }

  return {
    ...{ doctor, secrets, folder, run },
    aws: doctor.rig.aws,
    environment: { ...doctor.environment, AWS_MAX_ATTEMPTS: "1" } as Record<string, string | undefined>,
    secret(text: string) {
      secrets.add(text);
      return text;
    },
    async file(name: string, text: string) {
      await Deno.mkdir(`${folder}/in`, { recursive: true });
      await Deno.writeTextFile(`${folder}/in/${name}`, text);
      return `${folder}/in/${name}`;
    },
    /** What was written, with no secret in it. */
    check(...more: readonly string[]) {
      const text = [...written, ...more].join("\n");
      assertGreater(text.length, 100);
      assertGreater(secrets.size, 0);
      for (const secret of secrets) {
        assert(secret.length > 7, "a canary is long enough to be one");
        for (const part of [secret, encodeURIComponent(secret), secret.slice(0, 20), secret.slice(-20)]) {
          const at = text.indexOf(part);
          assertEquals(at < 0 ? "" : text.slice(Math.max(0, at - 200), at + 100), "", "no secret is written");
        }
      }
    },
    async [Symbol.asyncDispose]() {
      await doctor[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** No keys but those that a test names. */
const NO_KEYS = {
  AWS_ACCESS_KEY_ID: undefined,
  AWS_SECRET_ACCESS_KEY: undefined,
  AWS_SESSION_TOKEN: undefined,
};

Deno.test("no credential is written, whatever goes wrong with EC2", async () => {
  await using host = await openHost();
  const { environment } = host;
  for (const name of Object.keys(NO_KEYS)) host.secret(environment[name]!);
  const faults: readonly Fault[] = [
    "throttle",
    "html 500",
    "cut",
    "lost answer",
    { hugeBytes: 5 * 2 ** 20 },
    new AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    new AwsError("RequestExpired", "Request has expired."),
    new AwsError("RouteLimitExceeded", "The maximum number of routes has been reached."),
  ];
  for (const action of ["DescribeRouteTables", "CreateRoute", "ModifyNetworkInterfaceAttribute"]) {
    for (const fault of faults) {
      host.aws.control.heal();
      host.aws.control.fail(fault, { action, times: 9 });
      await host.run(environment);
      host.aws.cloud.putRoute(host.doctor.rig.tableId, OWN, undefined);
    }
  }
  host.aws.control.heal();
  await host.run(environment);
  host.aws.identities.setPolicies("node", []);
  await host.run(environment);
  host.aws.control.clockOffsetMs = 3_600_000;
  await host.run(environment);
  await host.run({ ...environment, AWS_SECRET_ACCESS_KEY: host.secret("wrong/secret+that/is+none/at/all") });
  host.check();
});

/** Repeats all of a request, as AWS does with what was signed, and as a proxy does on its page. */
async function echo(request: Request, shape: "error" | "page" | "redirect"): Promise<Response> {
  const text = `${[...request.headers].map(([name, value]) => `${name}:${value}`).join("\n")}\n${await request
    .text()}`;
  if (shape === "page") return new Response(`<html>${text}</html>`, { status: 502 });
  if (shape === "redirect") {
    const headers = { location: `http://127.0.0.1:1/?${new URLSearchParams([...request.headers])}` };
    return new Response(null, { status: 302, headers });
  }
  const [Code, Message] = ["SignatureDoesNotMatch", text.replaceAll("&", "&amp;").replaceAll("<", "&lt;")];
  return new Response(
    `<Response><Errors><Error><Code>${Code}</Code><Message>The Canonical String should have been ${Message}</Message>` +
      "</Error></Errors></Response>",
    { status: 403 },
  );
}

for (const shape of ["error", "page", "redirect"] as const) {
  Deno.test(`no credential is written where what answers for EC2 repeats it: ${shape}`, async () => {
    await using host = await openHost();
    const { environment } = host;
    for (const name of Object.keys(NO_KEYS)) host.secret(environment[name]!);
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen() {} },
      (one) => echo(one, shape),
    );
    const url = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
    await host.run({ ...environment, AWS_ENDPOINT_URL_EC2: url });
    host.check();
  });
}

/** What a service gives that gives credentials, if it is broken: parts of them in what is no JSON. */
const BROKEN = [
  (keys: string) => keys,
  (keys: string) => keys.slice(0, -1),
  (keys: string) => keys.replaceAll('"', ""),
  (keys: string) => keys.replace(/"SecretAccessKey":"([^"]*)"/, '"SecretAccessKey":$1'),
  (keys: string) => keys.replace("Expiration", "Expired"),
  (keys: string) => keys.replace("AccessKeyId", "Id"),
  (keys: string) => `<html>${keys}</html>`,
];

/** AWS's code leaves timers and connections behind. */
const LEAVES = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  "no credential and no token is written where the metadata service or a container's endpoint is broken",
  LEAVES,
  async () => {
    await using host = await openHost();
    const token = host.secret("a-token-of-the-metadata-service-or-of-a-container");
    const keys = JSON.stringify({
      Code: "Success",
      AccessKeyId: host.secret("ASIACANARY0123456789"),
      SecretAccessKey: host.secret("canary/secret+canary/secret+canary/secret"),
      Token: host.secret("canaryTokenCanaryTokenCanaryTokenCanaryToken=="),
      Expiration: "2099-01-01T00:00:00Z",
    });
    let broken = BROKEN[0]!;
    await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
      const { pathname } = new URL(request.url);
      if (request.method === "PUT") return new Response(token);
      if (pathname.endsWith("/security-credentials/")) return new Response("node");
      if (pathname.includes("/security-credentials/") || pathname === "/creds") {
        return new Response(broken(keys));
      }
      const headers = { "x-aws-ec2-metadata-token": host.secret(await metadataToken(host.doctor.imds.url)) };
      return await fetch(`${host.doctor.imds.url}${pathname}`, { headers });
    });
    const url = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
    const base = { ...host.environment, ...NO_KEYS, AWS_EC2_METADATA_SERVICE_ENDPOINT: url };
    const container = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/creds`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: token,
    };
    for (broken of BROKEN) {
      await host.run(base);
      await host.run({ ...base, ...container });
    }
    const AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = await host.file("token", `${token}\n`);
    await host.run({
      ...base,
      ...container,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: undefined,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE,
    });
    host.check();
  },
);

async function metadataToken(url: string): Promise<string> {
  const headers = { "x-aws-ec2-metadata-token-ttl-seconds": "60" };
  return await (await fetch(`${url}/latest/api/token`, { method: "PUT", headers })).text();
}

Deno.test("no token of a service account is written, and none of what STS gave for it", LEAVES, async () => {
  await using host = await openHost();
  const tokenOf = (lifeMs: number, issuer: string) =>
    host.secret(webIdentityToken({
      ...{ issuer, subject: "system:serviceaccount:a:b", audience: "sts.amazonaws.com" },
      expiresAt: new Date(Date.now() + lifeMs),
    }));
  const trust = { issuer: "https://oidc.example", audience: "sts.amazonaws.com", subject: "*" };
  const arn = host.aws.identities.addRole("pod", [], trust);
  const base = { ...host.environment, ...NO_KEYS, AWS_ROLE_ARN: arn, AWS_ROLE_SESSION_NAME: "pod-a" };
  const tokens = [
    tokenOf(3_600_000, "https://oidc.example"),
    tokenOf(-3_600_000, "https://oidc.example"),
    tokenOf(3_600_000, "https://other.example"),
    host.secret("no-token-at-all-but-still-a-secret"),
  ];
  for (const [n, token] of tokens.entries()) {
    await host.run({ ...base, AWS_WEB_IDENTITY_TOKEN_FILE: await host.file(`token-${n}`, token) });
  }
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (one) => echo(one, "error"),
  );
  const AWS_ENDPOINT_URL_STS = `http://127.0.0.1:${(server.addr as Deno.NetAddr).port}`;
  const AWS_WEB_IDENTITY_TOKEN_FILE = `${host.folder}/in/token-0`;
  await host.run({ ...base, AWS_WEB_IDENTITY_TOKEN_FILE, AWS_ENDPOINT_URL_STS });
  host.check();
});

// What the tests before have left behind may end during this one.
Deno.test("no line of shared files is written, also where they can't be read", LEAVES, async () => {
  await using host = await openHost();
  const secret = host.secret("canary/secret+canary/secret+canary/secret");
  const id = host.secret("AKIACANARY0123456789");
  const files = [
    `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`,
    `[default\naws_access_key_id = ${id}\n${secret}\n= ${secret}\n[]\n[__proto__]\n${secret} = 1`,
    `[default]\naws_access_key_id = ${id}\n`,
    `[default]\ncredential_process = echo '{"Version":1,"AccessKeyId":"${id}","SecretAccessKey":${secret}}'\n`,
    `[default]\ncredential_process = echo ${secret} >&2; false\n`,
  ];
  const written: string[] = [];
  for (const [n, text] of files.entries()) {
    const path = await host.file(`shared-${n}`, text);
    const environment = {
      ...host.environment,
      AWS_SHARED_CREDENTIALS_FILE: path,
      AWS_CONFIG_FILE: "/nonexistent",
    };
    for (const name of Object.keys(NO_KEYS)) delete (environment as Record<string, unknown>)[name];
    await using child = new ChainProcess(environment as Record<string, string>);
    written.push((await child.ask()).said, await child.end());
  }
  await host.run(host.environment);
  host.check(...written);
});
