import { waitUntil } from "../../src/lab/wait.ts";

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 20_000;

/** A program that serves something, started and ended by tests. */
export class ServerProcess implements AsyncDisposable {
  readonly #command: readonly string[];
  readonly #logPath: string;
  readonly #isUp: () => Promise<boolean>;
  #child: Deno.ChildProcess | undefined;
  /** Settled once all that it has said is written. */
  #logged = Promise.resolve();

  /** @param isUp Asked until it says yes, after each start. */
  constructor(command: readonly string[], logPath: string, isUp: () => Promise<boolean>) {
    this.#command = command;
    this.#logPath = logPath;
    this.#isUp = isUp;
  }

  /** Starts it if it does not run, and waits until it is up. */
  async start(): Promise<void> {
    if (this.#child !== undefined) return;
    const [program, ...args] = this.#command as [string, ...string[]];
    const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "piped" }).spawn();
    this.#child = child;
    const log = await Deno.open(this.#logPath, { append: true, create: true });
    this.#logged = child.stderr.pipeTo(log.writable).catch(() => {});
    let hasEnded = false;
    child.status.then(() => hasEnded = true);
    try {
      await waitUntil(`start ${program}`, async () => {
        if (hasEnded) throw new Error(`Cannot start ${program}: it ended`);
        return await this.#isUp().catch(() => false) || undefined;
      }, { deadlineMs: START_DEADLINE_MS, signal: new AbortController().signal });
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${await this.#tail()}`, { cause: error });
    }
  }

  /** Ends it. */
  async stop(signal: Deno.Signal = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_DEADLINE_MS);
    try {
      child.kill(signal);
    } catch {
      // It has ended by itself.
    }
    await child.status;
    await this.#logged;
    clearTimeout(timer);
  }

  /** Of the one that runs. */
  get pid(): number {
    if (this.#child === undefined) {
      throw new Error(`Cannot tell the process of ${this.#command[0]}: it does not run`);
    }
    return this.#child.pid;
  }

  /** Sends it a signal. */
  signal(name: Deno.Signal): void {
    this.#child?.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop("SIGKILL");
  }

  async #tail(): Promise<string> {
    return (await Deno.readTextFile(this.#logPath)).split("\n").slice(-12).join("\n");
  }
}

/**
 * Where servers listen: below the ports that the kernel gives to connections (32,768 and up, ip-sysctl.rst), since one of
 * those could take a port before its server does, or while that is away.
 */
const PORTS = { first: 10_000, count: 20_000 } as const;
/**
 * How far apart processes begin that are started one after the other: more than any of them takes, since it would take
 * the port of a neighbour's server while that is away.
 */
const PORTS_OF_PROCESS = 211;
let serial = 0;

/** A port of the loopback that nobody uses now. */
export function freePort(): number {
  for (;;) {
    const port = PORTS.first + (Deno.pid * PORTS_OF_PROCESS + serial++) % PORTS.count;
    try {
      using _listener = Deno.listen({ hostname: "127.0.0.1", port });
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}
