import type { LabHost } from "../../src/lab/host.ts";

/** How much of its log a failure tells. */
const TAIL_BYTES = 6000;

/** The soft limit of open files that most services are started with; the hard one is this process's. */
const SOFT_DESCRIPTORS = 1024;

/** An agent whose log is a pipe, which its reader may stop to read, and which may be held in a control group. */
export class PipedAgent implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #goOn: Promise<void> | undefined;
  #resume = () => {};
  #tail = "";
  #end: Deno.CommandStatus | undefined;

  /**
   * @param options.flags Behind those of the lab.
   * @param options.cgroupProcs The file of a control group that takes processes in.
   */
  constructor(
    host: LabHost,
    options: { readonly flags: readonly string[]; readonly cgroupProcs?: string },
  ) {
    const { netns, command, environment } = host.agentStart(options.flags);
    // Each becomes the next, so that the process is the agent's own. Behind ip(8) no control group is to be seen.
    const enter = options.cgroupProcs === undefined ? "" : 'echo $$ >"$0" && ';
    const script = `${enter}ulimit -S -n ${SOFT_DESCRIPTORS} && exec "$@"`;
    const args = ["-c", script, options.cgroupProcs ?? "sh", "ip", "netns", "exec", netns, ...command];
    this.#child = new Deno.Command("sh", {
      args,
      env: { ...environment },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#child.status.then((status) => this.#end = status);
    this.#reading = this.#read();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** How it ended, if it has. */
  get end(): Deno.CommandStatus | undefined {
    return this.#end;
  }

  /** What it has logged last. */
  get tail(): string {
    return this.#tail;
  }

  /** Leaves its log unread from now on. */
  stopReading(): void {
    this.#goOn ??= new Promise((resolve) => this.#resume = resolve);
  }

  /** Reads its log again. */
  readAgain(): void {
    this.#goOn = undefined;
    this.#resume();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.readAgain();
    if (this.#end === undefined) this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reading;
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const bytes of this.#child.stderr) {
      this.#tail = (this.#tail + decoder.decode(bytes, { stream: true })).slice(-TAIL_BYTES);
      await this.#goOn;
    }
  }
}
