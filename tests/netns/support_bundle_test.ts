import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import type { CommandResult } from "../../src/lab/command.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { ROOT } from "../double/etcd.ts";
import { mountHungDisk } from "../double/hung_disk.ts";
import { agentCommand, until, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, withEtcdOverlay, withKubeOverlay } from "../double/overlay_servers.ts";

const base64 = (text: string) => new TextEncoder().encode(text).toBase64();

/** Runs `loden support-bundle` on a host with its agent's flags. */
async function bundle(
  host: LabHost,
  flags: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<CommandResult & { readonly durationMs: number; readonly path: string }> {
  const path = `${host.directory}/bundle-${crypto.randomUUID()}.tar.gz`;
  const program = agentCommand.slice(0, -1);
  const own = host.agentStart([]).command.slice(agentCommand.length);
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const words = [...program, "support-bundle", `--output=${path}`, ...own, ...flags];
  const startedMs = performance.now();
  const result = await host.exec("env", ...variables, ...words);
  return { ...result, durationMs: performance.now() - startedMs, path };
}

/** The files of an archive by name, without its top folder. */
async function unpack(path: string): Promise<Map<string, string>> {
  const folder = await Deno.makeTempDir({ prefix: "loden-bundle-" });
  try {
    const { code } = await new Deno.Command("tar", { args: ["xzf", path, "-C", folder] }).output();
    assertEquals(code, 0);
    const files = new Map<string, string>();
    const walk = async (below: string) => {
      for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
        if (isDirectory) await walk(`${below}${name}/`);
        else {files.set(
            `${below}${name}`.replace(/^[^/]*\//, ""),
            await Deno.readTextFile(`${folder}/${below}${name}`),
          );}
      }
    };
    await walk("");
    return files;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Fails if any of the secrets is in a text, whole, in part, or written in another way. */
function assertWithout(files: ReadonlyMap<string, string>, secrets: readonly string[]): void {
  for (const [name, text] of files) {
    for (const secret of secrets) {
      for (
        const part of [secret, secret.slice(0, 9), base64(secret).slice(0, 12), encodeURIComponent(secret)]
      ) {
        const at = text.indexOf(part);
        assertEquals(at < 0 ? "" : text.slice(Math.max(0, at - 100), at + 60), "", `${name} holds ${part}`);
      }
    }
  }
}

const NAMES = [
  "agent/peers.json",
  "agent/plan.json",
  "agent/status.json",
  "doctor.json",
  "files/agent.json",
  "files/conflists.txt",
  "files/history.json",
  "files/net-conf.json",
  "files/subnet.env",
  "kernel/addresses.txt",
  "kernel/fdb.txt",
  "kernel/ip-rules.txt",
  "kernel/links.txt",
  "kernel/neighbours.txt",
  "kernel/nft.txt",
  "kernel/routes.txt",
  "kernel/sysctls.txt",
  "manifest.json",
  "version.txt",
];

/** Secrets of every kind that stands somewhere on a host, none of which anybody else may see. */
const CANARIES = {
  aws: "wJalrXUtnFEMIk7MDENGbPxRfiCY",
  token: "Qx7vTokenKubeconfig8d7f6a5b",
  conflist: "Wk3nConflistKey9c8b7a6d5e",
  netConf: "Pz5mNetConfPsk1a2b3c4d",
  log: "Lr9bLogBearer5f6e7d8c",
  comment: "Ct2wIptablesComment77aa",
  variable: "Vh6jVariable0f1e2d3c",
  annotation: "Ag4sAnnotation4b5a6978",
  flag: "Fl8gFlag3c2b",
  sentence: "Se5nSentence7a6b",
  cookie: "Co6kCookie9d8e",
  bootstrap: "abcdef.0123456789abcdef",
  github: "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5",
  subnetFile: "Su3bSubnetFile6f5e",
};

Deno.test("a bundle holds what others need, and none of the secrets that stand all over the host", async () => {
  await withEtcdOverlay(async ({ lab, flags, server }) => {
    const [h1, h2] = lab.hosts as [LabHost, LabHost];
    await server.put(
      `${ETCD_PREFIX}/config`,
      JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "vxlan", PSK: CANARIES.netConf } }),
    );
    // A lease that is quoted as it is no good.
    await server.put(
      `${ETCD_PREFIX}/subnets/10.244.250.0-24`,
      JSON.stringify({ PublicIP: CANARIES.annotation }),
    );
    await Deno.mkdir(`${h1.directory}/net.d`);
    const conflist = `${h1.directory}/net.d/10-flannel.conflist`;
    await Deno.writeTextFile(
      conflist,
      JSON.stringify({
        name: "cbr0",
        plugins: [{ type: "flannel", apiKey: CANARIES.conflist, [CANARIES.conflist]: 1 }],
      }),
    );
    const kubeconfig = `${h1.directory}/kubeconfig`;
    await Deno.writeTextFile(
      kubeconfig,
      `users:\n- name: a\n  user:\n    token: ${CANARIES.token}\n    client-key-data: ${
        base64(CANARIES.token)
      }\n`,
    );
    await Deno.writeTextFile(
      h1.logPath,
      [
        { event: "asked", headers: `Authorization: Bearer ${CANARIES.log}`, password: ROOT.password },
        { event: "echo", reason: `the server said "${CANARIES.annotation}" and ${ROOT.password}` },
        { event: "echo", reason: `${base64(ROOT.password)} ${CANARIES.token} ${base64(CANARIES.token)}` },
        { event: "run", text: `loden --etcd-password ${CANARIES.flag} -etcd-password ${CANARIES.flag}` },
        { event: "said", text: `etcd password ${CANARIES.sentence}` },
        { event: "said", text: `passphrase is ${CANARIES.sentence}, psk ${CANARIES.sentence}` },
        { event: "said", text: `pass=${CANARIES.sentence} pwd: ${CANARIES.sentence}` },
        { event: "said", text: `Cookie: sid=${CANARIES.cookie}` },
        { event: "said", text: `kubeadm join --token ${CANARIES.bootstrap}, ${CANARIES.github}` },
        { event: "env", text: `AWS_SECRET_ACCESS_KEY=${CANARIES.aws} X=${CANARIES.variable}` },
      ].map((line) => `${JSON.stringify(line)}\n`).join(""),
      { append: true },
    );
    await Deno.writeTextFile(h1.subnetFilePath, `FLANNEL_EXTRA=${CANARIES.subnetFile}\n`, { append: true });
    await h1.netns.mustExec(
      ...[
        "iptables-nft",
        "-A",
        "INPUT",
        "-i",
        "lo",
        "-m",
        "comment",
        "--comment",
        CANARIES.comment,
        "-j",
        "ACCEPT",
      ] as [
        string,
        ...string[],
      ],
    );
    await until(
      "ask the agent",
      async () => (await Deno.stat(`${h1.directory}/loden.sock`).catch(() => undefined)) && true,
    );
    const environment = {
      AWS_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
      AWS_SECRET_ACCESS_KEY: CANARIES.aws,
      SOME_SECRET: CANARIES.variable,
      KUBECONFIG: kubeconfig,
    };
    const { code, stdout, stderr, path, durationMs } = await bundle(
      h1,
      [...flags, `-cni-conf=${conflist}`, `-log-file=${h1.logPath}`],
      environment,
    );
    assertEquals([code, stderr], [0, ""]);
    assert(durationMs < 10_000, `${durationMs} ms`);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    const files = await unpack(path);
    for (const name of [...NAMES, "files/agent.log", "agent/metrics.txt", "files/flags.json"]) {
      assert(files.has(name), `${name} is missing: ${files.get("manifest.json")}`);
    }
    assertWithout(files, [...Object.values(CANARIES), ROOT.password, environment.AWS_ACCESS_KEY_ID]);
    assertStringIncludes(files.get("agent/status.json")!, '"ready": true');
    assertMatch(
      files.get("kernel/links.txt")!,
      /flannel\.1 up mtu 1450 .* vxlan id 1 dstport 8472 local 192\.0\.2\.1 dev eth0/,
    );
    assertMatch(
      files.get("kernel/routes.txt")!,
      /^10\.244\.\d+\.0\/24 via 10\.244\.\d+\.0 dev flannel\.1 table main proto 76 metric \d+ onlink$/m,
    );
    assertMatch(files.get("kernel/neighbours.txt")!, /dev flannel\.1 lladdr \S+ PERMANENT/);
    assertMatch(files.get("kernel/fdb.txt")!, /dev flannel\.1 dst 192\.0\.2\.2 PERMANENT/);
    assertMatch(files.get("kernel/nft.txt")!, /chain ip filter INPUT type filter hook 1/);
    assertMatch(files.get("kernel/sysctls.txt")!, /^net\/ipv4\/ip_forward = 1$/m);
    assertMatch(files.get("files/subnet.env")!, /^FLANNEL_SUBNET=/m);
    assertStringIncludes(files.get("files/net-conf.json")!, '"Network": "10.244.0.0/16"');
    assertStringIncludes(files.get("doctor.json")!, '"check": "leases"');
    assertStringIncludes(stdout, path);
    assert(stdout.trimEnd().split("\n").length <= 24, stdout);
    assert(h2.agent?.end === undefined);
  }, { withUsers: true });
});

