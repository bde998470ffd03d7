import { NetlinkClient } from "../netlink/client.ts";
import { ENOENT, isErrno } from "../linux/errno.ts";
import { Libc } from "../linux/libc.ts";
import { NetlinkSocket } from "../netlink/socket.ts";
import { type CommandResult, mustRunIp, runIp } from "./command.ts";
import { NETNS_FOLDER } from "./names.ts";
import { waitUntil } from "./wait.ts";
import { changeLink } from "./wiring.ts";

/** The loopback link is the first in every network namespace. */
const LOOPBACK = 1;
/** What the kernel may take to end processes that were killed. */
const SIGKILL = 9;
const KILL_DEADLINE_MS = 5000;

/** A network namespace of a lab, loopback up. Disposal ends the processes in it and deletes it. */
export class Netns implements AsyncDisposable {
  readonly #libc: Libc;
  readonly #socket: NetlinkSocket;
  readonly #signal: AbortSignal;
  #isDeleted = false;
  /** Speaks with the kernel about this namespace, from outside of it. */
  readonly client: NetlinkClient;

  private constructor(libc: Libc, readonly name: string, socket: NetlinkSocket, signal: AbortSignal) {
    this.#libc = libc;
    this.#socket = socket;
    this.#signal = signal;
    this.client = new NetlinkClient(socket);
  }

  /**
   * Makes a namespace in which IPv6 addresses are usable at once.
   *
   * @param options.signal Ends the commands that run in it.
   * @throws {Error} If there is one of that name, or the kernel refused.
   */
  static async create(libc: Libc, name: string, options: { signal: AbortSignal }): Promise<Netns> {
    await mustRunIp(["netns", "add", name]);
    try {
      const socket = libc.inNetns(pathOf(name), () => NetlinkSocket.open(libc));
      try {
        const netns = new Netns(libc, name, socket, options.signal);
        changeLink(netns.client, LOOPBACK, { isUp: true });
        netns.writeIfThere("net/ipv6/conf/default/accept_dad", "0");
        return netns;
      } catch (error) {
        socket[Symbol.dispose]();
        throw error;
      }
    } catch (error) {
      await mustRunIp(["netns", "delete", name]);
      throw error;
    }
  }

  /** What setns(2) takes, once opened. */
  get path(): string {
    return pathOf(this.name);
  }

  /** Runs a command in the namespace; a failure is in the result. It ends early when the lab's signal aborts. */
  exec(command: string, ...args: string[]): Promise<CommandResult> {
    return runIp(["netns", "exec", this.name, command, ...args], this.#signal);
  }

  /**
   * Runs a command in the namespace and returns what it printed.
   *
   * @throws {Error} If it fails, with its own words.
   */
  mustExec(command: string, ...args: string[]): Promise<string> {
    return mustRunIp(["netns", "exec", this.name, command, ...args], this.#signal);
  }

  /** Reads a sysctl of the namespace: `net/ipv4/ip_forward`. */
  readSysctl(path: string): string {
    return this.#libc.inNetns(this.path, () => this.#libc.readSysctl(`/proc/sys/${path}`));
  }

  /** Writes a sysctl of the namespace: `net/ipv4/ip_forward`. */
  writeSysctl(path: string, value: string): void {
    this.#libc.inNetns(this.path, () => this.#libc.writeSysctl(`/proc/sys/${path}`, value));
  }

  /** Writes a sysctl that a kernel without IPv6 does not have; nothing happens then. */
  writeIfThere(path: string, value: string): void {
    try {
      this.writeSysctl(path, value);
    } catch (error) {
      if (!isErrno(error, ENOENT)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDeleted) return;
    this.#isDeleted = true;
    this.#socket[Symbol.dispose]();
    await deleteNetns(this.name);
  }
}

/** Kills the processes in a network namespace, then deletes it. */
export async function deleteNetns(name: string): Promise<void> {
  try {
    await killProcesses(name);
  } finally {
    await mustRunIp(["netns", "delete", name]);
  }
}

async function killProcesses(netns: string): Promise<void> {
  let ids = await processesIn(netns);
  if (ids.length === 0) return;
  const never = new AbortController().signal;
  using libc = new Libc();
  await waitUntil(
    `end the processes in ${netns}`,
    async () => {
      // One that has ended in the meantime is refused, which is what was wanted. Deno's own kill needs the right to
      // start any program.
      for (const id of ids) libc.call.kill(Number(id), SIGKILL);
      ids = await processesIn(netns);
      return ids.length === 0 ? true : undefined;
    },
    { deadlineMs: KILL_DEADLINE_MS, signal: never },
    () => `${ids.join(", ")} are still there`,
  );
}

/** The ids of the processes in a network namespace. */
export async function processesIn(netns: string): Promise<string[]> {
  const ids = (await mustRunIp(["netns", "pids", netns])).split("\n");
  // This process is in each namespace for moments.
  return ids.filter((id) => id !== "" && id !== String(Deno.pid));
}

function pathOf(name: string): string {
  return `${NETNS_FOLDER}/${name}`;
}
