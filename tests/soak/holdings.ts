import type { LabHost } from "../../src/lab/host.ts";
import type { Netns } from "../../src/lab/netns.ts";
import { processCost } from "../bench/machine.ts";

/** What a process has, at one moment. */
export interface ProcessHoldings {
  readonly rssMiB: number;
  readonly descriptors: number;
}

/** Reads what a process has. */
export async function processHoldings(pid: number): Promise<ProcessHoldings> {
  const { rssMiB } = await processCost(pid);
  const descriptors = (await Array.fromAsync(Deno.readDir(`/proc/${pid}/fd`))).length;
  return { rssMiB, descriptors };
}

/** Commands that print one kernel object a line. What comes and goes by itself is left out. */
const LISTS: Readonly<Record<string, readonly string[]>> = {
  links: ["ip", "-o", "link", "show"],
  addresses: ["ip", "-o", "address", "show"],
  "IPv4 routes": ["ip", "-4", "-o", "route", "show", "table", "all"],
  "IPv6 routes": ["ip", "-6", "-o", "route", "show", "table", "all"],
  "routing rules": ["ip", "-o", "rule", "show"],
  "next hops": ["ip", "-o", "nexthop", "show"],
  neighbours: ["ip", "-o", "neigh", "show", "nud", "permanent"],
  "FDB entries of IPv4": ["bridge", "fdb", "show", "dev", "flannel.1"],
  "FDB entries of IPv6": ["bridge", "fdb", "show", "dev", "flannel-v6.1"],
  "lines of rules": ["nft", "-s", "list", "ruleset"],
};

/** Counts the kernel's objects in a host's namespace, as iproute2 and nft(8) list them. */
export async function countObjects({ netns }: Pick<LabHost, "netns">): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const [name, [command, ...args]] of Object.entries(LISTS)) {
    counts[name] = await countLines(netns, command!, args);
  }
  return counts;
}

async function countLines(netns: Netns, command: string, args: readonly string[]): Promise<number> {
  const text = await netns.mustExec(command, ...args);
  return text.split("\n").filter((line) => line !== "").length;
}
