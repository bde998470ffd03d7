import { PERMISSIONS } from "../../../.ci/compile.ts";

/** An answer that has not come by then does not come. */
const DEADLINE_MS = 60_000;
const SCRIPT = new URL("credentials_child.ts", import.meta.url).pathname;

/** What a call came to. */
export interface Said {
  /** `ok`, or a sentence. */
  readonly said: string;
  readonly tookMs: number;
}

/** A process of its own, with the variables of a host and the rights of the agent, that asks EC2 when it is told to. */
export class ChainProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #in: WritableStreamDefaultWriter<Uint8Array>;
  readonly #out: ReadableStreamDefaultReader<string>;
  readonly #err: Promise<string>;
  #rest = "";

  constructor(env: Readonly<Record<string, string>>) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", ...PERMISSIONS, SCRIPT],
      clearEnv: true,
      // Deno's own files; the agent's container has no HOME.
      env: { DENO_DIR: denoFolder(), NO_COLOR: "1", NO_PROXY: "*", ...env },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#in = this.#child.stdin.getWriter();
    this.#out = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    this.#err = new Response(this.#child.stderr).text();
  }

  /** Has it ask once. */
  async ask(): Promise<Said> {
    const timer = setTimeout(() => this.#kill(), DEADLINE_MS);
    try {
      return await this.#answer();
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(): Promise<Said> {
    await this.#in.write(new TextEncoder().encode("ask\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#out.read();
      if (done) throw new Error(`Cannot ask the process: it has ended: ${await this.#err}`);
      this.#rest += value;
    }
    const at = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, at);
    this.#rest = this.#rest.slice(at + 1);
    return JSON.parse(line);
  }

  /** Ends it, and answers what it has printed beside its answers: warnings of a library, of the runtime. */
  async end(): Promise<string> {
    await this.#in.close();
    let more = this.#rest;
    for (;;) {
      const { value, done } = await this.#out.read();
      if (done) break;
      more += value;
    }
    await this.#child.status;
    return more + await this.#err;
  }

  #kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.#child.status;
    await this.#err;
    await this.#out.cancel();
    await this.#in.abort().catch(() => {});
  }
}

function denoFolder(): string {
  return Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache/deno`;
}
