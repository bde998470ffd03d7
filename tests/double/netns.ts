import type { Libc } from "../../src/linux/libc.ts";
import { NetlinkSocket, type SocketOptions } from "../../src/netlink/socket.ts";
import { NotificationSocket } from "../../src/netlink/notifications.ts";

/** What a command that ran in a network namespace left behind. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let created = 0;

/**
 * A private network namespace, loopback up, for one test. Needs root.
 *
 * IPv6 addresses are usable at once in it: duplicate address detection is off for links to come.
 */
export class TestNetns implements AsyncDisposable {
  private constructor(readonly name: string) {}

  /** Creates a namespace of a name that no other test process uses. */
  static async create(): Promise<TestNetns> {
    const name = `lodentest-${Deno.pid}-${created++}`;
    await mustRun("ip", ["netns", "add", name]);
    const netns = new TestNetns(name);
    try {
      await netns.ip("link", "set", "lo", "up");
      await netns.writeSysctl("net/ipv6/conf/default/accept_dad", "0");
    } catch (error) {
      await netns[Symbol.asyncDispose]();
      throw error;
    }
    return netns;
  }

  /** What `setns(2)` takes, once opened. */
  get path(): string {
    return `/run/netns/${this.name}`;
  }

  /** Runs ip(8) in the namespace and returns what it printed; throws with its words if it fails. */
  ip(...args: string[]): Promise<string> {
    return mustRun("ip", ["-n", this.name, ...args]);
  }

  /** Runs bridge(8) in the namespace and returns what it printed; throws with its words if it fails. */
  bridge(...args: string[]): Promise<string> {
    return mustRun("bridge", ["-n", this.name, ...args]);
  }

  /** Runs ip(8) with JSON output. */
  async ipJson(...args: string[]): Promise<Record<string, unknown>[]> {
    // Nothing at all is printed for some empty lists.
    return JSON.parse((await this.ip("-d", "-j", ...args)).trim() || "[]");
  }

  /** Runs any command in the namespace; a failure is in the result. */
  run(command: string, ...args: string[]): Promise<CommandResult> {
    return run("ip", ["netns", "exec", this.name, command, ...args]);
  }

  /** Writes a sysctl of the namespace: `net/ipv4/ip_forward`. */
  async writeSysctl(path: string, value: string): Promise<void> {
    const { code, stderr } = await this.run("sh", "-c", `echo "$1" >"/proc/sys/$2"`, "sh", value, path);
    if (code !== 0) throw new Error(`Cannot write ${value} to ${path}: ${stderr.trim()}`);
  }

  /** Opens a route socket that stays in the namespace. */
  openTransport(libc: Libc, options: SocketOptions = {}): NetlinkSocket {
    return libc.inNetns(this.path, () => NetlinkSocket.open(libc, options));
  }

  /** Opens a notification socket that stays in the namespace; a small buffer overflows soon. */
  openNotifications(
    libc: Libc,
    options: SocketOptions & { readonly groups?: readonly number[] } = {},
  ): NotificationSocket {
    return libc.inNetns(this.path, () => NotificationSocket.open(libc, options));
  }

  /** Deletes the namespace. The kernel frees it once the last socket in it is closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await mustRun("ip", ["netns", "delete", this.name]);
  }
}

/** An underlay link to make: what a host's network card would be. */
export interface UnderlayLinkOptions {
  /** At most 13 letters: the other end is called `NAME-p`. */
  readonly name: string;
  /** `192.0.2.1/24`; with it comes an IPv4 default route. */
  readonly address4?: string;
  /** `2001:db8::1/64`; with it comes an IPv6 default route. */
  readonly address6?: string;
  /** Where the IPv4 default route goes; the link itself if absent. */
  readonly gateway4?: string;
  /** Where the IPv6 default route goes; the link itself if absent. */
  readonly gateway6?: string;
  readonly mtu?: number;
}

/**
 * Makes an underlay link: a veth whose other end is in the same namespace and up, addresses, default routes.
 *
 * @returns The link's index.
 */
export async function createUnderlayLink(netns: TestNetns, options: UnderlayLinkOptions): Promise<number> {
  const { name, address4, address6, gateway4, gateway6, mtu = 1500 } = options;
  const peer = `${name}-p`;
  const size = ["mtu", String(mtu)];
  await netns.ip("link", "add", name, ...size, "type", "veth", "peer", "name", peer, ...size);
  // A link-local address on the other end would answer for a second host.
  await netns.ip("link", "set", peer, "addrgenmode", "none", "up");
  await netns.ip("link", "set", name, "up");
  const via = (gateway?: string) => [...(gateway === undefined ? [] : ["via", gateway]), "dev", name];
  if (address4 !== undefined) {
    await netns.ip("address", "add", address4, "dev", name);
    await netns.ip("route", "add", "default", ...via(gateway4));
  }
  if (address6 !== undefined) {
    await netns.ip("address", "add", address6, "dev", name, "nodad");
    await netns.ip("-6", "route", "add", "default", ...via(gateway6));
  }
  return await linkIndexOf(netns, name);
}

/** The kernel's index of the link called `name`. */
export async function linkIndexOf(netns: TestNetns, name: string): Promise<number> {
  const [link] = await netns.ipJson("link", "show", "dev", name);
  return link!.ifindex as number;
}

async function mustRun(command: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args);
  if (code !== 0) throw new Error(`Cannot run ${command} ${args.join(" ")}: ${stderr.trim()}`);
  return stdout;
}

async function run(command: string, args: string[]): Promise<CommandResult> {
  const output = await new Deno.Command(command, { args, stdin: "null" }).output();
  const decoder = new TextDecoder();
  return {
    code: output.code,
    stdout: decoder.decode(output.stdout),
    stderr: decoder.decode(output.stderr),
  };
}
