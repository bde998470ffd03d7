import type { Command } from "./command.ts";
import { runCommand } from "./run_command.ts";

/** The command that runs for as long as the host does. */
export const AGENT: Command = {
  summary: "run on this host; also what flags without a command do",
  isEndless: true,
  loadUsage: async () => (await import("./agent.ts")).AGENT_USAGE,
  run: async (args, place) => await (await import("./agent.ts")).runAgentCommand(args, place),
};

/** Runs the agent and returns the exit code of the process. It stays in memory, so it knows nothing of other commands. */
export async function agentMain(args: readonly string[]): Promise<number> {
  return await runCommand("agent", args, AGENT);
}
