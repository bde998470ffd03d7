import { TestNetns } from "../double/netns.ts";
import { compiledBinary } from "../../.ci/binary.ts";
import { callPlugin, type Conflist, type PluginCall, type Sandbox } from "./runtime.ts";

/** Where Debian has the standard plugins. */
export const STANDARD_PLUGINS = "/usr/lib/cni";

/** The subnet file of an IPv4 host, of flannel's own tests. */
export const V4_ENV =
  "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n";

/** A host with the compiled plugin, the standard plugins, and pods, in network namespaces of their own. */
export class PluginHost implements AsyncDisposable {
  readonly #pods: TestNetns[] = [];
  #count = 0;

  private constructor(readonly netns: TestNetns, readonly folder: string) {}

  static async create(subnetEnv: string | undefined = V4_ENV): Promise<PluginHost> {
    const binary = await compiledBinary();
    const host = new PluginHost(
      await TestNetns.create(),
      await Deno.makeTempDir({ prefix: "lodentest-cni-" }),
    );
    await Deno.mkdir(host.pluginFolder);
    await Deno.symlink(binary, `${host.pluginFolder}/flannel`);
    if (subnetEnv !== undefined) await Deno.writeTextFile(host.subnetFile, subnetEnv);
    return host;
  }

  get pluginFolder(): string {
    return `${this.folder}/bin`;
  }

  get subnetFile(): string {
    return `${this.folder}/subnet.env`;
  }

  get dataDir(): string {
    return `${this.folder}/data`;
  }

  /** Where host-local keeps its reservations. */
  get networksDir(): string {
    return `${this.folder}/networks`;
  }

  /** Flannel's part of a chain on this host. */
  flannel(changes: Readonly<Record<string, unknown>> = {}): Conflist["plugins"][number] {
    const { ipam, ...others } = changes;
    return {
      type: "flannel",
      subnetFile: this.subnetFile,
      dataDir: this.dataDir,
      ipam: { dataDir: this.networksDir, ...ipam as object },
      ...others,
    };
  }

  /** A new pod: a network namespace that nothing is attached to yet. */
  async pod(): Promise<TestNetns> {
    const pod = await TestNetns.create();
    this.#pods.push(pod);
    return pod;
  }

  /** Ends a pod behind the runtime's back. */
  async removePod(pod: TestNetns): Promise<void> {
    this.#pods.splice(this.#pods.indexOf(pod), 1);
    await pod[Symbol.asyncDispose]();
  }

  /** What a runtime says of a pod's attachment. */
  sandbox(pod: TestNetns | undefined, changes: Partial<Sandbox> = {}): Sandbox {
    return {
      hostNetns: this.netns.name,
      pluginFolders: [this.pluginFolder, STANDARD_PLUGINS],
      containerId: `c${Deno.pid}-${this.#count++}`,
      netns: pod?.path ?? "",
      ...changes,
    };
  }

  /** Calls the plugin alone. */
  call(
    verb: string,
    sandbox: Sandbox,
    conf: Readonly<Record<string, unknown>> | string = {},
  ): Promise<PluginCall> {
    const whole = { name: "cbr0", cniVersion: "1.0.0", ...this.flannel() };
    return callPlugin(
      verb,
      "flannel",
      typeof conf === "string" ? conf : JSON.stringify({ ...whole, ...conf }),
      sandbox,
    );
  }

  /** The names of state files, and of host-local's reservations for `network`. */
  async leftovers(network = "cbr0"): Promise<{ state: string[]; addresses: string[]; links: string[] }> {
    const names = async (path: string) => {
      try {
        return (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
      } catch (error) {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      }
    };
    const reserved = await names(`${this.networksDir}/${network}`);
    const links = await this.netns.ipJson("link", "show");
    return {
      state: await names(this.dataDir),
      addresses: reserved.filter((name) => /^[0-9a-f.:]+$/.test(name)),
      links: links.map(({ ifname }) => String(ifname)).filter((name) => name.startsWith("veth")),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pod of this.#pods) await pod[Symbol.asyncDispose]();
    await this.netns[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}
