/** Descriptors that are looked at for one socket at most: a host may have very many. */
const MOST_LINKS = 20_000;

/** A process, and the first 15 letters of its program's name. */
export interface Owner {
  readonly pid: number;
  readonly program: string;
}

/**
 * Who has the netlink socket of a port, as far as it is open still and this process may see it. A port's number is
 * its process's for the first socket as a rule, but in the process's own PID namespace, and never for another one's.
 *
 * Source: proc(5), net/netlink/af_netlink.c.
 *
 * @param protocol As in `socket(2)`; 0 for routes, links and neighbours.
 */
export function socketOwner(portId: number, protocol = 0): Owner | undefined {
  // The kernel's own.
  if (portId === 0) return undefined;
  try {
    const inode = inodeOf(portId, protocol);
    if (inode === undefined) return undefined;
    const socket = `socket:[${inode}]`;
    const first = String(portId);
    if (holds(first, socket) > 0) return ownerOf(first);
    let looked = 0;
    for (const { name } of Deno.readDirSync("/proc")) {
      if (!/^\d+$/.test(name) || name === first) continue;
      const links = holds(name, socket);
      if (links > 0) return ownerOf(name);
      looked -= links;
      if (looked > MOST_LINKS) return undefined;
    }
  } catch {
    // Who can't be seen is not known.
  }
  return undefined;
}

/** The program of a process that is there still; `undefined` if it has ended. */
export function programOf(pid: number): string | undefined {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`).trimEnd();
  } catch {
    return undefined;
  }
}

function ownerOf(name: string): Owner | undefined {
  const program = programOf(Number(name));
  return program === undefined ? undefined : { pid: Number(name), program };
}

/** The inode of a netlink socket of this network namespace. */
function inodeOf(portId: number, protocol: number): string | undefined {
  for (const line of Deno.readTextFileSync("/proc/thread-self/net/netlink").split("\n")) {
    const words = line.trim().split(/\s+/);
    if (words[1] === String(protocol) && words[2] === String(portId)) return words.at(-1);
  }
  return undefined;
}

/** 1 if a process has the socket; else by how many descriptors it has not, below 0. */
function holds(pid: string, socket: string): number {
  let count = 0;
  try {
    for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
      count++;
      if (linkOf(`/proc/${pid}/fd/${name}`) === socket) return 1;
    }
  } catch {
    // It has ended, or is none of ours to see.
  }
  return -count;
}

function linkOf(path: string): string | undefined {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return undefined;
  }
}
