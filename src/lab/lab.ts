import { AF_INET, type Family } from "../model/address.ts";
import { queryLink } from "../rtnetlink/link.ts";
import type { Libc } from "../linux/libc.ts";
import { pathExists } from "./command.ts";
import { LabHost, STOP_DEADLINE_MS, UPLINK } from "./host.ts";
import { labName, NETNS_FOLDER, temporaryFolder } from "./names.ts";
import { Netns } from "./netns.ts";
import { defaultNetworkConfig, type UnderlayKind, underlayPlacements } from "./plan.ts";
import {
  addAddress,
  addDefaultRoute,
  changeLink,
  FAMILIES,
  forwardingSysctl,
  makeBridge,
  makeVeth,
} from "./wiring.ts";

/** The bridge that the hosts of one segment are on. */
const SWITCH = "switch";

/** What a lab is made of. */
export interface LabOptions {
  readonly libc: Libc;
  /** Hosts at the start; 3 if absent. `addHost()` makes more. */
  readonly hosts?: number;
  /** Each host in a segment of its own, a router between them; else all on one segment. */
  readonly isRouted?: boolean;
  /** Of underlay and overlay, IPv4 first; IPv4 alone if absent. */
  readonly families?: readonly Family[];
  /** The value of `net-conf.json`; a VXLAN overlay of `families` if absent. */
  readonly networkConfig?: Readonly<Record<string, unknown>>;
  /** What starts an agent; its flags follow. */
  readonly agentCommand: readonly string[];
  /** Whether agents are started and, in the subnets that they get, pods made; they are if absent. */
  readonly withAgents?: boolean;
  /** Flags for each agent, stronger than the lab's own. */
  readonly agentFlags?: readonly string[];
  /** What each agent chooses its underlay by; the link that the lab gives it if absent. */
  readonly underlayFlags?: readonly string[];
  /** Variables for the agent of a host. */
  readonly agentEnvironment?: (hostName: string) => Readonly<Record<string, string>>;
  /** Where the lab's own folder is made; the folder for temporary files if absent. */
  readonly directory?: string;
  /** Ends waits and commands when it aborts. The lab is still to be disposed of. */
  readonly signal?: AbortSignal;
  /** Called as the lab grows, with what is being done. */
  readonly progress?: (step: string) => void;
}

/**
 * Several hosts on one machine, each in a network namespace, and the underlay that connects them.
 *
 * Disposal ends every process in it and leaves nothing behind.
 */
export class Lab implements AsyncDisposable {
  readonly #options: LabOptions;
  readonly #signal: AbortSignal;
  readonly #resources: AsyncDisposableStack;
  readonly #kind: UnderlayKind;
  readonly #hosts: LabHost[] = [];
  #bridge = 0;

  private constructor(
    /** What the names of its namespaces begin with. */
    readonly name: string,
    /** Holds `net-conf.json`, `registry.db`, and a folder for each host. */
    readonly directory: string,
    /** Where the switch or the router is. */
    readonly underlay: Netns,
    options: LabOptions,
    signal: AbortSignal,
    resources: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.#signal = signal;
    this.#resources = resources;
    this.#kind = kindOf(options);
  }

