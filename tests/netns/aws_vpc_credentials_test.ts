import { assertEquals } from "@std/assert";
import { ROLE, type VpcHost, type VpcRig, withVpc } from "../double/aws/vpc_rig.ts";
import { webIdentityToken } from "../double/aws/web_identity.ts";

const TRUST = {
  issuer: "https://oidc.example/1",
  audience: "sts.amazonaws.com",
  subject: "system:serviceaccount:*",
};
/** Where the agent of EKS Pod Identity answers on each host. */
const POD_IDENTITY = "169.254.170.23";

/** What a host has its credentials from, and the variables that say so. */
type Way = (rig: VpcRig) => Promise<Readonly<Record<string, string>>>;

async function write({ directory }: VpcRig, name: string, text: string): Promise<string> {
  const path = `${directory}/${name}`;
  await Deno.writeTextFile(path, text);
  return path;
}

async function tokenFile(rig: VpcRig): Promise<string> {
  const expiresAt = new Date(Date.now() + 3_600_000);
  const subject = "system:serviceaccount:kube-flannel:flannel";
  return await write(rig, `token-${crypto.randomUUID()}`, webIdentityToken({ ...TRUST, subject, expiresAt }));
}

const WAYS: Readonly<Record<string, Way>> = {
  "keys in the environment": ({ aws: { identities } }) => {
    const { accessKeyId, secretAccessKey, sessionToken } = identities.issue(ROLE, "environment", 3600);
    return Promise.resolve({
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    });
  },
  "the role of a service account": async (rig) => ({
    AWS_ROLE_ARN: rig.aws.identities.roleArn("account"),
    AWS_WEB_IDENTITY_TOKEN_FILE: await tokenFile(rig),
  }),
  "EKS Pod Identity": async (rig) => {
    const token = "pod-identity-token";
    rig.router.addAddress(POD_IDENTITY);
    await rig.relay(POD_IDENTITY, 80, rig.aws.openContainerCredentials(ROLE, () => token).port);
    return {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${POD_IDENTITY}/v1/credentials`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: await write(rig, "pod-identity", token),
    };
  },
  "a file with keys": async (rig) => {
    const { accessKeyId, secretAccessKey } = rig.aws.identities.addUser("operator", [rig.policy()]);
    const lines = [
      "[pods]",
      `aws_access_key_id = ${accessKeyId}`,
      `aws_secret_access_key = ${secretAccessKey}`,
    ];
    return {
      AWS_SHARED_CREDENTIALS_FILE: await write(rig, "credentials", `${lines.join("\n")}\n`),
      AWS_PROFILE: "pods",
    };
  },
  "a file that names a role and a token's file": async (rig) => ({
    AWS_CONFIG_FILE: await write(
      rig,
      "config",
      `[default]\nrole_arn = ${
        rig.aws.identities.roleArn("account")
      }\nweb_identity_token_file = ${await tokenFile(
        rig,
      )}\n`,
    ),
  }),
};

Deno.test("a host takes its credentials from all that AWS's own chain takes them from", async (t) => {
  await withVpc(async (rig) => {
    rig.aws.identities.addRole("account", [rig.policy()], TRUST);
    const hosts: (readonly [name: string, host: VpcHost])[] = [];
    for (const [name, way] of Object.entries(WAYS)) {
      hosts.push([name, await rig.addHost({ hasRole: false, environment: await way(rig) })]);
    }
    await Promise.all(hosts.map(([, host]) => host.start()));
    for (const [name, host] of hosts) {
      await t.step(name, async () => {
        await host.ready();
        await host.untilCalm();
        assertEquals(rig.routes().filter((route) => route.endsWith(` ${host.name}`)), rig.routesOf([host]));
      });
    }
  });
});
