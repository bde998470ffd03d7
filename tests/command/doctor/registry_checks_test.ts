import { assert, assertEquals, assertMatch } from "@std/assert";
import { flagsToNote, writeNotedFlags } from "../../../src/agent/noted_flags.ts";
import { openDoctorPlace } from "../../../src/command/doctor/doctor.ts";
import type { Finding } from "../../../src/command/doctor/finding.ts";
import { runChecks } from "../../../src/command/doctor/check.ts";
import { DoctorPlace } from "../../../src/command/doctor/place.ts";
import { REGISTRY_CHECKS } from "../../../src/command/doctor/registry_checks.ts";
import { parseOptions } from "../../../src/config/options.ts";
import { EtcdServer } from "../../double/etcd.ts";
import { KubeApiServer } from "../../double/kube_apiserver.ts";
import { freePort } from "../../double/server_process.ts";

const { signal } = new AbortController();
const PREFIX = "/coreos.com/network";
const A = "0e:2a:00:00:00:0a";

/** `VERDICT CHECK` and the text of each finding. */
async function look(
  args: readonly string[],
  environment: Record<string, string> = {},
): Promise<readonly Finding[]> {
  const outcome = parseOptions([...args, "-lease-cache="], environment);
  assert(outcome.kind === "run");
  const given = new Set(outcome.given.keys());
  using place = new DoctorPlace({ options: outcome.options, given, environment, signal });
  return await Array.fromAsync(runChecks(REGISTRY_CHECKS, place, { signal }));
}

function verdicts(findings: readonly Finding[]): string[] {
  return findings.map(({ check, verdict }) => `${check} ${verdict}`);
}

function textOf(findings: readonly Finding[], check: string): string {
  return findings.filter((finding) => finding.check === check).map(({ text }) => text).join("\n");
}

/** A lease as flannel writes it. */
function lease(publicIp: string, mac: string, backendType = "vxlan"): string {
  return JSON.stringify({
    PublicIP: publicIp,
    BackendType: backendType,
    BackendData: { VNI: 1, VtepMAC: mac },
  });
}

Deno.test("the doctor finds what contradicts itself in a real etcd, when certificates end, and that it is away", async () => {
  await using etcd = await EtcdServer.open({ tls: "both" });
  const { caFile, certFile, keyFile } = etcd.access.tls;
  const flags = [
    `-etcd-endpoints=${etcd.url}`,
    `-etcd-cafile=${caFile}`,
    `-etcd-certfile=${certFile}`,
    `-etcd-keyfile=${keyFile}`,
  ];
  await etcd.put(
    `${PREFIX}/config`,
    JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } }),
  );
  await etcd.put(`${PREFIX}/subnets/10.244.1.0-24`, lease("192.0.2.1", A));
  await etcd.put(`${PREFIX}/subnets/10.244.2.0-24`, lease("192.0.2.2", "0e:2a:00:00:00:0b"));
  const healthy = await look(flags);
  assertEquals(verdicts(healthy), [
    "configuration ok",
    "registry ok",
    // They are issued for two days.
    "certificates doubtful",
    "certificates doubtful",
    "server-clock ok",
    "permissions ok",
    "leases ok",
  ]);
  assertMatch(textOf(healthy, "certificates"), /host\.crt expires on \d{4}-\d\d-\d\d\n.*ca\.crt expires on/);
  const changes = (await etcd.client.range(`${PREFIX}/`, { signal, isCount: true })).revision;

  await etcd.put(`${PREFIX}/subnets/10.244.2.128-25`, lease("192.0.2.3", "0e:2a:00:00:00:0c"));
  await etcd.put(`${PREFIX}/subnets/10.244.3.0-24`, lease("192.0.2.1", "0e:2a:00:00:00:0d"));
  await etcd.put(`${PREFIX}/subnets/10.244.4.0-24`, lease("192.0.2.4", A));
  await etcd.put(`${PREFIX}/subnets/10.42.5.0-24`, lease("192.0.2.5", "0e:2a:00:00:00:0e"));
  await etcd.put(`${PREFIX}/subnets/10.244.6.0-24`, lease("192.0.2.6", "0e:2a:00:00:00:0f", "host-gw"));
  await etcd.put(`${PREFIX}/subnets/10.244.7.0-24`, "{");
  const broken = textOf(await look(flags), "leases");
  for (
    const words of [
      "1 subnets overlap another's: 10.244.2.0/24",
      "the same underlay address is published twice: 192.0.2.1 of",
      `the same VTEP MAC is published twice: ${A} of`,
      "outside of 10.244.0.0/16: 10.42.5.0/24",
      "have another backend (host-gw)",
      "1 entry can't be read",
    ]
  ) assert(broken.includes(words), `${words}\n${broken}`);
  const after = (await etcd.client.range(`${PREFIX}/`, { signal, isCount: true })).revision;
  assertEquals(after - changes, 6, "nothing is written");

  await etcd.stop();
  const away = await look(flags);
  assertEquals(verdicts(away).filter((one) => !one.startsWith("certificates")), [
    "configuration wrong",
    "registry wrong",
    "server-clock unseen",
    "permissions ok",
    "leases unseen",
  ]);
  assertMatch(textOf(away, "registry"), /can't be followed: .*Connection refused/);
});

