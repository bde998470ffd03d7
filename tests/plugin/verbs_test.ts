import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import { CNI_VERSIONS } from "../../src/pods/versions.ts";
import { NotStartedError } from "../../src/plugin/delegate.ts";
import { PluginWorld, resultOf } from "./plugin_world.ts";

const BUSY = new CniError(11, "device or resource busy", "try again");
const DOES_NOT_EXIST =
  "failed to load flannel 'subnet.env' file: open /run/flannel/subnet.env: no such file or directory";

function plugin(name: string, body: (world: PluginWorld) => Promise<void>): void {
  Deno.test(name, async () => {
    await using world = await PluginWorld.create();
    await body(world);
  });
}

function fail(error: Error): never {
  throw error;
}

plugin(
  "ADD writes its state before the delegate runs, and prints what the delegate prints",
  async (world) => {
    let stateThen: string[] = [];
    const { answer } = world;
    world.answer = (call) => {
      stateThen = world.state;
      return answer(call);
    };
    const { exitCode, stdout } = await world.run("ADD");
    assertEquals([exitCode, stdout], [0, resultOf("1.0.0")]);
    assertEquals(stateThen, ["c1", "c1@eth0"]);
    assertEquals(await Deno.readTextFile(`${world.dataDir}/c1`), world.calls[0]!.config);
  },
);

plugin(
  "DEL calls the delegate with what ADD has saved, also when there is no subnet file any more",
  async (world) => {
    world.installed = ["ptp", "host-local"];
    await world.run("ADD", { delegate: { type: "ptp" } });
    world.subnetEnv = undefined;
    assertEquals(await world.run("DEL").then(({ exitCode, stdout }) => [exitCode, stdout]), [0, ""]);
    assertEquals(world.verbs, ["ADD", "DEL"]);
    assertEquals(world.calls.map(({ type }) => type), ["ptp", "ptp"]);
    assertEquals(world.calls[1]!.config, world.calls[0]!.config);
    assertEquals(world.state, []);
  },
);

plugin("DEL without state succeeds and calls nobody, however often it comes", async (world) => {
  for (let times = 0; times < 3; times++) assertEquals((await world.run("DEL")).exitCode, 0);
  assertEquals(world.verbs, []);
});

plugin(
  "DEL keeps its state until the delegate has succeeded: a retry releases the address",
  async (world) => {
    await world.run("ADD");
    world.answer = () => fail(BUSY);
    const { error } = await world.run("DEL");
    assertEquals(
      error,
      { cniVersion: "1.0.0", code: 11, msg: BUSY.message, details: BUSY.details } as typeof error,
    );
    assertEquals(world.state, ["c1", "c1@eth0"]);
    world.answer = () => "";
    assertEquals((await world.run("DEL")).exitCode, 0);
    assertEquals([world.verbs, world.state], [["ADD", "DEL", "DEL"], []]);
  },
);

plugin("two attachments of one container have a state each, and each is released", async (world) => {
  await world.run("ADD");
  await world.run("ADD", { name: "other", delegate: { bridge: "br1" } }, { CNI_IFNAME: "net1" });
  assertEquals(world.state, ["c1", "c1@eth0", "c1@net1"]);
  await world.run("DEL", { name: "other" }, { CNI_IFNAME: "net1" });
  assertEquals(world.lastConfig.bridge, "br1");
  await world.run("DEL", { name: "other" }, { CNI_IFNAME: "net1" });
  await world.run("DEL");
  assertEquals(world.lastConfig.name, "cbr0");
  assertEquals([world.verbs, world.state], [["ADD", "ADD", "DEL", "DEL"], []]);
});

plugin("DEL releases what flannel's own plugin has attached", async (world) => {
  await Deno.mkdir(world.dataDir);
  await Deno.writeTextFile(`${world.dataDir}/c1`, '{"name":"cbr0","type":"bridge","mtu":1}');
  assertEquals((await world.run("DEL")).exitCode, 0);
  assertEquals([world.verbs, world.lastConfig.mtu, world.state], [["DEL"], 1, []]);
});

