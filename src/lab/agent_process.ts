import { spawnInNetns } from "./command.ts";
import { within } from "../loop/pause.ts";

/** What an agent may take to end before it is killed, where the caller does not say. */
const STOP_DEADLINE_MS = 10_000;
/**
 * What must not reach an agent from the environment that the lab was started in. The last two can't be handed on
 * by a program that may start ip(8) only.
 */
const FOREIGN_VARIABLE = /^(?:FLANNELD_|NOTIFY_SOCKET$|LD_|DYLD_)/;

/** How an agent ended. */
export interface AgentEnd {
  readonly status: Deno.CommandStatus;
  /** From the signal to the end. */
  readonly durationMs: number;
}

/** What one agent is started with. */
export interface AgentStart {
  readonly netns: string;
  readonly command: readonly string[];
  /** Where its log lines go. */
  readonly logPath: string;
  /** Variables besides those of this process. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A running agent. */
export class AgentProcess {
  readonly #child: Deno.ChildProcess;
  readonly startedAtMs = performance.now();
  #end: Deno.CommandStatus | undefined;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    child.status.then((status) => this.#end = status);
  }

  /** Starts an agent in a network namespace. */
  static start({ netns, command, logPath, environment: own }: AgentStart): AgentProcess {
    const environment = Object.fromEntries(
      Object.entries(Deno.env.toObject()).filter(([name]) => !FOREIGN_VARIABLE.test(name)),
    );
    const words = [...command, `-log-file=${logPath}`];
    return new AgentProcess(spawnInNetns(netns, words, { ...environment, ...own }));
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** How it ended, if it has. */
  get end(): Deno.CommandStatus | undefined {
    return this.#end;
  }

  /** Resolves when it has ended. */
  get ended(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /** Sends a signal: `SIGSTOP`, `SIGHUP`. Nothing happens if it has ended. */
  signal(name: Deno.Signal): void {
    try {
      this.#child.kill(name);
    } catch (error) {
      // That it has ended already is said as a TypeError.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Sends a signal and waits for the end; past the deadline the agent is killed, as its status then tells. */
  async stop(name: Deno.Signal = "SIGTERM", deadlineMs = STOP_DEADLINE_MS): Promise<AgentEnd> {
    const sentAtMs = performance.now();
    this.signal(name);
    if (await within(this.ended, deadlineMs) === undefined) this.signal("SIGKILL");
    return { status: await this.ended, durationMs: performance.now() - sentAtMs };
  }
}

/** How an agent ended, in words. */
export function describeEnd({ code, signal }: Deno.CommandStatus): string {
  return signal === null ? `exit code ${code}` : signal;
}
