import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import { PluginHost, STANDARD_PLUGINS, V4_ENV } from "../plugin/plugin_host.ts";
import { until } from "../double/overlay_rig.ts";
import { attach, checkAttached, type Conflist, detach } from "../plugin/runtime.ts";

const NOTHING = { state: [], addresses: [], links: [] };
const V6_ENV =
  "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n";
const KUBEADM = { hairpinMode: true, isDefaultGateway: true };

function onHost(name: string, body: (host: PluginHost) => Promise<void>, subnetEnv?: string): void {
  Deno.test(name, async () => {
    await using host = await PluginHost.create(subnetEnv);
    await body(host);
  });
}

// The stacks of flannel's own tests of its plugin.
const stacks: [name: string, env: string, ranges: object[][], routes: string[], addresses: string[]][] = [
  ["IPv4", V4_ENV, [[{ subnet: "10.1.17.0/24" }]], ["10.1.0.0/16"], ["10.1.17.2/24"]],
  [
    "IPv4 with two networks",
    V4_ENV.replace("10.1.0.0/16", "10.1.0.0/16,192.168.0.0/16"),
    [[{ subnet: "10.1.17.0/24" }]],
    ["10.1.0.0/16", "192.168.0.0/16"],
    ["10.1.17.2/24"],
  ],
  ["IPv6", V6_ENV, [[{ subnet: "fc00::/64" }]], ["fc00::/48"], ["fc00::2/64"]],
  [
    "dual stack",
    V4_ENV + V6_ENV,
    [[{ subnet: "10.1.17.0/24" }], [{ subnet: "fc00::/64" }]],
    ["10.1.0.0/16", "fc00::/48"],
    ["10.1.17.2/24", "fc00::2/64"],
  ],
];
for (const [name, env, ranges, routes, addresses] of stacks) {
  onHost(`a pod of ${name} is attached and detached by bridge and host-local, twice`, async (host) => {
    const sandbox = host.sandbox(await host.pod());
    for (let round = 0; round < 2; round++) {
      const { code, stdout, stderr } = await host.call("ADD", sandbox, {
        name: "cni-flannel",
        cniVersion: undefined,
      });
      assertEquals([code, stderr], [0, ""], stdout);
      // Without a version the result has the oldest shape.
      const { ip4, ip6 } = JSON.parse(stdout);
      const found = [ip4?.ip, ip6?.ip].filter((ip) => ip !== undefined);
      assertEquals(
        found.map((ip) => ip.replace(/\d+\//, "N/")),
        addresses.map((ip) => ip.replace(/\d+\//, "N/")),
      );
      const state = JSON.parse(await Deno.readTextFile(`${host.dataDir}/${sandbox.containerId}`));
      assertEquals(state, {
        ipMasq: false,
        ipam: {
          dataDir: host.networksDir,
          ranges,
          routes: routes.map((dst) => ({ dst })),
          type: "host-local",
        },
        isGateway: true,
        mtu: 1472,
        name: "cni-flannel",
        type: "bridge",
      });
      for (let times = 0; times < 2; times++) {
        assertEquals(await host.call("DEL", sandbox, { name: "cni-flannel" }), {
          code: 0,
          stdout: "",
          stderr: "",
        });
      }
      assertEquals(await host.leftovers("cni-flannel"), NOTHING);
    }
  }, env);
}

for (const cniVersion of ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]) {
  onHost(
    `a whole chain in version ${cniVersion} attaches a pod that reaches its gateway, and detaches it`,
    async (host) => {
      const list: Conflist = {
        name: "cbr0",
        cniVersion,
        plugins: [host.flannel({ delegate: KUBEADM })],
      };
      const pod = await host.pod();
      const sandbox = host.sandbox(pod);
      const result = await attach(list, sandbox);
      assertEquals(result.cniVersion ?? "0.1.0", cniVersion);
      assertEquals("ip4" in result, cniVersion < "0.3.0");
      if (!("ip4" in result)) {
        const [ip] = result.ips as { address: string; version?: string }[];
        assertEquals([ip!.address, ip!.version], ["10.1.17.2/24", cniVersion < "1.0.0" ? "4" : undefined]);
      }
      assertStringIncludes(await pod.ip("route", "show"), "default via 10.1.17.1 dev eth0");
      assertStringIncludes(await pod.ip("link", "show", "eth0"), "mtu 1472");
      const ping = await pod.run("ping", "-c1", "-W5", "10.1.17.1");
      assertEquals(ping.code, 0, ping.stdout);
      if (cniVersion >= "0.4.0") await checkAttached(list, sandbox, result);
      await detach(list, sandbox, result);
      assertEquals(await host.leftovers(), NOTHING);
    },
  );
}

onHost("kubeadm's chain publishes a port of a pod with portmap, and takes it back", async (host) => {
  const list: Conflist = {
    name: "cbr0",
    cniVersion: "0.3.1",
    plugins: [host.flannel({ delegate: KUBEADM }), { type: "portmap", capabilities: { portMappings: true } }],
  };
  const sandbox = host.sandbox(await host.pod(), {
    capabilities: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] },
  });
  const result = await attach(list, sandbox);
  const rules = async () => (await host.netns.run("iptables", "-t", "nat", "-S")).stdout;
  assertMatch(await rules(), /--dport 8080 .*--to-destination 10\.1\.17\.2:80/);
  await detach(list, sandbox, result);
  assertEquals((await rules()).includes("10.1.17.2"), false);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost("what the runtime asks for by capability reaches the delegate: the pod's MAC", async (host) => {
  const list: Conflist = {
    name: "cbr0",
    cniVersion: "1.0.0",
    plugins: [host.flannel({ capabilities: { mac: true } })],
  };
  const pod = await host.pod();
  const sandbox = host.sandbox(pod, { capabilities: { mac: "02:11:22:33:44:55", bandwidth: {} } });
  const result = await attach(list, sandbox);
  assertStringIncludes(await pod.ip("link", "show", "eth0"), "02:11:22:33:44:55");
  const state = JSON.parse(await Deno.readTextFile(`${host.dataDir}/${sandbox.containerId}`));
  assertEquals(state.runtimeConfig, { mac: "02:11:22:33:44:55" });
  await detach(list, sandbox, result);
});

onHost("a repeated ADD fails and leaves the pod attached as it was", async (host) => {
  const pod = await host.pod();
  const sandbox = host.sandbox(pod);
  assertEquals((await host.call("ADD", sandbox)).code, 0);
  const before = await pod.ip("address", "show", "eth0");
  assertEquals((await host.call("ADD", sandbox)).code, 1);
  assertEquals(await pod.ip("address", "show", "eth0"), before);
  assertEquals((await host.leftovers()).addresses, ["10.1.17.2"]);
  assertEquals((await host.call("DEL", sandbox)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost("two attachments of one container are released one after the other, whole", async (host) => {
  const pod = await host.pod();
  const first = host.sandbox(pod);
  const second = { ...first, ifname: "net1" };
  const other = { name: "other", delegate: { bridge: "cni1" } };
  assertEquals((await host.call("ADD", first)).code, 0);
  assertEquals((await host.call("ADD", second, other)).code, 0);
  assertEquals((await host.call("DEL", second, other)).code, 0);
  assertEquals((await host.leftovers("other")).addresses, []);
  assertEquals((await host.leftovers()).links.length, 1);
  assertEquals((await host.call("DEL", first)).code, 0);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost("DEL succeeds for a pod whose network namespace is gone, and gives its address back", async (host) => {
  const pod = await host.pod();
  const sandbox = host.sandbox(pod);
  assertEquals((await host.call("ADD", sandbox)).code, 0);
  await host.removePod(pod);
  assertEquals((await host.call("DEL", { ...sandbox, netns: "" })).code, 0);
  // The kernel takes a namespace's links down some time after its name is gone.
  await until("see the pod's link go", async () => (await host.leftovers()).links.length === 0 || undefined);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost(
  "DEL whose delegate is missing fails, keeps the state, and succeeds once it is there",
  async (host) => {
    const sandbox = host.sandbox(await host.pod());
    assertEquals((await host.call("ADD", sandbox)).code, 0);
    const { code, stdout } = await host.call("DEL", { ...sandbox, pluginFolders: [host.pluginFolder] });
    assertEquals([code, JSON.parse(stdout).msg], [
      1,
      `failed to find plugin "bridge" in path [${host.pluginFolder}]`,
    ]);
    assertEquals((await host.leftovers()).addresses, ["10.1.17.2"]);
    assertEquals((await host.call("DEL", sandbox)).code, 0);
    assertEquals(await host.leftovers(), NOTHING);
  },
);

onHost("a delegate's own code and message reach the runtime", async (host) => {
  const sandbox = host.sandbox(undefined, { netns: "/run/netns/lodentest-missing" });
  const { code, stdout } = await host.call("ADD", sandbox);
  const { code: cniCode, msg, cniVersion } = JSON.parse(stdout);
  assertEquals([code, cniCode, cniVersion], [1, 999, "1.0.0"]);
  assertStringIncludes(msg, 'failed to open netns "/run/netns/lodentest-missing"');
  assertEquals((await host.leftovers()).addresses, []);
});

onHost("the plugin refuses to attach its own network namespace, and attaches nothing", async (host) => {
  const sandbox = host.sandbox(undefined, { netns: host.netns.path });
  const { code, stdout } = await host.call("ADD", sandbox);
  assertEquals([code, JSON.parse(stdout).code], [1, 8]);
  assertEquals(await host.leftovers(), NOTHING);
});

onHost(
  "a host without subnet file says what the agent waits for, and is available once there is one",
  async (host) => {
    await Deno.remove(host.subnetFile);
    await Deno.writeTextFile(
      `${host.folder}/agent.json`,
      JSON.stringify({
        reasons: ["this host has no lease: the node n1 has no podCIDR"],
        at: "2026-01-01T00:00:00Z",
      }),
    );
    const sandbox = host.sandbox(await host.pod());
    const added = JSON.parse((await host.call("ADD", sandbox)).stdout);
    assertEquals(added.code, 11);
    assertStringIncludes(added.msg, `open ${host.subnetFile}: no such file or directory`);
    assertStringIncludes(added.details, "the node n1 has no podCIDR");
    assertEquals(JSON.parse((await host.call("STATUS", sandbox, { cniVersion: "1.1.0" })).stdout).code, 50);
    await Deno.writeTextFile(host.subnetFile, V4_ENV);
    assertEquals(await host.call("STATUS", sandbox, { cniVersion: "1.1.0" }), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  },
);

onHost("GC releases the pods that are not valid any more, and leaves those that are", async (host) => {
  const conf = { cniVersion: "1.1.0" };
  const sandboxes = [host.sandbox(await host.pod()), host.sandbox(await host.pod())];
  for (const sandbox of sandboxes) assertEquals((await host.call("ADD", sandbox, conf)).code, 0);
  const [kept] = sandboxes;
  const valid = [{ containerID: kept!.containerId, ifname: "eth0" }];
  const { code, stdout } = await host.call("GC", kept!, { ...conf, "cni.dev/valid-attachments": valid });
  assertEquals([code, stdout], [0, ""]);
  const { state, addresses } = await host.leftovers();
  assertEquals([state, addresses], [[kept!.containerId, `${kept!.containerId}@eth0`], ["10.1.17.2"]]);
  // What is valid works on, also for the delegate.
  assertEquals((await host.call("DEL", kept!, conf)).code, 0);
});

Deno.test("VERSION needs nothing else, and no command at all is answered on standard error", async () => {
  const binary = await compiledBinary();
  const run = async (variables: Record<string, string>) => {
    const { code, stdout, stderr } = await new Deno.Command(binary, {
      clearEnv: true,
      env: variables,
      stdin: "null",
    }).output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  };
  const { code, stdout } = await run({ CNI_COMMAND: "VERSION" });
  assertEquals([code, JSON.parse(stdout).cniVersion], [0, "1.1.0"]);
  const folder = await Deno.makeTempDir({ prefix: "lodentest-about-" });
  try {
    // By flannel's own name; a link would be followed.
    await Deno.copyFile(binary, `${folder}/flannel`);
    const about = await new Deno.Command(`${folder}/flannel`, { clearEnv: true, stdin: "null" }).output();
    assertEquals([about.code, about.stdout.length], [0, 0]);
    assertStringIncludes(new TextDecoder().decode(about.stderr), "CNI flannel plugin");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const level of ["debug", "info", "warn", "error"]) {
  onHost(`standard output is one JSON document at log level ${level}, and nothing for DEL`, async (host) => {
    const environment = { FLANNEL_CNI_LOG_LEVEL: level };
    const sandbox = host.sandbox(await host.pod(), { environment });
    const added = await host.call("ADD", sandbox);
    assertEquals(JSON.parse(added.stdout).ips[0].address, "10.1.17.2/24");
    const failed = await host.call("ADD", sandbox);
    assert(JSON.parse(failed.stdout).code > 0);
    const { code, stdout, stderr } = await host.call("DEL", sandbox);
    assertEquals([code, stdout], [0, ""]);
    assertEquals(stderr.includes('"event":"delegate called"'), level === "debug");
  });
}

onHost(
  "log lines go to the file that a variable names, and to standard error where it can't be written",
  async (host) => {
    const sandbox = host.sandbox(undefined, {
      netns: "/run/netns/lodentest-missing",
      environment: { FLANNEL_CNI_LOG_LEVEL: "debug", FLANNEL_CNI_LOG_FILE: `${host.folder}/log` },
    });
    const { stderr } = await host.call("ADD", sandbox);
    assertEquals(stderr.includes("delegate called"), false);
    assertStringIncludes(await Deno.readTextFile(`${host.folder}/log`), '"verb":"ADD"');
    const nowhere = { FLANNEL_CNI_LOG_LEVEL: "debug", FLANNEL_CNI_LOG_FILE: "/nowhere/log" };
    const failed = await host.call("ADD", { ...sandbox, environment: nowhere });
    assertStringIncludes(failed.stderr, "Cannot write the log file /nowhere/log");
    assertStringIncludes(failed.stderr, "delegate called");
  },
);

onHost("the standard plugins that the tests run stop at CNI 1.0.0", async (host) => {
  const { stdout } = await host.netns.run("env", "CNI_COMMAND=VERSION", `${STANDARD_PLUGINS}/bridge`);
  assertEquals(JSON.parse(stdout).supportedVersions.at(-1), "1.0.0");
});