Deno.test("the doctor does not call wrong what nobody has named, and says which flags to give", async () => {
  const findings = await look([]);
  assertEquals(findings.filter(({ verdict }) => verdict === "wrong"), []);
  const { remedy = "" } = findings.find(({ check }) => check === "registry")!;
  assertMatch(remedy, /-kube-subnet-mgr or -etcd-endpoints/);
});

Deno.test("the doctor takes flags that the agent has noted, and does not call wrong what needs a secret that it has not", async () => {
  await using etcd = await EtcdServer.open({ withUsers: true });
  const config = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } });
  await etcd.put(`${PREFIX}/config`, config);
  const folder = await Deno.makeTempDir({ prefix: "loden-doctor-" });
  try {
    const args = [`-etcd-endpoints=${etcd.url}`, "-etcd-username=root", "-etcd-password=correct horse"];
    writeNotedFlags(`${folder}/flags.json`, flagsToNote(args, {}));
    const own = [`-subnet-file=${folder}/subnet.env`, "-lease-cache="];
    const registryOf = async (more: readonly string[]) => {
      using place = openDoctorPlace([...own, ...more], {}, { signal });
      const found = await Array.fromAsync(runChecks(REGISTRY_CHECKS, place, { signal }));
      return found.find(({ check }) => check === "registry")!;
    };
    const { verdict, text } = await registryOf([]);
    assertEquals([verdict, text], ["unseen", text]);
    assertMatch(text, /the agent had -etcd-password, which is noted nowhere$/);
    assertEquals((await registryOf(["-etcd-password=correct horse"])).verdict, "ok");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

function node(
  name: string,
  podCIDR: string | undefined,
  publicIp: string,
  mac: string,
): Record<string, unknown> {
  const prefix = "flannel.alpha.coreos.com";
  const annotations = {
    [`${prefix}/kube-subnet-manager`]: "true",
    [`${prefix}/backend-type`]: "vxlan",
    [`${prefix}/backend-data`]: JSON.stringify({ VNI: 1, VtepMAC: mac }),
    [`${prefix}/public-ip`]: publicIp,
  };
  return {
    metadata: { name, annotations },
    ...podCIDR !== undefined && { spec: { podCIDR, podCIDRs: [podCIDR] } },
  };
}

Deno.test("the doctor finds nodes without podCIDR, shared MACs and what a service account may not, at a real API server", async () => {
  await using server = await KubeApiServer.open();
  const folder = await Deno.makeTempDir({ prefix: "loden-doctor-" });
  try {
    const net = `${folder}/net-conf.json`;
    await Deno.writeTextFile(net, JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan" } }));
    const flagsOf = async (token: string) => {
      const path = `${folder}/kubeconfig-${token}`;
      const cluster = { server: server.url, "certificate-authority": server.caFile };
      await Deno.writeTextFile(
        path,
        JSON.stringify({
          "current-context": "c",
          contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
          clusters: [{ name: "c", cluster }],
          users: [{ name: "u", user: { token } }],
        }),
      );
      return ["-kube-subnet-mgr", `-kubeconfig-file=${path}`, `-net-config-path=${net}`];
    };
    await server.createNode(node("n1", "10.244.1.0/24", "192.0.2.1", A));
    await server.createNode(node("n2", "10.244.2.0/24", "192.0.2.2", "0e:2a:00:00:00:0b"));
    const environment = { NODE_NAME: "n1" };
    const flags = await flagsOf(server.tokens.agent);
    const healthy = await look(flags, environment);
    assertEquals(verdicts(healthy).filter((one) => !one.startsWith("certificates")), [
      "configuration ok",
      "registry ok",
      "server-clock ok",
      "permissions ok",
      "leases ok",
    ]);
    await server.createNode(node("n3", undefined, "192.0.2.3", "0e:2a:00:00:00:0c"));
    await server.createNode(node("n4", "10.244.4.0/24", "192.0.2.2", A));
    const broken = textOf(await look(flags, environment), "leases");
    for (
      const words of [
        /1 node has no podCIDR: n3/,
        /underlay address is published twice: 192\.0\.2\.2 of (?:n2 and n4|n4 and n2)/,
        new RegExp(`VTEP MAC is published twice: ${A} of (?:n1 and n4|n4 and n1)`),
      ]
    ) assertMatch(broken, words);
    const denied = await look(await flagsOf(server.tokens.nobody), environment);
    assertMatch(
      textOf(denied, "permissions"),
      /may not get nodes, list nodes, watch nodes, patch nodes\/status/,
    );
    assertEquals(denied.find(({ check }) => check === "registry")!.verdict, "wrong");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the doctor tells how far the server's clock is from this host's, and hangs on no server", async () => {
  const port = freePort();
  const held = Promise.withResolvers<Response>();
  const server = Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {} }, async (request) => {
    if (new URL(request.url).pathname !== "/version") return await held.promise;
    return new Response("{}", { headers: { date: new Date(Date.now() + 30_000).toUTCString() } });
  });
  try {
    const startedMs = performance.now();
    const findings = await look([`-etcd-endpoints=http://127.0.0.1:${port}`]);
    assert(performance.now() - startedMs < 9000);
    assertMatch(textOf(findings, "server-clock"), /the server's clock is (29|30|31) s ahead/);
    assertMatch(textOf(findings, "configuration"), /was not seen within 3 s/);
  } finally {
    held.resolve(new Response());
    await server.shutdown();
  }
});
