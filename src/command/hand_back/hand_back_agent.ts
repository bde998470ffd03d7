import type { Options } from "../../config/options.ts";
import { LinkedAbort } from "../../loop/linked_abort.ts";
import { readHead } from "../../registry/http/read_head.ts";
import { AgentDoorError, askAgent } from "../agent_door.ts";
import { healthAuthority, refuseLocked, runningAgent } from "../cleanup/cleanup_node.ts";

/** An agent that runs answers within this time. */
const HEALTH_MS = 1000;
/** How `/status` of an agent begins; flanneld, which may be told the same port, has nothing of the kind. */
const STATUS_HEAD = /^\{\s*"at":\s*"[^"]*",\s*"version":\s*"/;
const HEAD_BYTES = 256;

/**
 * Refuses to go on beside an agent. flanneld is none: a host where it came first is to be handed back too.
 *
 * @param verb What can't be done beside one.
 * @throws {Error} If one shows in any way that it runs on this host.
 */
export async function refuseAnyAgent(
  verb: string,
  { subnetFilePath, health }: Pick<Options, "subnetFilePath" | "health">,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (await askAgent(subnetFilePath, "/status") !== undefined) {
      throw runningAgent(verb, "it answers at its socket");
    }
  } catch (error) {
    if (error instanceof AgentDoorError) throw runningAgent(verb, error.message);
    throw error;
  }
  refuseLocked(verb, subnetFilePath);
  if (health === undefined) return;
  const authority = healthAuthority(health);
  if (await isAgentAt(authority, signal)) throw runningAgent(verb, `it answers at ${authority}`);
}

/** Whether what answers at a port is an agent of Loden. */
async function isAgentAt(authority: string, outer: AbortSignal): Promise<boolean> {
  using abort = new LinkedAbort(outer);
  abort.limit(HEALTH_MS, new Error(`no answer within ${HEALTH_MS / 1000} s`));
  const { signal } = abort;
  try {
    const response = await fetch(`http://${authority}/status`, { signal, redirect: "error" });
    return STATUS_HEAD.test(await readHead(response, HEAD_BYTES, signal));
  } catch {
    outer.throwIfAborted();
    return false;
  }
}
