import { assertEquals } from "@std/assert";
import { ensureImage } from "../../.ci/image.ts";
import { AF_INET, AF_INET6, formatAddress } from "../../src/model/address.ts";
import { CLUSTER } from "../cloud/aws/aws_rig.ts";
import { type VpcHost, type VpcRig, withVpc } from "../double/aws/vpc_rig.ts";
import { webIdentityToken } from "../double/aws/web_identity.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { until, untilReady } from "../double/overlay_rig.ts";
import { nodeOf } from "../double/overlay_servers.ts";
import { AttachedPod, furnish } from "./attached.ts";
import { SERVICE_HOST, SERVICE_PORT, TestCluster } from "./cluster.ts";
import type { DaemonSet } from "./daemon_set.ts";
import { DaemonNode } from "./daemon_set_world.ts";

const MANIFEST = new URL("../../manifests/kube-flannel.yml", import.meta.url);
const FAMILIES = [AF_INET, AF_INET6] as const;
/** Where EKS's webhook mounts the token, as the folder of a host here. */
const TOKEN_FOLDER = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
const TRUST = {
  issuer: "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF",
  audience: "sts.amazonaws.com",
  subject: "system:serviceaccount:kube-flannel:flannel",
};

/** The DaemonSet's pods as EKS's webhook changes them for a service account that is annotated with a role. */
function withRole(daemonSet: DaemonSet, roleArn: string, more: Readonly<Record<string, string>>): DaemonSet {
  const copy = structuredClone(daemonSet);
  const spec = copy.spec.template.spec!;
  const [agent] = spec.containers;
  const variables = {
    AWS_ROLE_ARN: roleArn,
    AWS_WEB_IDENTITY_TOKEN_FILE: `${TOKEN_FOLDER}/token`,
    AWS_STS_REGIONAL_ENDPOINTS: "regional",
    ...more,
  };
  agent!.env!.push(...Object.entries(variables).map(([name, value]) => ({ name, value })));
  const name = "aws-iam-token";
  agent!.volumeMounts!.push({ name, mountPath: TOKEN_FOLDER, readOnly: true });
  spec.volumes!.push({ name, hostPath: { path: TOKEN_FOLDER, type: "Directory" } });
  return copy;
}

/** A token as the kubelet projects it, in the place of the last one. */
async function projectToken(root: string, lifeSeconds: number): Promise<string> {
  const token = webIdentityToken({ ...TRUST, expiresAt: new Date(Date.now() + lifeSeconds * 1000) });
  const path = `${root}${TOKEN_FOLDER}/token`;
  await Deno.writeTextFile(`${path}.new`, token);
  await Deno.rename(`${path}.new`, path);
  return token;
}

/** Makes a cluster of two nodes in a VPC, with a network that the manifests are to make. */
async function openNodes(rig: VpcRig, cluster: TestCluster, stack: AsyncDisposableStack) {
  const image = await ensureImage();
  const { aws: { identities }, libc } = rig;
  const role = identities.addRole("flannel", [rig.policy({ ENI: "managed" })], TRUST);
  const manifest = (await Deno.readTextFile(MANIFEST))
    .replace('"Type": "vxlan"', `"Type": "aws-vpc", "ENI": "managed", "Cluster": "${CLUSTER}"`)
    .replace('"EnableNFTables"', '"EnableIPv6": true, "IPv6Network": "fd00:10:244::/56", "EnableNFTables"');
  const objects = await cluster.apply(manifest);
  const daemonSet = objects.find(({ kind }) => kind === "DaemonSet") as unknown as DaemonSet;
  rig.router.addAddress(SERVICE_HOST);
  await rig.relay(SERVICE_HOST, SERVICE_PORT, cluster.server.port);
  const nodes: { readonly host: VpcHost; readonly node: DaemonNode }[] = [];
  for (const number of [1, 2]) {
    await cluster.server.createNode(nodeOf(number, { families: FAMILIES }));
    const host = await rig.addHost({ subnet: number === 1 ? 0 : 1, hasRole: false });
    const { name, netns, directory, underlayAddresses } = host.lab;
    const root = `${directory}/root`;
    await furnish(root);
    await Deno.mkdir(root + TOKEN_FOLDER, { recursive: true });
    await projectToken(root, 86_400);
    const place = { libc, name, address: formatAddress(underlayAddresses[0]!), netns, root, image, cluster };
    const node = new DaemonNode(place, withRole(daemonSet, role, host.environment), cluster);
    await node.start();
    stack.defer(() => node.running[Symbol.asyncDispose]());
    nodes.push({ host, node });
  }
  return nodes;
}

Deno.test("the manifests make a network in a VPC, with the role of a service account and an interface of each node's own", async (t) => {
  await using cluster = await TestCluster.open();
  await withVpc(async (rig) => {
    await using stack = new AsyncDisposableStack();
    const nodes = await openNodes(rig, cluster, stack);
    const pods: AttachedPod[] = [];
    for (const { node } of nodes) {
      await node.running.untilReady();
      await node.untilConflist();
      pods.push(stack.use(await AttachedPod.attach(node.place, 1)));
    }
    const [one, other] = pods as [AttachedPod, AttachedPod];
    const [first, second] = nodes as [(typeof nodes)[number], (typeof nodes)[number]];
    await rig.router.settled();
    assertEquals(rig.routes(), [
      ...["10.244.1.0/24 h1", "10.244.2.0/24 h2"],
      ...["fd00:10:244:1::/64 h1", "fd00:10:244:2::/64 h2"],
    ]);
    const { control, identities } = rig.aws;
    const assumed = () => control.calls.filter(({ action }) => action === "AssumeRoleWithWebIdentity");
    assertEquals(assumed().map(({ result }) => result), ["ok", "ok"]);

    const pings: RunningPing[] = [];
    for (const family of [0, 1]) {
      pings.push(stack.use(await RunningPing.start(one.asPinger, other.asPinger, family)));
      pings.push(stack.use(await RunningPing.start(other.asPinger, one.asPinger, family)));
    }

    await t.step("credentials that are over are asked for with the token of now", async () => {
      rig.writes();
      const token = await projectToken(first.host.lab.directory + "/root", 86_400 + 60);
      identities.expireAll();
      await first.host.nudge();
      await until("see the token used", () => assumed().length > 0 || undefined);
      assertEquals(assumed()[0]!.query!.text("WebIdentityToken"), token);
      await until(
        "see EC2 asked with what it got",
        () => control.calls.some(({ service, result }) => service === "ec2" && result === "ok") || undefined,
      );
      await first.host.untilCalm();
      // Its address has been away: it is of use again once the kernel knows that nobody else has it.
      await untilReady(rig.libc, first.host.lab);
    });

    await t.step("an update of the DaemonSet writes nothing to EC2", async () => {
      rig.writes();
      const { code } = await second.node.stop();
      assertEquals(code, 0);
      await second.node.start();
      await second.node.running.untilReady();
      await second.host.untilCalm();
      assertEquals(rig.writes(), []);
    });
    await Promise.all(pings.map((ping) => ping.untilMore(20)));
    await assertNoneLost(pings);
  });
});
