import type { Libc } from "../linux/libc.ts";
import { holderOf, takenNames } from "../linux/unix_claim.ts";
import { NETWORK } from "./agent_claim.ts";

/**
 * The networks of agents that show that they run on this host, `10.244.0.0/16`, but for those that this process has.
 * Empty where that can't be seen.
 */
export function networksOfOthers(libc: Libc): string[] {
  try {
    return takenNames(libc, NETWORK).filter((name) => holderOf(libc, name)?.pid !== Deno.pid)
      .map((name) => name.slice(NETWORK.length)).sort();
  } catch {
    return [];
  }
}
