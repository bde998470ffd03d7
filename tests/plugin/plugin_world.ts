import type { AgentState } from "../../src/pods/agent_state.ts";
import { CniError } from "../../src/pods/cni_error.ts";
import type { Variables } from "../../src/pods/settings.ts";
import type { DelegateCall } from "../../src/plugin/delegate.ts";
import { runPlugin } from "../../src/plugin/plugin.ts";

/** A result as Debian's `bridge` prints it, in the version that it was asked in. */
export function resultOf(cniVersion: string): string {
  const version = cniVersion < "1" ? { version: "4" } : {};
  return JSON.stringify({ cniVersion, ips: [{ ...version, address: "10.244.1.2/24" }], dns: {} });
}

/** A subnet file of an IPv4 host. */
export const SUBNET_ENV =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

/** A host on which the plugin runs in this process: delegates that record, files in a folder of its own. */
export class PluginWorld implements AsyncDisposable {
  readonly calls: DelegateCall[] = [];
  readonly logLines: string[] = [];
  /** What a delegate does when it is called; nothing it throws is lost. */
  answer: (call: DelegateCall) => string = (call) =>
    call.verb === "ADD" ? resultOf(JSON.parse(call.config).cniVersion ?? "0.1.0") : "";
  /** The versions that all delegates speak, and the plugins that there are. */
  versions: readonly string[] = ["0.3.1", "0.4.0", "1.0.0"];
  installed: readonly string[] = ["bridge", "host-local"];
  subnetEnv: string | Error | undefined = SUBNET_ENV;
  agentState: AgentState | undefined;
  ownNetns = "";

  private constructor(readonly folder: string) {}

  static async create(): Promise<PluginWorld> {
    return new PluginWorld(await Deno.makeTempDir({ prefix: "lodentest-plugin-" }));
  }

  /** Where state is kept. */
  get dataDir(): string {
    return `${this.folder}/data`;
  }

  /** The names of all state files. */
  get state(): string[] {
    try {
      return [...Deno.readDirSync(this.dataDir)].map(({ name }) => name).sort();
    } catch {
      return [];
    }
  }

  /** Calls the plugin for container `c1`, link `eth0`, unless `variables` say otherwise. */
  async run(
    verb: string,
    conf: object | string = {},
    variables: Variables = {},
  ): Promise<{ exitCode: number; stdout: string; error: { code: number; msg: string; details?: string } }> {
    const whole = { cniVersion: "1.0.0", name: "cbr0", type: "flannel", dataDir: this.dataDir };
    const input = typeof conf === "string" ? conf : JSON.stringify({ ...whole, ...conf });
    const outcome = await runPlugin({
      variables: {
        CNI_COMMAND: verb,
        CNI_CONTAINERID: "c1",
        CNI_NETNS: "/run/netns/pod",
        CNI_IFNAME: "eth0",
        CNI_PATH: "/opt/cni/bin",
        FLANNEL_CNI_DATA_DIR: `${this.folder}/usual`,
        ...variables,
      },
      readInput: () => Promise.resolve(input),
      host: () => ({
        delegates: {
          folders: ["/opt/cni/bin"],
          find: (type) => {
            if (this.installed.includes(type)) return `/opt/cni/bin/${type}`;
            throw new CniError(999, `failed to find plugin "${type}" in path [/opt/cni/bin]`);
          },
          call: (call) => {
            this.calls.push(call);
            return new Promise((resolve) => resolve(this.answer(call)));
          },
          versions: () => Promise.resolve(this.versions),
        },
        readFile: (path) => {
          if (this.subnetEnv === undefined) throw new Deno.errors.NotFound(path);
          if (this.subnetEnv instanceof Error) throw this.subnetEnv;
          return this.subnetEnv;
        },
        agentState: () => this.agentState,
        isOwnNetns: (path) => path === this.ownNetns,
        log: {
          write: (level, event) => void this.logLines.push(`${level} ${event}`),
        },
      }),
    });
    const error = outcome.exitCode === 0 ? { code: 0, msg: "" } : JSON.parse(outcome.stdout);
    return { ...outcome, error };
  }

  /** The verbs that delegates were called with, in order. */
  get verbs(): string[] {
    return this.calls.map(({ verb }) => verb);
  }

  /** The configuration of the last call. */
  get lastConfig(): Record<string, unknown> {
    return JSON.parse(this.calls.at(-1)!.config);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}
