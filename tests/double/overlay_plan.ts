import type { LabHost } from "../../src/lab/host.ts";
import type { HostPlan, PlannedChange } from "../../src/model/host_plan.ts";
import { agentCommand, until } from "./overlay_rig.ts";

/** What `loden plan` printed, and ended with. */
export interface PlanAnswer {
  readonly code: number;
  readonly text: string;
  readonly errors: string;
}

/**
 * Asks for a plan on a host: with the flags that the last agent has noted, or, where these are gone, with all that an agent
 * would be started with.
 */
export async function planOn(
  host: LabHost,
  agentFlags: readonly string[],
  ...args: string[]
): Promise<PlanAnswer> {
  const isNoted = await Deno.stat(`${host.directory}/flags.json`).catch(() => undefined) !== undefined;
  const { command, environment } = host.agentStart(agentFlags);
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const flags = isNoted ? [`-subnet-file=${host.subnetFilePath}`] : command.slice(agentCommand.length);
  const words = [...variables, ...agentCommand.slice(0, -1), "plan", ...flags, ...args];
  const { code, stdout, stderr } = await host.exec("env", ...words);
  return { code, text: stdout.trim(), errors: stderr.trim() };
}

/** The plan that was printed as JSON. */
export function planIn({ text, errors }: PlanAnswer): HostPlan {
  if (text === "") throw new Error(`Cannot read a plan: it says nothing but ${errors}`);
  return JSON.parse(text);
}

/** All changes of a plan, in their order. */
export function changesIn({ stages }: HostPlan): readonly PlannedChange[] {
  return stages.flatMap(({ changes }) => changes);
}

/** Waits until the agent answers at its door, and has noted its flags. */
export async function untilAsked({ directory }: LabHost): Promise<void> {
  await until("see what commands need of the agent", async () => {
    if (await Deno.stat(`${directory}/flags.json`).catch(() => undefined) === undefined) return undefined;
    // What an agent that was killed has left there is refused.
    const path = `${directory}/loden.sock`;
    const connection = await Deno.connect({ transport: "unix", path }).catch(() => undefined);
    connection?.close();
    return connection !== undefined ? true : undefined;
  });
}