plugin(
  "DEL detaches by what flannel's own plugin has kept of another network, and keeps it for that one's DEL",
  async (world) => {
    await Deno.mkdir(world.dataDir);
    const text = '{"name":"other","type":"bridge","x":1.0}';
    await Deno.writeTextFile(`${world.dataDir}/c1`, text);
    assertEquals((await world.run("DEL")).exitCode, 0);
    assertEquals([world.calls.map(({ config }) => config), world.state], [[text], ["c1"]]);
    assertEquals(world.logLines.at(-1), "warn state of another network kept");
    assertEquals((await world.run("DEL", { name: "other" })).exitCode, 0);
    assertEquals([world.verbs, world.state], [["DEL", "DEL"], []]);
  },
);

for (const text of ["{", "[]", "{}", '{"type":7}']) {
  plugin(`DEL with the state ${text} succeeds, says so in the log, and leaves the file`, async (world) => {
    await Deno.mkdir(world.dataDir);
    await Deno.writeTextFile(`${world.dataDir}/c1`, text);
    assertEquals((await world.run("DEL")).exitCode, 0);
    assertEquals([world.verbs, world.state], [[], ["c1"]]);
    assertEquals(world.logLines, ["error state not readable, left alone"]);
  });
}

plugin("an ADD that fails is undone by the delegate, and its state stays for DEL", async (world) => {
  world.answer = ({ verb }) => verb === "ADD" ? fail(BUSY) : "";
  assertEquals((await world.run("ADD")).error.code, 11);
  assertEquals([world.verbs, world.state], [["ADD", "DEL"], ["c1", "c1@eth0"]]);
});

plugin("an ADD that fails says why, also when undoing it fails too", async (world) => {
  world.answer = ({ verb }) => fail(verb === "ADD" ? BUSY : new CniError(999, "no"));
  assertEquals((await world.run("ADD")).error.msg, BUSY.message);
});

plugin("a repeated ADD that fails does not take down what the first has attached", async (world) => {
  await world.run("ADD");
  world.answer = () => fail(new CniError(999, "eth0 already exists"));
  await world.run("ADD");
  assertEquals([world.verbs, world.state], [["ADD", "ADD"], ["c1", "c1@eth0"]]);
});

plugin("an ADD whose delegate is missing keeps nothing, so that DEL succeeds without it", async (world) => {
  world.installed = ["host-local"];
  assertEquals((await world.run("ADD")).error.msg, 'failed to find plugin "bridge" in path [/opt/cni/bin]');
  assertEquals((await world.run("DEL")).exitCode, 0);
  assertEquals([world.verbs, world.state], [[], []]);
});

plugin("an ADD whose delegate can't be started keeps nothing", async (world) => {
  world.answer = () => fail(new NotStartedError(999, "cannot start bridge: this user may not"));
  assertEquals((await world.run("ADD")).exitCode, 1);
  assertEquals([world.verbs, world.state], [["ADD"], []]);
});

plugin("an ADD whose IPAM plugin is missing is undone without it, and forgotten", async (world) => {
  world.installed = ["bridge"];
  const missing = () => fail(new CniError(999, 'failed to find plugin "host-local" in path [/opt/cni/bin]'));
  world.answer = ({ config }) => "type" in JSON.parse(config).ipam ? missing() : "";
  assertEquals((await world.run("ADD")).exitCode, 1);
  assertEquals([world.verbs, world.lastConfig.ipam, world.state], [["ADD", "DEL"], {}, []]);
  assertEquals((await world.run("DEL")).exitCode, 0);
});

plugin(
  "an ADD whose IPAM plugin comes while it runs is undone with it, as it may have given an address",
  async (world) => {
    world.installed = ["bridge"];
    world.answer = ({ verb }) => {
      world.installed = ["bridge", "host-local"];
      return verb === "ADD" ? fail(BUSY) : "";
    };
    await world.run("ADD");
    assertEquals([(world.lastConfig.ipam as { type: string }).type, world.state], [
      "host-local",
      ["c1", "c1@eth0"],
    ]);
  },
);

plugin("an ADD of a delegate that needs no IPAM plugin works without one", async (world) => {
  world.installed = ["bridge"];
  assertEquals((await world.run("ADD")).exitCode, 0);
});

