/**
 * The benchmarks: `deno task bench`, or some of the tables: `deno task bench joins pods`. Real kernel, private network
 * namespaces, root. Prints tables, judges nothing.
 *
 * @module
 */
import { describeMachine, formatTable } from "./machine.ts";
import { timeCloudStart } from "./cloud.ts";
import { timeChains } from "./cni.ts";
import { timeColdStart } from "./cold_start.ts";
import { goalRows, PASS_GOALS, START_GOALS } from "./goals.ts";
import { measureFlood } from "./flood.ts";
import { measureMemory } from "./memory.ts";
import { measureNoise } from "./noise.ts";
import { timePasses } from "./passes.ts";
import { measurePeers, parsePeers } from "./peers.ts";
import { timeRoutes } from "./routes.ts";
import { simulateSampler } from "./sampler.ts";
import { measureLists } from "./lists.ts";
import { largeNode, measureLoad, timeEtcdJoins, timeKubeJoins } from "./registries.ts";

// deno-lint-ignore no-console
const print = console.log;
const SIZES = [1000, 5000, 20_000];

const binary = new URL("../../build/loden", import.meta.url).pathname;

/** The tables, by the names that they can be asked for with. */
const TABLES: Readonly<Record<string, () => Promise<void>>> = {
  async passes() {
    print(
      "\nSingle passes, in one process, IPv4 (medians of 7; the first pass once). What the kernel needs alone for the dumps of a\n" +
        "whole pass is the least that one can take; joins and repairs are partial passes:",
    );
    const passes = [];
    for (const size of SIZES) {
      for (const isPlain of [true, false]) passes.push(await timePasses(size, { isPlain }));
    }
    print(formatTable(passes));
    print(`\n${formatTable(goalRows(PASS_GOALS, passes, "decoder"))}`);
  },
  async routes() {
    print("\nRoutes over one VXLAN link by ip -batch, without Loden, IPv4 (medians of 3):");
    const routes = [];
    for (const size of [5000, 20_000, 100_000]) routes.push(...await timeRoutes(size));
    print(formatTable(routes));
  },
  async starts() {
    print(
      "\nThe compiled agent, local registry, IPv4 (medians of 5; idle CPU once, over 60 s; LODEN_BEFORE names another binary to compare with):",
    );
    const starts = [];
    // What one lease takes is the start of the program itself.
    for (const size of [1, ...SIZES]) {
      const idleMs = size === 5000 ? 60_000 : 0;
      starts.push(...await timeColdStart(binary, size, { idleMs, before: Deno.env.get("LODEN_BEFORE") }));
    }
    print(formatTable(starts));
    print(`\n${formatTable(goalRows(START_GOALS, starts, "binary"))}`);
  },
  async joins() {
    print("\nFrom the request that writes a lease to the route in the kernel, one join after the other:");
    print(formatTable([await timeEtcdJoins(binary, 1000), await timeKubeJoins(binary, 1000)]));
  },
  async peers() {
    print(
      "\nPrograms with flannel's flags beside each other, vxlan, IPv4, real etcd (LODEN_PEERS names others, as in\n" +
        '"flanneld=/path/to/flanneld -v=0"; LODEN_BEFORE another binary of Loden; joins: 150 in ten seconds):',
    );
    const ours = (path: string) => [path, "agent", "-unmanaged-files=false"];
    const before = Deno.env.get("LODEN_BEFORE");
    const peers = [
      { name: "loden", command: ours(binary) },
      ...before === undefined ? [] : [{ name: "before", command: ours(before) }],
      ...parsePeers(Deno.env.get("LODEN_PEERS") ?? ""),
    ];
    const figures = [];
    for (const size of [1000, 5000]) figures.push(...await measurePeers(peers, size));
    figures.push(...await measurePeers(peers.slice(0, 1), 20_000));
    print(formatTable(figures));
  },
  async nodes() {
    print(
      "\nThe compiled agent with the nodes of a cluster, 100 of which change each second what is of no interest (an API\n" +
        "server of the test's own, on the same machine):",
    );
    const loads = [];
    for (const size of [0, 1000, 5000]) loads.push(await measureLoad(binary, size));
    print(formatTable(loads));
  },
  async noise() {
    print(
      "\nThe compiled agent while other programs do what is none of its business, over 10 s, and until a route is back that is\n" +
        "deleted meanwhile (LODEN_BEFORE names another binary to compare with):",
    );
    print(formatTable(await measureNoise(binary, Deno.env.get("LODEN_BEFORE"))));
  },
  async flood() {
    print(
      "\nThe compiled agent with 100 leases while it is asked 10,000 times a second, one request each connection: 100 repairs\n" +
        "of a route, from its deletion until the kernel tells of the new one (LODEN_BEFORE names another binary to compare with):",
    );
    print(formatTable(await measureFlood(binary, 10_000, Deno.env.get("LODEN_BEFORE"))));
  },
  async memory() {
    print(
      "\nThe compiled agent alone in a network that nobody asks, 30 s after it came to rest (medians of 5; RssAnon also the\n" +
        "least and the most; LODEN_BEFORE names another binary to compare with):",
    );
    print(formatTable(await measureMemory(binary, Deno.env.get("LODEN_BEFORE"))));
  },
  async lists() {
    print(
      "\nAll of 2,000 nodes of 15 KB, listed by a real API server (5 times each; a way that it does not have is 0):",
    );
    print(formatTable(await measureLists(2000, largeNode)));
  },
  async pods() {
    print(
      "\nA pod attached and detached by a chain of CNI plugins, the chains taking turns, 200 times each:",
    );
    print(formatTable(await timeChains(200, Deno.env.get("LODEN_BEFORE"))));
  },
  async cloud() {
    print(
      "\nNodes of aws-vpc that start at the same moment; EC2 is a double that throttles as EC2 does by default:",
    );
    const starts = [];
    for (const nodes of [50, 200, 500]) starts.push(await timeCloudStart(nodes));
    print(formatTable(starts));
  },
  async sampler() {
    print(
      "\nFrom a fault until a first host has its verdict, 400 beginnings of chance, 3 probes a second (simulated with the\n" +
        "code of the agent; an answer takes 1 ms, and none is waited for longer than 250 ms):",
    );
    const figures = [];
    for (const hosts of [10, 100, 1000]) figures.push(...await simulateSampler(hosts));
    print(formatTable(figures));
  },
};

const wanted = Deno.args.length > 0 ? Deno.args : Object.keys(TABLES);
print(await describeMachine());
for (const name of wanted) {
  const table = Object.hasOwn(TABLES, name) ? TABLES[name] : undefined;
  if (table === undefined) {
    print(`Cannot make the table ${name}: there are ${Object.keys(TABLES).join(", ")}`);
    Deno.exit(2);
  }
  await table();
}