Deno.test("a bundle shows no secret that another node's annotation, or an API server's kubeconfig, holds", async () => {
  await withKubeOverlay("double", async ({ lab, server, flags }) => {
    const [h1] = lab.hosts as [LabHost];
    const prefix = "flannel.alpha.coreos.com";
    await server.createNode({
      metadata: {
        name: "n9",
        annotations: {
          [`${prefix}/kube-subnet-manager`]: "true",
          [`${prefix}/backend-type`]: "vxlan",
          [`${prefix}/backend-data`]: CANARIES.annotation,
          [`${prefix}/public-ip`]: CANARIES.annotation,
          "example.com/token": CANARIES.variable,
        },
      },
      spec: { podCIDR: "10.244.9.0/24", podCIDRs: ["10.244.9.0/24"] },
    });
    await until("hear of the node", async () => {
      const { path } = await bundle(h1, flags, { NODE_NAME: "h1" });
      const files = await unpack(path);
      assertWithout(files, [CANARIES.annotation, CANARIES.variable, "agent-token"]);
      return files.get("agent/status.json")?.includes("n9") || files.get("doctor.json")?.includes("n9") ||
        undefined;
    });
  });
});

Deno.test("a bundle comes in time though the agent is halted, the registry away, and files on a disk that hangs", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = lab.hosts as [LabHost];
    await until(
      "ask the agent",
      async () => (await Deno.stat(`${h1.directory}/loden.sock`).catch(() => undefined)) && true,
    );
    const folder = await Deno.makeTempDir({ prefix: "loden-hung-" });
    h1.agent!.signal("SIGSTOP");
    try {
      await using _hung = await mountHungDisk(folder, Deno.pid);
      const { code, durationMs, path, stderr } = await bundle(h1, [
        "-local-registry=",
        "-etcd-endpoints=http://192.0.2.77:2379",
        `-etcd-cafile=${folder}/ca.crt`,
        `-etcd-keyfile=${folder}/key`,
        `-etcd-certfile=${folder}/cert`,
        `-net-config-path=${folder}/net-conf.json`,
        `-lease-cache=${folder}/leases.json`,
        `-cni-conf=${folder}/net.d/10-flannel.conflist`,
        `-log-file=${folder}/log`,
      ], { KUBECONFIG: `${folder}/kubeconfig` });
      assertEquals([code, stderr], [0, ""]);
      assert(durationMs < 10_000, `${durationMs} ms`);
      const files = await unpack(path);
      const { entries } = JSON.parse(files.get("manifest.json")!);
      const reasons = new Map(entries.map(({ name, reason }: Record<string, string>) => [name, reason]));
      assertMatch(String(reasons.get("agent/status.json")), /has not answered within/);
      assertMatch(String(reasons.get("files/agent.log")), /did not come within/);
      assertMatch(String(reasons.get("files/conflists.txt")), /did not come within/);
      for (
        const name of [
          "kernel/links.txt",
          "kernel/routes.txt",
          "files/subnet.env",
          "doctor.json",
          "version.txt",
        ]
      ) {
        assert(files.has(name), `${name}: ${reasons.get(name)}`);
      }
    } finally {
      h1.agent!.signal("SIGCONT");
      await Deno.remove(folder, { recursive: true });
    }
  });
});