plugin(
  "a repeated ADD with another configuration that fails leaves what the first is found by",
  async (world) => {
    await world.run("ADD");
    const first = world.calls[0]!.config;
    world.answer = ({ verb }) => verb === "ADD" ? fail(new CniError(999, "eth0 already exists")) : "";
    await world.run("ADD", { delegate: { mtu: 1400 } });
    await world.run("DEL");
    assertEquals([world.verbs, world.calls.at(-1)!.config, world.state], [["ADD", "ADD", "DEL"], first, []]);
  },
);

plugin(
  "an ADD over what flannel's plugin has attached to this network is not undone where it fails",
  async (world) => {
    await Deno.mkdir(world.dataDir);
    await Deno.writeTextFile(`${world.dataDir}/c1`, '{"name":"cbr0","type":"bridge"}');
    world.answer = () => fail(new CniError(999, "eth0 already exists"));
    await world.run("ADD");
    assertEquals([world.verbs, world.state], [["ADD"], ["c1"]]);
  },
);

plugin("an ADD whose pod is detached meanwhile is undone and fails", async (world) => {
  const { answer } = world;
  world.answer = (call) => {
    if (call.verb === "ADD") Deno.removeSync(`${world.dataDir}/c1@eth0`);
    return answer(call);
  };
  const { error } = await world.run("ADD");
  assertEquals(error.msg, "the pod was detached while it was attached");
  assertEquals(world.verbs, ["ADD", "DEL"]);
});

const oddStates: [what: string, make: (path: string) => void | Promise<unknown>][] = [
  ["a folder", (path) => Deno.mkdir(path)],
  ["a FIFO", (path) => new Deno.Command("mkfifo", { args: [path] }).output()],
  ["a link to nowhere", (path) => Deno.symlink("/nowhere", path)],
  ["a link to state", async (path) => {
    const other = new URL(`file://${path}/../../other`).pathname;
    await Deno.writeTextFile(other, '{"name":"cbr0","type":"bridge"}');
    await Deno.symlink(other, path);
  }],
  ["another user's file", async (path) => {
    await Deno.writeTextFile(path, '{"name":"cbr0","type":"bridge"}');
    await Deno.chown(path, 65_534, 65_534);
  }],
  ["a file without end", async (path) => {
    await Deno.writeTextFile(path, '{"name":"cbr0","type":"bridge"}');
    await Deno.truncate(path, 2 << 20);
  }],
];
for (const [what, make] of oddStates) {
  for (const name of ["c1@eth0", "c1"]) {
    plugin(
      `DEL, GC and CHECK do not use ${what} in place of the state ${name}, and leave it`,
      async (world) => {
        await Deno.mkdir(world.dataDir);
        await make(`${world.dataDir}/${name}`);
        const before = world.state;
        for (let times = 0; times < 2; times++) assertEquals((await world.run("DEL")).exitCode, 0);
        const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
        assertEquals((await world.run("GC", conf)).exitCode, 0);
        assertEquals([world.verbs, world.state], [[], before]);
        assertEquals((await world.run("CHECK", { prevResult: {} })).exitCode, 0);
        assertEquals([world.verbs, world.lastConfig.mtu], [["CHECK"], 1450]);
      },
    );
  }
}

plugin(
  "DEL finds the state of before the configuration named a folder, and no other network's",
  async (world) => {
    const usual = { FLANNEL_CNI_DATA_DIR: `${world.folder}/usual` };
    await world.run("ADD", { dataDir: undefined }, usual);
    await world.run("ADD", { dataDir: undefined, name: "other" }, { ...usual, CNI_IFNAME: "net1" });
    assertEquals((await world.run("DEL", {}, { ...usual, CNI_IFNAME: "net1" })).exitCode, 0);
    assertEquals(world.verbs, ["ADD", "ADD"]);
    assertEquals((await world.run("DEL", {}, usual)).exitCode, 0);
    assertEquals([world.verbs, world.lastConfig.name], [["ADD", "ADD", "DEL"], "cbr0"]);
    const left = await Array.fromAsync(Deno.readDir(usual.FLANNEL_CNI_DATA_DIR), ({ name }) => name);
    assertEquals(left, ["c1@net1"]);
  },
);

