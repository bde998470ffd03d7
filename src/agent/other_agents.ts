import type { Libc } from "../linux/libc.ts";
import { namedSockets } from "../linux/unix_sockets.ts";
import { NETWORK } from "./agent_claim.ts";
import { judge } from "./agent_claim_holder.ts";

/**
 * The networks of agents that show that they run on this host, `10.244.0.0/16`, but for those that this process has.
 * Empty where that can't be seen.
 */
export function networksOfOthers(libc: Libc): string[] {
  try {
    return namedSockets(libc, NETWORK).filter((socket) => {
      const judgement = judge(libc, socket);
      return "rival" in judgement && judgement.rival.pid !== Deno.pid;
    }).map(({ name }) => name.slice(NETWORK.length)).sort();
  } catch {
    return [];
  }
}
