import { assertEquals } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { callPlugin, type PluginCall } from "../plugin/runtime.ts";
import { StateFolder } from "../../src/pods/state.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { type CommandResult, TestNetns } from "../double/netns.ts";

/** Runs `loden cleanup` in a network namespace: the binary, which may do less than a task. */
export async function cleanup(netns: TestNetns, ...args: string[]): Promise<CommandResult> {
  return await netns.run(await compiledBinary(), "cleanup", ...args);
}

/** A host whose pods were attached by the real `bridge` and `host-local`, with the files that plugin and runtime keep of it. */
export class Pods implements AsyncDisposable {
  readonly #pods = new Map<string, TestNetns>();
  /** The host's end of each pod's link. */
  readonly #links = new Map<string, unknown>();

  private constructor(readonly netns: TestNetns, readonly folder: string) {}

  static async create(): Promise<Pods> {
    const pods = new Pods(await TestNetns.create(), await Deno.makeTempDir({ prefix: "lodentest-pods-" }));
    for (const path of [pods.dataDir, pods.resultsDir]) await Deno.mkdir(path);
    return pods;
  }

  get dataDir(): string {
    return `${this.folder}/data`;
  }

  get networksDir(): string {
    return `${this.folder}/networks`;
  }

  get resultsDir(): string {
    return `${this.folder}/results`;
  }

  /** What names these places to `loden cleanup`. */
  get flags(): string[] {
    return [
      `--data-dir=${this.dataDir}`,
      `--networks-dir=${this.networksDir}`,
      `--results-dir=${this.resultsDir}`,
      `--cni-path=${STANDARD_PLUGINS}`,
    ];
  }

  /** The delegate's configuration, as the plugin makes it. */
  config(network = "cbr0"): string {
    return JSON.stringify({
      cniVersion: "1.0.0",
      name: network,
      type: "bridge",
      isGateway: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: network === "cbr0" ? "10.244.1.0/24" : "10.9.0.0/24" }]],
        dataDir: this.networksDir,
      },
      ...network !== "cbr0" && { bridge: "other0" },
    });
  }

  /** Attaches a pod, and keeps what the plugin and the runtime keep. */
  async attach(containerId: string, { network = "cbr0", hasState = true } = {}): Promise<void> {
    const pod = await TestNetns.create();
    this.#pods.set(containerId, pod);
    const call = await this.call("ADD", containerId, { network, netns: pod.path });
    assertEquals(call.code, 0, call.stdout);
    if (hasState) new StateFolder(this.dataDir).write({ containerId, ifname: "eth0" }, this.config(network));
    const result = JSON.parse(call.stdout);
    this.#links.set(containerId, result.interfaces[1].name);
    const cache = {
      kind: "cniCacheV1",
      containerId,
      ifName: "eth0",
      networkName: network,
      result,
    };
    await Deno.writeTextFile(`${this.resultsDir}/${network}-${containerId}-eth0`, JSON.stringify(cache));
  }

  /** Calls the delegate in the host's network namespace. */
  call(verb: string, containerId: string, { network = "cbr0", netns = "" } = {}): Promise<PluginCall> {
    return callPlugin(verb, "bridge", this.config(network), {
      hostNetns: this.netns.name,
      pluginFolders: [STANDARD_PLUGINS],
      containerId,
      netns,
    });
  }

  /** Ends a pod without a word to plugin or runtime. */
  async vanish(containerId: string): Promise<void> {
    const pod = this.#pods.get(containerId)!;
    this.#pods.delete(containerId);
    await pod[Symbol.asyncDispose]();
    // The kernel takes the links down after the namespace's name.
    const isGone = async () => {
      const links = await this.netns.ipJson("link", "show");
      return !links.some(({ ifname }) => ifname === this.#links.get(containerId)) || undefined;
    };
    const signal = new AbortController().signal;
    await waitUntil(`lose the link of ${containerId}`, isGone, { deadlineMs: 20_000, signal });
  }

  /** Gives all files about a pod another time, in seconds since 1970. */
  async age(containerId: string, timeS: number): Promise<void> {
    for await (const path of this.#filesOf(containerId)) await Deno.utime(path, timeS, timeS);
  }

  async *#filesOf(containerId: string): AsyncGenerator<string> {
    for (const folder of [this.dataDir, this.resultsDir]) {
      for await (const { name, isFile } of Deno.readDir(folder)) {
        if (isFile && name.includes(containerId)) yield `${folder}/${name}`;
      }
    }
    for await (const { name: network } of Deno.readDir(this.networksDir)) {
      for await (const { name } of Deno.readDir(`${this.networksDir}/${network}`)) {
        const path = `${this.networksDir}/${network}/${name}`;
        if ((await Deno.readTextFile(path)).startsWith(`${containerId}\r`)) yield path;
      }
    }
  }

  /** Addresses that are reserved. */
  async addresses(network = "cbr0"): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(`${this.networksDir}/${network}`));
    return entries.map(({ name }) => name).filter((name) => /^[0-9a-f]+[.:]/.test(name)).sort();
  }

  /** Containers that there is state of. */
  async states(): Promise<string[]> {
    const entries = await Array.fromAsync(Deno.readDir(this.dataDir));
    return entries.map(({ name }) => name).filter((name) => !name.includes("@")).sort();
  }

  /** The gateway answers a pod. */
  async ping(containerId: string): Promise<void> {
    const { code, stdout } = await this.#pods.get(containerId)!.run("ping", "-c1", "-W5", "10.244.1.1");
    assertEquals(code, 0, stdout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pod of this.#pods.values()) await pod[Symbol.asyncDispose]();
    await this.netns[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}