plugin(
  "DEL and GC succeed where the folder of state is a file, in which ADD can keep none",
  async (world) => {
    await Deno.writeTextFile(world.dataDir, "");
    assertEquals((await world.run("ADD")).error.code, 5);
    assertEquals((await world.run("DEL")).exitCode, 0);
    const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
    assertEquals((await world.run("GC", conf)).exitCode, 0);
    assertEquals(world.verbs, []);
  },
);

plugin("ADD puts its state in place of what is none, and refuses where that can't be", async (world) => {
  await Deno.mkdir(world.dataDir);
  await Deno.symlink("/nowhere", `${world.dataDir}/c1@eth0`);
  assertEquals((await world.run("ADD")).exitCode, 0);
  assertEquals((await world.run("DEL")).exitCode, 0);
  await Deno.mkdir(`${world.dataDir}/c1@eth0`);
  assertEquals((await world.run("ADD")).error.code, 5);
  assertEquals((await world.run("DEL")).exitCode, 0);
  assertEquals(world.verbs, ["ADD", "DEL"]);
});

const brokenVariables = {
  FLANNEL_CNI_MTU: "x",
  FLANNEL_CNI_IP_MASQ: "maybe",
  FLANNEL_CNI_LOG_LEVEL: "loud",
};
plugin("DEL and GC work with variables that ADD refuses", async (world) => {
  await world.run("ADD");
  assertEquals((await world.run("ADD", {}, brokenVariables)).error.code, 4);
  assertEquals((await world.run("DEL", {}, brokenVariables)).exitCode, 0);
  assertEquals([world.verbs, world.state], [["ADD", "DEL"], []]);
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  assertEquals((await world.run("GC", conf, brokenVariables)).exitCode, 0);
});

plugin("GC works with a configuration that ADD refuses", async (world) => {
  await world.run("ADD");
  const conf = { cniVersion: "1.1.0", delegate: { name: "x" }, ipam: [], "cni.dev/valid-attachments": [] };
  assertEquals((await world.run("GC", conf)).exitCode, 0);
  assertEquals([world.verbs, world.state], [["ADD", "DEL"], []]);
});

plugin("DEL of a container whose id is too long to be attached succeeds", async (world) => {
  for (const length of [239, 255, 256, 5000]) {
    const variables = { CNI_CONTAINERID: "c".repeat(length) };
    assertEquals((await world.run("ADD", {}, variables)).error.code, 4);
    assertEquals((await world.run("DEL", {}, variables)).exitCode, 0);
  }
});

plugin("STATUS is not well with a configuration that ADD refuses", async (world) => {
  for (const conf of [{ delegate: { name: "x" } }, { Ipam: { type: "a/b" } }, { IPAM: "x" }]) {
    assertEquals(
      (await world.run("STATUS", { cniVersion: "1.1.0", ...conf })).exitCode,
      1,
      JSON.stringify(conf),
    );
  }
});

plugin("ADD without a subnet file is to be tried again, in the words that users look for", async (world) => {
  world.subnetEnv = undefined;
  const { error } = await world.run("ADD");
  assertEquals([error.code, error.msg], [11, DOES_NOT_EXIST]);
  assertStringIncludes(error.details!, "no agent has run on this host");
  assertEquals([world.verbs, world.state], [[], []]);
});

plugin("ADD without a subnet file tells what the agent waits for", async (world) => {
  world.subnetEnv = undefined;
  world.agentState = {
    reasons: [{ code: "lease-missing", sentence: "this host has no lease: the node n1 has no podCIDR" }],
    at: new Date(0),
  };
  assertEquals(
    (await world.run("ADD")).error.details,
    "the agent on this host said at 1970-01-01T00:00:00.000Z: this host has no lease: the node n1 has no podCIDR " +
      "(lease-missing)",
  );
});