Deno.test("a bundle says that an agent runs whose socket was replaced", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = lab.hosts as [LabHost];
    await untilReady(libc, h1);
    const socket = `${h1.directory}/loden.sock`;
    await until("ask the agent", async () => (await Deno.stat(socket).catch(() => undefined)) && true);
    // As it is until the agent sees it.
    h1.agent!.signal("SIGSTOP");
    try {
      await Deno.remove(socket);
      const { path } = await bundle(h1, []);
      const { entries } = JSON.parse((await unpack(path)).get("manifest.json")!);
      const { reason } = entries.find(({ name }: Record<string, string>) => name === "agent/status.json");
      assertStringIncludes(reason, "an agent runs on this host that can't be asked");
    } finally {
      h1.agent!.signal("SIGCONT");
    }
  });
});

Deno.test("a bundle takes no file's place, and follows no link", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab) => {
    const [h1] = lab.hosts as [LabHost];
    const program = agentCommand.slice(0, -1);
    const run = (path: string) =>
      h1.exec(program[0]!, ...program.slice(1), "support-bundle", `--output=${path}`);
    const there = `${h1.directory}/there`;
    await Deno.writeTextFile(there, "mine");
    assertEquals((await run(there)).code, 1);
    assertEquals(await Deno.readTextFile(there), "mine");
    await Deno.symlink(`${h1.directory}/target`, `${h1.directory}/link`);
    const { code, stderr } = await run(`${h1.directory}/link`);
    assertEquals(code, 1);
    assertStringIncludes(stderr, "it is there already; name another file with --output");
    assertEquals(await Deno.stat(`${h1.directory}/target`).catch(() => "nothing"), "nothing");
    assertStringIncludes(
      (await run(`${h1.directory}/no/folder/x`)).stderr,
      "there is no such file or folder",
    );
  });
});
