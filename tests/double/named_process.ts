const PYTHON = "/usr/bin/python3";
/** Arguments of setpriv(1). */
export const AS_NOBODY = ["--reuid=65534", "--clear-groups"];

/** What a process does to have a name. */
export const SOCKETS = {
  bound: "s = make(SOCK_STREAM); s.bind(name)",
  listening: "s = make(SOCK_STREAM); s.bind(name); s.listen(8)",
  full: "s = make(SOCK_STREAM); s.bind(name); s.listen(0); c = make(SOCK_STREAM); c.connect(name)",
  datagram: "s = make(SOCK_DGRAM); s.bind(name)",
  connected: "s = make(SOCK_STREAM); s.bind('\\0' + 'x'); s.listen(8); " +
    "c = make(SOCK_STREAM); c.bind(name); c.connect('\\0' + 'x')",
  // In the list of proc(5) a name with a line feed makes a line of its own.
  forged: "s = make(SOCK_STREAM); s.bind('\\0x\\n0000: 00000002 00000000 00010000 0001 01 1 @' + name[1:])",
} as const;

/** A process that has sockets of a name in a network namespace, until it is ended. */
export class NamedProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  private constructor(child: Deno.ChildProcess, reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#child = child;
    this.#reader = reader;
  }

  /** @param options.as Arguments of setpriv(1). */
  static async start(
    netns: string,
    { as, program, name }: {
      readonly as: readonly string[];
      readonly program: string;
      readonly name: string;
    },
  ): Promise<NamedProcess> {
    const text = `import sys, time
from socket import *
make = lambda kind: socket(AF_UNIX, kind)
name = chr(0) + sys.argv[1]
${program}
print("done", flush=True)
time.sleep(300)`;
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", netns, "setpriv", ...as, "--", PYTHON, "-c", text, name],
      stdout: "piped",
    }).spawn();
    const started = new NamedProcess(child, child.stdout.getReader());
    const { done } = await started.#reader.read();
    if (!done) return started;
    await started.#reader.cancel();
    throw new Error(`It has no socket ${name}: ${(await child.status).code}`);
  }

  get pid(): number {
    return this.#child.pid;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#reader.cancel();
  }
}