const unusable: [subnetEnv: string | Error, code: number, msg: RegExp][] = [
  ["foo=bar\n", 100, /subnet\.env is missing FLANNEL_NETWORK, /],
  ["FLANNEL_MTU\n", 100, /has no "="/],
  [new Deno.errors.IsADirectory("x"), 5, /open \/run\/flannel\/subnet\.env: it is a folder$/],
  [new Deno.errors.PermissionDenied("x"), 5, /: this user may not$/],
];
for (const [subnetEnv, code, msg] of unusable) {
  plugin(
    `ADD fails with code ${code} where the subnet file is ${JSON.stringify(String(subnetEnv))}`,
    async (world) => {
      world.subnetEnv = subnetEnv;
      const { error } = await world.run("ADD");
      assertEquals(error.code, code);
      assertMatch(error.msg, msg);
      assertEquals(world.state, []);
    },
  );
}

for (const version of CNI_VERSIONS) {
  plugin(`ADD in version ${version} is answered in it, by delegates that stop at 1.0.0`, async (world) => {
    const { stdout } = await world.run("ADD", { cniVersion: version });
    assertEquals(world.lastConfig.cniVersion, version === "1.1.0" ? "1.0.0" : version);
    assertEquals(JSON.parse(stdout), JSON.parse(resultOf(version)));
  });
}

plugin(
  "ADD without a version is answered in the delegate's oldest, with nothing added to what it is sent",
  async (world) => {
    await world.run("ADD", JSON.stringify({ name: "cbr0", dataDir: world.dataDir }));
    assertEquals("cniVersion" in world.lastConfig, false);
  },
);

plugin("a delegate that speaks 0.4.0 alone is understood by a runtime that speaks 1.1.0", async (world) => {
  world.versions = ["0.4.0"];
  const { stdout } = await world.run("ADD", { cniVersion: "1.1.0" });
  assertEquals(world.lastConfig.cniVersion, "0.4.0");
  assertEquals(JSON.parse(stdout), JSON.parse(resultOf("1.1.0")));
});

plugin("delegates whose results can't be converted are refused, both by name", async (world) => {
  world.versions = ["0.2.0"];
  const { error } = await world.run("ADD", { cniVersion: "1.1.0" });
  assertEquals(error.code, 1);
  assertEquals(error.details, "config is 1.1.0; plugins bridge and host-local are too old for it");
});

for (const printed of ["", "null", "[]", "{"]) {
  plugin(
    `a delegate that prints ${JSON.stringify(printed)} has not attached anything, and is undone`,
    async (world) => {
      world.answer = ({ verb }) => verb === "ADD" ? printed : "";
      const { error } = await world.run("ADD");
      assertEquals([error.code, error.msg], [999, "plugin bridge printed no result"]);
      assertEquals(world.verbs, ["ADD", "DEL"]);
    },
  );
}

for (const verb of ["ADD", "CHECK"]) {
  plugin(
    `${verb} in the plugin's own network namespace is refused with code 8 before anything is done`,
    async (world) => {
      world.ownNetns = "/run/netns/pod";
      const { error } = await world.run(verb, { prevResult: {} });
      assertEquals([error.code, world.verbs, world.state], [8, [], []]);
      const allowed = await world.run(verb, { prevResult: {} }, { CNI_NETNS_OVERRIDE: "1" });
      assertEquals([allowed.exitCode, world.verbs], [0, [verb]]);
    },
  );
}

plugin(
  "DEL whose path leads to the plugin's own network namespace by now touches nothing in it",
  async (world) => {
    await world.run("ADD");
    world.ownNetns = "/run/netns/pod";
    assertEquals((await world.run("DEL")).exitCode, 0);
    assertEquals([world.verbs, world.calls.at(-1)!.variables], [["ADD", "DEL"], { CNI_NETNS: "" }]);
    world.ownNetns = "";
    await world.run("ADD");
    await world.run("DEL");
    assertEquals(world.calls.at(-1)!.variables, undefined);
  },
);

plugin("CHECK gives the delegate what ADD gave it, with the result", async (world) => {
  await world.run("ADD");
  const prevResult = JSON.parse(resultOf("1.0.0"));
  assertEquals(await world.run("CHECK", { prevResult }).then(({ exitCode, stdout }) => [exitCode, stdout]), [
    0,
    "",
  ]);
  const { prevResult: sent, ...config } = world.lastConfig;
  assertEquals([sent, JSON.stringify(config)], [prevResult, world.calls[0]!.config]);
});

