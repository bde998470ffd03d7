/** A network configuration list, as a runtime reads it from its folder. */
export interface Conflist {
  readonly name: string;
  readonly cniVersion?: string;
  readonly plugins: readonly (Readonly<Record<string, unknown>> & { readonly type: string })[];
}

/** Where a runtime runs plugins, and for whom. */
export interface Sandbox {
  /** The network namespace of the host, in which plugins run; absent where this process runs in it. */
  readonly hostNetns?: string;
  readonly pluginFolders: readonly string[];
  readonly containerId: string;
  /** The path of the pod's network namespace; empty if it is gone. */
  readonly netns: string;
  readonly ifname?: string;
  /** What the runtime was asked for, by capability: `portMappings`. */
  readonly capabilities?: Readonly<Record<string, unknown>>;
  /** Beside the variables of CNI. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What came of one call of a plugin. */
export interface PluginCall {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A plugin failed. */
class PluginFailure extends Error {
  override readonly name = "PluginFailure";

  constructor(readonly type: string, readonly call: PluginCall) {
    super(`${type} ended with ${call.code}: ${call.stdout}${call.stderr}`);
  }
}

/** Calls one plugin as a container runtime does: configuration on standard input, the rest in variables. */
export async function callPlugin(
  verb: string,
  type: string,
  config: string,
  sandbox: Partial<Sandbox> & Pick<Sandbox, "pluginFolders">,
): Promise<PluginCall> {
  const { hostNetns, pluginFolders, containerId, netns, ifname = "eth0", environment } = sandbox;
  const plugin = findPlugin(type, pluginFolders);
  const [program, ...args] = hostNetns === undefined ? [plugin] : ["ip", "netns", "exec", hostNetns, plugin];
  const child = new Deno.Command(program!, {
    args,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      CNI_COMMAND: verb,
      CNI_PATH: pluginFolders.join(":"),
      ...containerId !== undefined && { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname },
      ...netns !== undefined && { CNI_NETNS: netns },
      ...environment,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const fed = writer.write(new TextEncoder().encode(config)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  await fed;
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

function findPlugin(type: string, folders: readonly string[]): string {
  for (const folder of folders) {
    try {
      if (Deno.statSync(`${folder}/${type}`).isFile) return `${folder}/${type}`;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`Cannot find the plugin ${type} in ${folders.join(":")}`);
}

/** Attaches a pod: each plugin of the chain, with the result of the one before. Returns the last result. */
export async function attach(list: Conflist, sandbox: Sandbox): Promise<Record<string, unknown>> {
  let result: Record<string, unknown> | undefined;
  for (const plugin of list.plugins) {
    result = JSON.parse(await mustCall("ADD", plugin, list, sandbox, result));
  }
  return result!;
}

/** Detaches a pod: the chain the other way round, with the final result where the version has that. */
export async function detach(
  list: Conflist,
  sandbox: Sandbox,
  result?: Record<string, unknown>,
): Promise<void> {
  const hasResult = (list.cniVersion ?? "0.1.0") >= "0.4.0";
  for (const plugin of list.plugins.toReversed()) {
    await mustCall("DEL", plugin, list, sandbox, hasResult ? result : undefined);
  }
}

/** Has each plugin of the chain check what it has made. */
export async function checkAttached(
  list: Conflist,
  sandbox: Sandbox,
  result: Record<string, unknown>,
): Promise<void> {
  for (const plugin of list.plugins) await mustCall("CHECK", plugin, list, sandbox, result);
}

async function mustCall(
  verb: string,
  plugin: Conflist["plugins"][number],
  list: Conflist,
  sandbox: Sandbox,
  prevResult: unknown,
): Promise<string> {
  const declared = Object.keys((plugin.capabilities as object | undefined) ?? {});
  const asked = Object.entries(sandbox.capabilities ?? {}).filter(([name]) => declared.includes(name));
  const config = {
    ...plugin,
    name: list.name,
    ...list.cniVersion !== undefined && { cniVersion: list.cniVersion },
    ...asked.length > 0 && { runtimeConfig: Object.fromEntries(asked) },
    ...prevResult !== undefined && { prevResult },
  };
  const call = await callPlugin(verb, plugin.type, JSON.stringify(config), sandbox);
  if (call.code !== 0) throw new PluginFailure(plugin.type, call);
  return call.stdout;
}
