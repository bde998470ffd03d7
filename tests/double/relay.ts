/** Where a relay takes connections, and where it hands them on to. */
export interface RelayOptions {
  /** The name of the network namespace in which it listens. */
  readonly netns: string;
  readonly hostname: string;
  readonly port: number;
  /** The port on this process's loopback. */
  readonly targetPort: number;
}

/**
 * Lets hosts in network namespaces reach a server on the loopback of this process's own: what comes to an address there
 * goes through a Unix socket, which no namespace separates.
 */
export class Relay implements AsyncDisposable {
  readonly #options: RelayOptions;
  readonly #folder: string;
  readonly #listener: Deno.UnixListener;
  readonly #connections = new Set<Deno.Conn>();
  #child: Deno.ChildProcess | undefined;

  private constructor(options: RelayOptions, folder: string, listener: Deno.UnixListener) {
    this.#options = options;
    this.#folder = folder;
    this.#listener = listener;
  }

  static async open(options: RelayOptions): Promise<Relay> {
    const folder = await Deno.makeTempDir({ prefix: "loden-relay-" });
    const listener = Deno.listen({ transport: "unix", path: `${folder}/socket` });
    const relay = new Relay(options, folder, listener);
    relay.#accept();
    await relay.start();
    return relay;
  }

  /** Listens; a connection before that is refused. */
  async start(): Promise<void> {
    const { netns, hostname, port } = this.#options;
    const inside = new URL("relay_inside.ts", import.meta.url).pathname;
    const child = new Deno.Command("ip", {
      args: [
        ...["netns", "exec", netns, Deno.execPath(), "run", "--quiet", "--no-check", "--no-lock", "-A"],
        ...[inside, hostname, String(port), `${this.#folder}/socket`],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#child = child;
    // It says so when it listens; it ends without a word if it can't.
    const reader = child.stdout.getReader();
    const { done } = await reader.read();
    await reader.cancel();
    if (done) throw new Error(`Cannot relay ${hostname}:${port} in ${netns}: the process ended`);
  }

  /** Cuts every connection, and refuses new ones. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    child.kill("SIGKILL");
    await child.status;
    this.cut();
  }

  /** Cuts every connection; new ones are taken. */
  cut(): void {
    for (const connection of this.#connections) close(connection);
    this.#connections.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#listener.close();
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) this.#handOn(connection);
  }

  async #handOn(connection: Deno.Conn): Promise<void> {
    let other: Deno.TcpConn;
    try {
      other = await Deno.connect({ hostname: "127.0.0.1", port: this.#options.targetPort });
    } catch {
      close(connection);
      return;
    }
    other.setNoDelay(true);
    for (const end of [connection, other]) this.#connections.add(end);
    await Promise.allSettled([
      connection.readable.pipeTo(other.writable),
      other.readable.pipeTo(connection.writable),
    ]);
    for (const end of [connection, other]) this.#connections.delete(end);
  }
}

function close(connection: Deno.Conn): void {
  try {
    connection.close();
  } catch {
    // It is closed already.
  }
}
