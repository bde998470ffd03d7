/**
 * Loden: a layer 3 network for pods that heals itself. This is the whole binary; `loden help` tells its commands.
 * Called by a container runtime, it is the CNI plugin `flannel`.
 *
 * @module
 */
import process from "node:process";
import { commandOf } from "./src/command/command_of.ts";
import { isPlugin } from "./src/plugin/called_as_plugin.ts";

if (import.meta.main) {
  // The name that it was started by, which may be a link's.
  const program = Deno.build.standalone ? process.argv0 : "loden";
  // The plugin lives for milliseconds, so it loads nothing of the agent's; and what the agent loads stays in memory.
  let exitCode: number;
  if (isPlugin({ args: Deno.args, command: Deno.env.get("CNI_COMMAND"), program })) {
    exitCode = await (await import("./src/plugin/plugin.ts")).pluginMain();
  } else {
    const [command, ...args] = commandOf(Deno.args, program);
    exitCode = command === "agent"
      ? await (await import("./src/command/agent_main.ts")).agentMain(args)
      : await (await import("./src/command/main.ts")).main(command, args);
  }
  Deno.exit(exitCode);
}
