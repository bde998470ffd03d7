/**
 * The benchmarks: `deno task bench`. Real kernel, private network namespaces, root. Prints tables, judges nothing.
 *
 * @module
 */
import { describeMachine, formatTable } from "./machine.ts";
import { timePasses } from "./passes.ts";

// deno-lint-ignore no-console
const print = console.log;
const SIZES = [1000, 5000, 20_000];

print(await describeMachine());
print("\nSingle passes, in one process, IPv4, next-hop objects (medians of 7; the first pass once):");
const passes = [];
for (const size of SIZES) passes.push(await timePasses(size));
print(formatTable(passes));