  /**
   * Makes a lab, all of it or nothing.
   *
   * @throws {Error} If something can't be made, or an agent gets no subnet, with the last lines of its log.
   * @throws The signal's reason, once it aborts.
   */
  static async open(options: LabOptions): Promise<Lab> {
    const { libc, hosts = 3, withAgents = true, progress = () => {} } = options;
    const signal = options.signal ?? new AbortController().signal;
    signal.throwIfAborted();
    await using stack = new AsyncDisposableStack();
    const [name, underlay] = await claimName(libc, signal);
    stack.use(underlay);
    const directory = await Deno.makeTempDir({
      dir: options.directory ?? temporaryFolder(),
      prefix: `${labName(Deno.pid, 1)}-`,
    });
    stack.defer(() => Deno.remove(directory, { recursive: true }));
    const lab = new Lab(name, directory, underlay, options, signal, stack.move());
    try {
      progress(`making ${hosts} ${hosts === 1 ? "host" : "hosts"}`);
      await lab.#makeUnderlay();
      for (let number = 1; number <= hosts; number++) await lab.#makeHost();
      if (withAgents) {
        for (const host of lab.hosts) host.startAgent(options.agentFlags);
        for (const [index, host] of lab.hosts.entries()) {
          progress(`waiting for subnets: ${index} of ${hosts}`);
          await host.waitForSubnets();
        }
        progress(`making ${hosts} ${hosts === 1 ? "pod" : "pods"}`);
        for (const host of lab.hosts) await lab.#makePod(host);
      }
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The hosts in the order in which they were made. */
  get hosts(): readonly LabHost[] {
    return this.#hosts;
  }

  get registryPath(): string {
    return `${this.directory}/registry.db`;
  }

  get networkConfigPath(): string {
    return `${this.directory}/net-conf.json`;
  }

  /**
   * Adds a host to the underlay; with agents, starts its agent and makes its pod.
   *
   * @throws {Error} If its agent gets no subnet, with the last lines of its log. The host is then still there.
   */
  async addHost(): Promise<LabHost> {
    const host = await this.#makeHost();
    if (this.#options.withAgents ?? true) {
      host.startAgent(this.#options.agentFlags);
      await host.waitForSubnets();
      await this.#makePod(host);
    }
    return host;
  }

  /** Plugs a host's cable in, or pulls it: its own link stays up and has no carrier. */
  setConnected(host: LabHost, isConnected: boolean): void {
    const port = queryLink(this.underlay.client, host.name)!;
    changeLink(this.underlay.client, port.linkIndex, { isUp: isConnected });
  }

  async #makeUnderlay(): Promise<void> {
    const { networkConfig = defaultNetworkConfig(this.#kind.families) } = this.#options;
    await Deno.writeTextFile(this.networkConfigPath, JSON.stringify(networkConfig, undefined, 2));
    if (this.#kind.isRouted) {
      for (const family of this.#kind.families) this.underlay.writeSysctl(forwardingSysctl(family), "1");
      // Else a link that is set down and up again has no IPv6 address anymore.
      this.underlay.writeIfThere("net/ipv6/conf/default/keep_addr_on_down", "1");
    } else {
      this.#bridge = makeBridge(this.underlay.client, SWITCH);
    }
  }

  async #makeHost(): Promise<LabHost> {
    this.#signal.throwIfAborted();
    const number = this.#hosts.length + 1;
    const placements = underlayPlacements(number, this.#kind);
    const host = await LabHost.create(this.#options.libc, {
      number,
      labName: this.name,
      placements,
      directory: this.directory,
      registryPath: this.registryPath,
      networkConfigPath: this.networkConfigPath,
      agentCommand: this.#options.agentCommand,
      agentEnvironment: this.#options.agentEnvironment?.(`h${number}`) ?? {},
      underlayFlags: this.#options.underlayFlags ?? [`-iface=${UPLINK}`],
    }, { signal: this.#signal });
    this.#resources.use(host);
    this.#hosts.push(host);
    const [port, uplink] = makeVeth(
      this.#options.libc,
      { netns: this.underlay, name: host.name },
      { netns: host.netns, name: UPLINK },
    );
    if (!this.#kind.isRouted) changeLink(this.underlay.client, port, { master: this.#bridge });
    for (const placement of placements) {
      const { gateway, length } = placement;
      if (this.#kind.isRouted) addAddress(this.underlay.client, port, { address: gateway, length });
      addAddress(host.client, uplink, placement);
      addDefaultRoute(host.client, uplink, gateway);
    }
    return host;
  }

  async #makePod(host: LabHost): Promise<void> {
    this.#signal.throwIfAborted();
    await host.makePod();
  }

  /** Ends the agents, all at once, then deletes namespaces and folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#hosts.map((host) => host.agent?.stop("SIGTERM", STOP_DEADLINE_MS)));
    await this.#resources.disposeAsync();
  }
}

function kindOf({ isRouted = false, families = [AF_INET] }: LabOptions): UnderlayKind {
  return { isRouted, families: FAMILIES.filter((family) => families.includes(family)) };
}

/** Takes the first name that is free, by making the underlay's namespace: the kernel lets one win. */
async function claimName(libc: Libc, signal: AbortSignal): Promise<[string, Netns]> {
  for (let serial = 1;; serial++) {
    const name = labName(Deno.pid, serial);
    const netnsName = `${name}-underlay`;
    if (await pathExists(`${NETNS_FOLDER}/${netnsName}`)) continue;
    try {
      return [name, await Netns.create(libc, netnsName, { signal })];
    } catch (error) {
      if (!await pathExists(`${NETNS_FOLDER}/${netnsName}`)) throw error;
    }
  }
}
