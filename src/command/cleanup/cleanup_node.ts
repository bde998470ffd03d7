import { networksOfOthers } from "../../agent/other_agents.ts";
import { isAgentLockHeld } from "../../pods/agent_lock.ts";
import type { Options } from "../../config/options.ts";
import { readMachine } from "../../host/origin.ts";
import { formatMac } from "../../model/address.ts";
import type { Libc } from "../../linux/libc.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import { planOwnFiles, planPodFiles } from "./cleanup_files.ts";
import type { CleanupOptions } from "./cleanup_flags.ts";
import { bridgePorts, planKernel } from "./cleanup_kernel.ts";
import { findOwnAddresses, planRegistry } from "./cleanup_registry.ts";
import { planRules } from "./cleanup_rules.ts";
import { type CleanupPlan, type CleanupStep, stepLine } from "./cleanup_step.ts";
import { errorText } from "../../log/error_text.ts";

/** What it needs of the process and the host. */
export interface NodeDeps {
  /** Writes one line. */
  readonly write: (text: string) => void;
  readonly client: NetlinkClient;
  readonly libc: Libc;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** This program's own file; absent where it is no compiled binary. */
  readonly program: string | undefined;
}

/** An agent that runs answers within this time. */
const HEALTH_MS = 1000;

/**
 * Removes all of Loden's and flannel's from a host that leaves the overlay: the conflist first, so that no pod is
 * started any more; links, routes and next hops; rules; files; last the lease, until when no other host takes the subnet. A
 * step that fails is a line, and the others are done.
 *
 * @returns Whether nothing is left.
 * @throws {Error} If an agent runs on this host.
 */
export async function cleanUpNode(
  { isDryRun, dataDir }: CleanupOptions,
  options: Options,
  deps: NodeDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const { client, environment, program, write } = deps;
  await refuseAgent("clean up", options, signal);
  using stack = new DisposableStack();
  const left: string[] = [];
  const fail = (object: string, verb: string, error: unknown) => {
    write(`Cannot ${verb} ${object}: ${errorText(error)}`);
    left.push(object);
  };
  const kept: string[] = [];
  const steps: CleanupStep[] = [];
  const plan = async (object: string, look: () => CleanupPlan | Promise<CleanupPlan>) => {
    try {
      const found = await look();
      steps.push(...found.steps);
      kept.push(...found.kept);
    } catch (error) {
      signal.throwIfAborted();
      fail(object, "look for", error);
    }
  };
  const links = dumpLinks(client);
  const hasPods = bridgePorts(links).length > 0;
  const addresses = findOwnAddresses(client, options);
  const macs = new Set(links.flatMap(({ mac }) => mac === undefined ? [] : formatMac(mac)));
  const places = {
    options,
    environment,
    root: "/",
    dataDir,
    program,
    hasPods,
    others: networksOfOthers(deps.libc),
  };
  await plan("the conflist and the plugin", () => planPodFiles(places));
  await plan("links, routes and next hops", () => planKernel(client));
  await plan("rules", () => planRules(deps.libc));
  await plan("the files of the agent", () => planOwnFiles(places));
  await plan("the lease", async () => {
    const { machine } = await readMachine(options.machineIdPath, "", () => {});
    const registryDeps = { environment, host: { machine, macs, addresses }, stack, signal };
    return { steps: await planRegistry(options.registry, registryDeps), kept: [] };
  });
  for (const step of steps) {
    signal.throwIfAborted();
    try {
      if (!isDryRun) await step.run();
      write(stepLine(step, isDryRun));
    } catch (error) {
      signal.throwIfAborted();
      fail(step.object, step.verb, error);
    }
  }
  for (const one of kept) write(`left alone: ${one}`);
  if (left.length > 0) write(`Not cleaned up: ${left.join("; ")}; mend what stands above and run this again`);
  else if (steps.length === 0) write("nothing of ours is here");
  return left.length === 0;
}

/**
 * An agent would put everything back at once, and so would flanneld, which answers at the same port.
 *
 * @param verb What can't be done then.
 * @throws {Error} If one shows that it runs.
 */
export async function refuseAgent(
  verb: string,
  { subnetFilePath, health }: Pick<Options, "subnetFilePath" | "health">,
  signal: AbortSignal,
): Promise<void> {
  refuseLocked(verb, subnetFilePath);
  if (health === undefined) return;
  const authority = healthAuthority(health);
  try {
    const late = AbortSignal.timeout(HEALTH_MS);
    const response = await fetch(`http://${authority}/healthz`, { signal: late });
    await response.body?.cancel();
  } catch {
    signal.throwIfAborted();
    return;
  }
  throw runningAgent(verb, `it answers at ${authority}`);
}

/** @throws {Error} If an agent holds its lock. */
export function refuseLocked(verb: string, subnetFilePath: string): void {
  if (isAgentLockHeld(subnetFilePath)) throw runningAgent(verb, "it holds its lock");
}

/** Where an agent is asked for its health on this host: `127.0.0.1:8081`. */
export function healthAuthority({ hostname, port }: NonNullable<Options["health"]>): string {
  const local = hostname === "0.0.0.0" ? "127.0.0.1" : hostname === "::" ? "::1" : hostname;
  return `${local.includes(":") ? `[${local}]` : local}:${port}`;
}

/** Why nothing is done on a host whose agent runs. */
export function runningAgent(verb: string, sign: string): Error {
  return new Error(`Cannot ${verb} this host: an agent runs here (${sign}); end it first`);
}
