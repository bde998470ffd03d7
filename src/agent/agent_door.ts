import { EADDRINUSE, isErrno } from "../linux/errno.ts";
import { fileReason } from "../file/file_reason.ts";
import type { Libc } from "../linux/libc.ts";
import { UnixListener } from "../linux/unix_listener.ts";
import { errorText } from "../log/error_text.ts";
import { inTurns } from "../loop/worker.ts";
import type { Condition } from "../model/condition.ts";
import { doorPath } from "../status/door_path.ts";
import type { StatusDeps } from "../status/facts.ts";
import { HttpServer } from "../status/http_server.ts";

/** How often it is looked whether the socket is still where commands look for it. */
const LOOK_MS = 2000;
/** A few commands of one host ask at a time. */
const LIMITS = { connections: 16 };

/** What an agent's door is opened with. */
export interface AgentDoorDeps {
  readonly libc: Libc;
  readonly subnetFilePath: string;
  /** Whether what stands beside the subnet file is this agent's: else the socket is another one's. */
  readonly isOurs: () => boolean;
  readonly current: () => StatusDeps;
}

/**
 * Answers the commands of this host at a socket beside the subnet file, as soon as that is this agent's. What another
 * program has put in its place, or has removed, is noticed, and the socket is there again.
 */
export class AgentDoor implements AsyncDisposable {
  readonly #deps: AgentDoorDeps;
  readonly #path: string;
  #server: HttpServer | undefined;
  /** The socket's own file, by which it is known. */
  #inode: number | undefined;
  #fault: string | undefined;

  constructor(deps: AgentDoorDeps) {
    this.#deps = deps;
    this.#path = doorPath(deps.subnetFilePath);
  }

  /** Why commands can't ask this agent. */
  get conditions(): readonly Condition[] {
    const fault = this.#fault ?? this.#server?.fault;
    if (fault === undefined) return [];
    return [{
      code: "door-closed",
      sentence: `commands as "loden status" can't ask this agent at ${this.#path}: ${fault}`,
    }];
  }

  /** Keeps the socket where it belongs until `signal` aborts. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    await inTurns(() => this.#look(), { periodMs: LOOK_MS })(options);
  }

  async #look(): Promise<void> {
    if (!this.#deps.isOurs()) return;
    try {
      const found = statIfThere(this.#path);
      if (this.#server !== undefined && found?.ino === this.#inode) return;
      await this.#close();
      if (found !== undefined && !found.isSocket) throw new Error("another file is there; remove it");
      this.#open(found !== undefined);
      this.#fault = undefined;
    } catch (error) {
      this.#fault = isErrno(error, EADDRINUSE) ? "another file is there" : reasonOf(error);
    }
  }

  #open(isThere: boolean): void {
    const { libc, current } = this.#deps;
    // It is of an agent that has ended: the claim on all beside the subnet file is this one's.
    if (isThere) Deno.removeSync(this.#path);
    this.#server = HttpServer.serve(UnixListener.open(libc, this.#path), {
      libc,
      limits: LIMITS,
      answer: async (request) => {
        // On most hosts nobody ever asks.
        const { answerAtDoor } = await import("../status/door_app.ts");
        return await answerAtDoor(current(), request);
      },
    });
    this.#inode = statIfThere(this.#path)?.ino ?? undefined;
  }

  async #close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.[Symbol.asyncDispose]();
  }

  /** Takes its own socket away, too: whoever asks later finds nobody. */
  async [Symbol.asyncDispose](): Promise<void> {
    const inode = this.#inode;
    await this.#close();
    if (inode === undefined) return;
    try {
      if (statIfThere(this.#path)?.ino === inode) Deno.removeSync(this.#path);
    } catch {
      // One that is left says by itself that nobody listens.
    }
  }
}

function statIfThere(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotADirectory
    ? fileReason(error)
    : errorText(error);
}
