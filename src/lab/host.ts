import { type Address, type Family, familyOf } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import { readSubnetEnv } from "../pods/subnet_env.ts";
import { type AgentEnd, AgentProcess, type AgentStart, describeEnd } from "./agent_process.ts";
import type { CommandResult } from "./command.ts";
import { Netns } from "./netns.ts";
import type { UnderlayPlacement } from "./plan.ts";
import { type HostShare, makePod, type Pod } from "./pod.ts";
import { waitUntil } from "./wait.ts";
import { forwardingSysctl } from "./wiring.ts";

/** The link that carries the overlay, and the pod's only one. */
export const UPLINK = "eth0";
/** The bridge that the pods of a host are on. */
export const BRIDGE = "cni0";
/** Where an agent answers for its health, inside its host's namespace. */
export const HEALTH_ADDRESS = "127.0.0.1:8081";

/** What an agent may take from its start to its subnet file. */
const SUBNET_DEADLINE_MS = 30_000;
/** What an agent may take to end before it is killed, when its host is taken away. */
export const STOP_DEADLINE_MS = 2000;
/** Lines of an agent's log in an error. */
const TAIL_LINES = 10;

/** Where a host and its files are. */
export interface HostPlan {
  /** From 1. */
  readonly number: number;
  /** What the names of the lab's namespaces begin with. */
  readonly labName: string;
  readonly placements: readonly UnderlayPlacement[];
  /** The lab's folder; the host's own is made in it. */
  readonly directory: string;
  readonly registryPath: string;
  readonly networkConfigPath: string;
  readonly agentCommand: readonly string[];
  /** Variables for the agent, besides those of the lab. */
  readonly agentEnvironment: Readonly<Record<string, string>>;
  /** What the agent chooses its underlay by. */
  readonly underlayFlags: readonly string[];
}

