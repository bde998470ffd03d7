/**
 * The benchmarks: `deno task bench`. Real kernel, private network namespaces, root. Prints tables, judges nothing.
 *
 * @module
 */
import { describeMachine, formatTable } from "./machine.ts";
import { timeChains } from "./cni.ts";
import { timeColdStart } from "./cold_start.ts";
import { timePasses } from "./passes.ts";
import { measureLoad, timeEtcdJoins, timeKubeJoins } from "./registries.ts";

// deno-lint-ignore no-console
const print = console.log;
const SIZES = [1000, 5000, 20_000];

print(await describeMachine());
print("\nSingle passes, in one process, IPv4, next-hop objects (medians of 7; the first pass once):");
const passes = [];
for (const size of SIZES) passes.push(await timePasses(size));
print(formatTable(passes));

print("\nThe compiled agent, local registry, IPv4 (medians of 3; idle CPU once, over 60 s):");
const starts = [];
const binary = new URL("../../build/loden", import.meta.url).pathname;
for (const size of SIZES) {
  starts.push(await timeColdStart(binary, size, { idleMs: size === 5000 ? 60_000 : 0 }));
}
print(formatTable(starts));

print("\nFrom the request that writes a lease to the route in the kernel, one join after the other:");
print(formatTable([await timeEtcdJoins(binary, 1000), await timeKubeJoins(binary, 1000)]));

print(
  "\nThe compiled agent with the nodes of a cluster (an API server of the test's own, on the same machine):",
);
const loads = [];
for (const size of [0, 1000, 5000]) loads.push(await measureLoad(binary, size));
print(formatTable(loads));

print("\nA pod attached and detached by a chain of CNI plugins, the chains taking turns, 200 times each:");
print(formatTable(await timeChains(200)));