plugin("CHECK says the gateway of each route, which bridge looks for", async (world) => {
  await world.run("ADD");
  const ips = [{ address: "10.244.1.2/24", gateway: "10.244.1.1" }, {
    address: "fc00::2/64",
    gateway: "fc00::1",
  }];
  const routes = [{ dst: "10.244.0.0/16" }, { dst: "fc00::/48" }, { dst: "0.0.0.0/0", gw: "10.244.1.9" }];
  await world.run("CHECK", { prevResult: { ips, routes } });
  assertEquals((world.lastConfig.prevResult as { routes: unknown }).routes, [
    { dst: "10.244.0.0/16", gw: "10.244.1.1" },
    { dst: "fc00::/48", gw: "fc00::1" },
    { dst: "0.0.0.0/0", gw: "10.244.1.9" },
  ]);
});

plugin("CHECK of what flannel's plugin has attached to another network goes by its own", async (world) => {
  await Deno.mkdir(world.dataDir);
  await Deno.writeTextFile(`${world.dataDir}/c1`, '{"name":"other","type":"ptp"}');
  await world.run("CHECK", { prevResult: {} });
  assertEquals([world.calls[0]!.type, world.lastConfig.name], ["bridge", "cbr0"]);
});

plugin(
  "CHECK fails where the delegate finds a fault, and where there is nothing to compare with",
  async (world) => {
    await world.run("ADD");
    assertEquals((await world.run("CHECK")).error.msg, "required prevResult missing");
    world.answer = () => fail(new CniError(999, "eth0 is gone"));
    assertEquals((await world.run("CHECK", { prevResult: {} })).error.msg, "eth0 is gone");
  },
);

plugin("CHECK without state compares with what would be made now", async (world) => {
  await world.run("CHECK", { prevResult: {} });
  assertEquals([world.verbs, world.lastConfig.mtu], [["CHECK"], 1450]);
});

plugin("DEL passes the result on from 0.4.0 on, where a delegate may need it", async (world) => {
  for (const [cniVersion, isPassed] of [["0.3.1", false], ["0.4.0", true], ["1.1.0", true]] as const) {
    await world.run("ADD", { cniVersion });
    await world.run("DEL", { cniVersion, prevResult: { cniVersion, ips: [] } });
    assertEquals("prevResult" in world.lastConfig, isPassed, cniVersion);
  }
  assertEquals((world.lastConfig.prevResult as { cniVersion: string }).cniVersion, "1.0.0");
});

const unavailable: [change: (world: PluginWorld) => void, msg: string][] = [
  [(world) => world.subnetEnv = undefined, DOES_NOT_EXIST],
  [(world) => world.installed = ["host-local"], 'failed to find plugin "bridge" in path [/opt/cni/bin]'],
  [(world) => world.installed = ["bridge"], 'failed to find plugin "host-local" in path [/opt/cni/bin]'],
];
for (const [change, msg] of unavailable) {
  plugin(`STATUS is 50 where ADD would say: ${msg}`, async (world) => {
    assertEquals((await world.run("STATUS", { cniVersion: "1.1.0" })).exitCode, 0);
    change(world);
    const { error } = await world.run("STATUS", { cniVersion: "1.1.0" });
    assertEquals([error.code, error.msg], [50, msg]);
  });
}

plugin("STATUS and GC are passed on to a delegate that knows them, and to no other", async (world) => {
  const conf = { cniVersion: "1.1.0", "cni.dev/valid-attachments": [] };
  for (const verb of ["STATUS", "GC"]) await world.run(verb, conf);
  assertEquals(world.verbs, []);
  world.versions = ["1.0.0", "1.1.0"];
  for (const verb of ["STATUS", "GC"]) assertEquals((await world.run(verb, conf)).exitCode, 0);
  assertEquals(world.verbs, ["STATUS", "GC"]);
  assertEquals(world.lastConfig["cni.dev/valid-attachments"], []);
});