/** One host of a lab: a network namespace with a link to the others, an agent and a pod. */
export class LabHost implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #plan: HostPlan;
  readonly #signal: AbortSignal;
  #agent: AgentProcess | undefined;
  #pod: Pod | undefined;
  #share: HostShare | undefined;

  private constructor(libc: Libc, plan: HostPlan, readonly netns: Netns, signal: AbortSignal) {
    this.#libc = libc;
    this.#plan = plan;
    this.#signal = signal;
  }

  /** Makes a host's namespace and folder. Its link to the others is made by who owns the underlay. */
  static async create(libc: Libc, plan: HostPlan, options: { signal: AbortSignal }): Promise<LabHost> {
    const netns = await Netns.create(libc, `${plan.labName}-h${plan.number}`, options);
    const host = new LabHost(libc, plan, netns, options.signal);
    try {
      await Deno.mkdir(host.directory);
      await Deno.writeTextFile(host.machineIdPath, `${crypto.randomUUID().replaceAll("-", "")}\n`);
      for (const family of host.families) netns.writeSysctl(forwardingSysctl(family), "1");
      return host;
    } catch (error) {
      await netns[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** `h1`. */
  get name(): string {
    return `h${this.#plan.number}`;
  }

  get families(): readonly Family[] {
    return this.placements.map(({ address }) => familyOf(address));
  }

  /** Where the host is in the underlay, one a family, IPv4 first. */
  get placements(): readonly UnderlayPlacement[] {
    return this.#plan.placements;
  }

  /** One a family, IPv4 first. */
  get underlayAddresses(): readonly Address[] {
    return this.placements.map(({ address }) => address);
  }

  /** Holds `agent.log`, `machine-id` and `subnet.env`. */
  get directory(): string {
    return `${this.#plan.directory}/${this.name}`;
  }

  get logPath(): string {
    return `${this.directory}/agent.log`;
  }

  /** Each host of a lab is a machine of its own. */
  get machineIdPath(): string {
    return `${this.directory}/machine-id`;
  }

  get subnetFilePath(): string {
    return `${this.directory}/subnet.env`;
  }

  /** Speaks with the kernel about this host, from outside of it. */
  get client(): NetlinkClient {
    return this.netns.client;
  }

  /** The agent that was started last; `undefined` before the first. */
  get agent(): AgentProcess | undefined {
    return this.#agent;
  }

  /**
   * The host's share of the cluster network, as `waitForSubnets()` last read it.
   *
   * @throws {Error} If that has not happened.
   */
  get share(): HostShare {
    if (this.#share === undefined) {
      throw new Error(`Cannot tell the subnet of ${this.name}: it has none yet`);
    }
    return this.#share;
  }

  /**
   * The pod that `makePod()` made.
   *
   * @throws {Error} If there is none.
   */
  get pod(): Pod {
    if (this.#pod === undefined) throw new Error(`Cannot find the pod of ${this.name}: it has none yet`);
    return this.#pod;
  }

  /** Runs a command on the host; a failure is in the result. */
  exec(command: string, ...args: string[]): Promise<CommandResult> {
    return this.netns.exec(command, ...args);
  }

  /** Runs a command in the pod; a failure is in the result. */
  podExec(command: string, ...args: string[]): Promise<CommandResult> {
    return this.pod.netns.exec(command, ...args);
  }

  /**
   * Starts the agent.
   *
   * @param extraFlags Behind the lab's own, so that they are stronger.
   * @throws {Error} If one is running.
   */
  startAgent(extraFlags: readonly string[] = []): AgentProcess {
    if (this.#agent !== undefined && this.#agent.end === undefined) {
      throw new Error(`Cannot start the agent of ${this.name}: process ${this.#agent.pid} is running`);
    }
    this.#agent = AgentProcess.start(this.agentStart(extraFlags));
    return this.#agent;
  }

  /** What the agent is started with; `extraFlags` stand behind the lab's own. */
  agentStart(extraFlags: readonly string[]): AgentStart {
    const [healthIp, healthPort] = HEALTH_ADDRESS.split(":");
    return {
      netns: this.netns.name,
      logPath: this.logPath,
      environment: this.#plan.agentEnvironment,
      command: [
        ...this.#plan.agentCommand,
        `-local-registry=${this.#plan.registryPath}`,
        `-net-config-path=${this.#plan.networkConfigPath}`,
        `-subnet-file=${this.subnetFilePath}`,
        `-lease-cache=${this.directory}/leases.json`,
        `-machine-id-file=${this.machineIdPath}`,
        ...this.#plan.underlayFlags,
        `-healthz-ip=${healthIp}`,
        `-healthz-port=${healthPort}`,
        // The host's /etc is this machine's.
        "-unmanaged-files=false",
        "-log-format=json",
        ...extraFlags,
      ],
    };
  }

  /**
   * Sends the agent a signal and waits for its end; past the deadline it is killed.
   *
   * @throws {Error} If none was started.
   */
  async stopAgent(signal: Deno.Signal = "SIGTERM", deadlineMs?: number): Promise<AgentEnd> {
    if (this.#agent === undefined) {
      throw new Error(`Cannot stop the agent of ${this.name}: it was not started`);
    }
    return await this.#agent.stop(signal, deadlineMs);
  }

  /**
   * Waits until the agent has written its subnet file, and reads it.
   *
   * @throws {Error} If it does not in time, or ends before, with the last lines of its log.
   */
  async waitForSubnets(deadlineMs = SUBNET_DEADLINE_MS): Promise<HostShare> {
    let reason = "there is no subnet file";
    const read = async () => {
      const end = this.#agent?.end;
      if (end !== undefined) {
        const log = await this.logTail();
        throw new Error(`Cannot start the agent of ${this.name}: it ended with ${describeEnd(end)}\n${log}`);
      }
      try {
        const { subnets, mtuBytes } = readSubnetEnv(
          await Deno.readTextFile(this.subnetFilePath),
          this.subnetFilePath,
        );
        if (subnets.length === this.families.length && mtuBytes !== undefined) return { subnets, mtuBytes };
        reason = "the subnet file lacks a subnet or the MTU";
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    };
    try {
      const options = { deadlineMs, signal: this.#signal };
      this.#share = await waitUntil(`read the subnet of ${this.name}`, read, options, () => reason);
    } catch (error) {
      if (this.#signal.aborted || this.#agent?.end !== undefined) throw error;
      throw new Error(`${(error as Error).message}\n${await this.logTail()}`);
    }
    return this.#share;
  }

  /** Makes the bridge of the host and a pod on it, as the subnet file says. */
  async makePod(): Promise<Pod> {
    const plan = { netns: this.netns, share: this.share, bridge: BRIDGE, uplink: UPLINK };
    this.#pod = await makePod(this.#libc, plan, { signal: this.#signal });
    return this.#pod;
  }

  /** What all agents of this host have written, line by line; nothing where none was started. */
  async logLines(): Promise<string[]> {
    try {
      return (await Deno.readTextFile(this.logPath)).split("\n").filter((line) => line !== "");
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw error;
    }
  }

  /** The last lines of the agent's log, indented, under a heading. */
  async logTail(): Promise<string> {
    const lines = (await this.logLines()).slice(-TAIL_LINES);
    if (lines.length === 0) return `The agent of ${this.name} has logged nothing`;
    return [`The last log lines of the agent of ${this.name}:`, ...lines.map((line) => `  ${line}`)].join(
      "\n",
    );
  }

  /** Takes the host away: its agent, its pod, its namespace. Its lease stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    await using stack = new AsyncDisposableStack();
    stack.use(this.netns);
    if (this.#pod !== undefined) stack.use(this.#pod.netns);
    await this.#agent?.stop("SIGTERM", STOP_DEADLINE_MS);
  }
}
