import { assert, assertEquals } from "@std/assert";
import { bootedAtMs, type HostFacts, readFacts } from "../../src/leftovers/leftover_facts.ts";
import { StateFolder } from "../../src/pods/state.ts";
import { Libc } from "../../src/linux/libc.ts";

const CONFIG = { name: "cbr0", type: "bridge", ipam: { type: "host-local" } };
const HOST: HostFacts = {
  links: new Map(),
  neighbours: new Set(),
  bootedAtMs: 0,
  nowMs: 1,
  isThere: (path) => path === "/run/netns/there",
};

/** Places with state, store and results in one folder. */
async function inPlaces(
  body: (folder: string, read: () => ReturnType<typeof readFacts>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-facts-" });
  for (const name of ["data", "networks", "results"]) await Deno.mkdir(`${folder}/${name}`);
  const places = {
    state: new StateFolder(`${folder}/data`),
    networksDir: `${folder}/networks`,
    resultsDir: `${folder}/results`,
    network: undefined,
  };
  try {
    await body(folder, () => readFacts(places, HOST));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function reserve(store: string, network: string, address: string): Promise<void> {
  await Deno.mkdir(`${store}/${network}`, { recursive: true });
  await Deno.writeTextFile(`${store}/${network}/${address}`, "c1\r\neth0");
}

Deno.test("readFacts() looks at the networks that state files name, and at no other", () =>
  inPlaces(async (folder, read) => {
    await reserve(`${folder}/networks`, "cbr0", "10.244.1.2");
    await reserve(`${folder}/networks`, "others", "10.9.0.2");
    await Deno.writeTextFile(`${folder}/data/c1@eth0`, JSON.stringify(CONFIG));
    await Deno.symlink("c1@eth0", `${folder}/data/c1`);
    const { reservations, states } = read();
    assertEquals(reservations.map(({ network }) => network), ["cbr0"]);
    assertEquals(states.map(({ containerId, ifname, network }) => [containerId, ifname, network]), [
      ["c1", "eth0", "cbr0"],
    ]);
  }));

Deno.test("readFacts() looks at the network that was asked for, with no state at all", () =>
  inPlaces(async (folder) => {
    await reserve(`${folder}/networks`, "cbr0", "10.244.1.2");
    const places = {
      state: new StateFolder(`${folder}/none`),
      networksDir: `${folder}/networks`,
      resultsDir: `${folder}/none`,
      network: "cbr0",
    };
    assertEquals(readFacts(places, HOST).reservations.length, 1);
  }));

Deno.test("readFacts() looks where the state says that host-local keeps its networks", () =>
  inPlaces(async (folder, read) => {
    await reserve(`${folder}/elsewhere`, "cbr0", "10.244.1.2");
    const ipam = { type: "host-local", dataDir: `${folder}/elsewhere` };
    await Deno.writeTextFile(`${folder}/data/c1`, JSON.stringify({ ...CONFIG, ipam }));
    assertEquals(read().reservations.length, 1);
    assertEquals(read().states.map(({ ifname }) => ifname), [undefined]);
  }));

const badStates: [name: string, text: string, networks: (string | undefined)[], why: string][] = [
  ["c1@eth0", "{", [undefined], "it is cut off"],
  ["c1@eth0", "[]", [undefined], "it is no configuration"],
  ["c1@eth0", JSON.stringify({ ...CONFIG, name: "../../etc" }), [undefined], "no network is called so"],
  ["c1@eth0", JSON.stringify({ name: "cbr0" }), [undefined], "it names no delegate"],
  ["c1@eth0", " ".repeat(2 << 20), [undefined], "it is too large"],
  ["c1@", JSON.stringify(CONFIG), [], "no link is called so"],
  ["-c1@eth0", JSON.stringify(CONFIG), [], "no container is called so"],
];
for (const [name, text, networks, why] of badStates) {
  Deno.test(`readFacts() takes no network from the state ${name}, since ${why}`, () =>
    inPlaces(async (folder, read) => {
      await Deno.writeTextFile(`${folder}/data/${name}`, text);
      assertEquals(read().states.map(({ network }) => network), networks);
    }));
}

const VETH = { name: "veth1" };
const POD = { name: "eth0", sandbox: "/run/netns/gone" };
const results: [name: string, cache: unknown, links: string[] | undefined, hasSandbox: boolean][] = [
  ["a result as libcni keeps it", { result: { interfaces: [VETH, POD] } }, ["veth1"], false],
  ["an empty sandbox", { result: { interfaces: [{ ...VETH, sandbox: "" }] } }, ["veth1"], false],
  [
    "a sandbox that is there",
    { result: { interfaces: [VETH, { ...POD, sandbox: "/run/netns/there" }] } },
    ["veth1"],
    true,
  ],
  ["a netns that is there", { netns: "/run/netns/there", result: { interfaces: [VETH] } }, ["veth1"], true],
  ["links that are none", { result: { interfaces: [1, null, { name: 2 }, { name: "" }] } }, [], false],
  ["a result before 0.3.0, which names no links", { result: { ip4: {} } }, [], true],
  ["no result", {}, undefined, true],
  ["another kind", { kind: "other", result: { interfaces: [VETH] } }, undefined, true],
  ["no object", [], undefined, true],
];
for (const [name, cache, hostLinks, hasSandbox] of results) {
  Deno.test(`readFacts() reads ${name} in the runtime's cache`, () =>
    inPlaces(async (folder, read) => {
      await Deno.writeTextFile(`${folder}/data/c1@eth0`, JSON.stringify(CONFIG));
      const text = Array.isArray(cache) ? "[]" : JSON.stringify({ kind: "cniCacheV1", ...cache as object });
      await Deno.writeTextFile(`${folder}/results/cbr0-c1-eth0`, text);
      const found = read().results.get("cbr0-c1-eth0");
      assertEquals([found?.hostLinks, found?.hasSandbox], [hostLinks, hasSandbox]);
    }));
}

Deno.test("readFacts() follows no link in the runtime's cache", () =>
  inPlaces(async (folder, read) => {
    await Deno.writeTextFile(`${folder}/data/c1@eth0`, JSON.stringify(CONFIG));
    await Deno.symlink("/dev/zero", `${folder}/results/cbr0-c1-eth0`);
    assertEquals(read().results.get("cbr0-c1-eth0")?.hostLinks, undefined);
  }));

Deno.test("bootedAtMs() counts back from now, and goes no later than the oldest thing in the folder", async () => {
  using libc = new Libc();
  const runFolder = await Deno.makeTempDir({ prefix: "lodentest-run-" });
  try {
    const nowMs = Date.now();
    const uptimeMs = Number(libc.readSysctl("/proc/uptime").split(" ")[0]) * 1000;
    const booted = bootedAtMs(libc, { nowMs, runFolder });
    assert(Math.abs(booted - (nowMs - uptimeMs)) < 60_000, `${booted}`);
    await Deno.writeTextFile(`${runFolder}/first`, "");
    await Deno.utime(`${runFolder}/first`, 5, 5);
    assertEquals(bootedAtMs(libc, { nowMs, runFolder }), 5000);
  } finally {
    await Deno.remove(runFolder, { recursive: true });
  }
});
