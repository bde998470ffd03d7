/**
 * Loden: a layer 3 network for pods that heals itself. This is the whole binary; `loden help` tells its commands.
 * Called by a container runtime, it is the CNI plugin `flannel`.
 *
 * @module
 */
import process from "node:process";
import { isPlugin } from "./src/plugin/called_as_plugin.ts";

if (import.meta.main) {
  // The name that it was started by, which may be a link's.
  const program = Deno.build.standalone ? process.argv0 : "loden";
  // The plugin lives for milliseconds, so it loads nothing of the agent's.
  const exitCode = isPlugin({ args: Deno.args, command: Deno.env.get("CNI_COMMAND"), program })
    ? await (await import("./src/plugin/plugin.ts")).pluginMain()
    : await (await import("./src/command/main.ts")).main(program);
  Deno.exit(exitCode);
}
