import type { Libc } from "./libc.ts";
import { type Owner, ownerOfInode } from "./socket_owner.ts";
import { readWhole } from "./unix_claim.ts";

/** A protocol whose ports a program can have. */
export type PortProtocol = "udp" | "tcp";

/** `TCP_LISTEN` as proc(5) writes it; of UDP every socket takes packets. */
const LISTEN = "0A";

/** The inodes of the sockets that take what comes to a local port, in a list as /proc/net/udp has it. Pure. */
export function socketsAt(list: string, protocol: PortProtocol, port: number): string[] {
  return list.split("\n").flatMap((line) => {
    const words = line.trim().split(/\s+/);
    const [, local = "", , state] = words;
    const inode = words[9];
    const isOpen = protocol === "udp" || state === LISTEN;
    return isOpen && inode !== undefined && parseInt(local.split(":")[1] ?? "", 16) === port ? [inode] : [];
  });
}

/**
 * Who has a port of this network namespace, as a phrase: `dnsmasq (process 123)`; "another program" where this process may
 * not see whose it is, or the kernel has it. It may take a walk through all processes.
 */
export function portOwner(libc: Libc, protocol: PortProtocol, port: number): string {
  try {
    const inodes = [protocol, `${protocol}6`].flatMap((name) =>
      socketsAt(readList(libc, `/proc/thread-self/net/${name}`), protocol, port)
    );
    for (const inode of inodes) {
      const owner: Owner | undefined = ownerOfInode(libc, inode);
      if (owner !== undefined) return `${owner.program} (process ${owner.pid})`;
    }
  } catch {
    // Who can't be seen is not known.
  }
  return "another program";
}

/** A kernel without IPv6 has no list of its sockets. */
function readList(libc: Libc, path: string): string {
  try {
    return readWhole(libc, path);
  } catch {
    return "";
  }
}
