/**
 * Loden: a layer 3 network for pods that heals itself. This is the whole binary; `loden help` tells its commands.
 * Called by a container runtime, it is the CNI plugin `flannel`.
 *
 * @module
 */
import { isPlugin } from "./src/cni/called_as_plugin.ts";

if (import.meta.main) {
  // The plugin lives for milliseconds, so it loads nothing of the agent's.
  const main = isPlugin({
      args: Deno.args,
      command: Deno.env.get("CNI_COMMAND"),
      program: Deno.build.standalone ? Deno.execPath() : "loden",
    })
    ? (await import("./src/cni/plugin.ts")).pluginMain
    : (await import("./src/cli/main.ts")).main;
  Deno.exit(await main());
}
