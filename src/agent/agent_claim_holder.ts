import type { Libc } from "../linux/libc.ts";
import { ownerOfInode } from "../linux/socket_owner.ts";
import { holderOf } from "../linux/unix_claim.ts";
import type { NamedSocket } from "../linux/unix_sockets.ts";

const ROOT = 0;
/** The bit of `CAP_NET_ADMIN`, capabilities(7). */
const CAP_NET_ADMIN = 1n << 12n;

/** Another agent, or what can't be told from one. */
export interface Rival {
  readonly name: string;
  /** 0 if the process is not of this PID namespace, as the host's is not for a container; `undefined` if it can't be told. */
  readonly pid: number | undefined;
}

/** Who has a name: an agent, or a process that is none, as a sentence. */
export type Judgement = { readonly rival: Rival } | { readonly doubt: string };

/**
 * Tells an agent from a process that only has its name, which any user can take. What an agent always is: root, or this
 * agent's own user, with `CAP_NET_ADMIN`. Whether it answers says nothing: one that starts does not listen yet, one that is
 * stopped has its queue full. Hence the user is the kernel's word about the socket, and only what is known to be no
 * agent is not heeded.
 */
export function judge(libc: Libc, { name, inode, uid }: NamedSocket): Judgement {
  const own = libc.call.geteuid();
  const isOther = (user: number | undefined) => user !== undefined && user !== ROOT && user !== own;
  const peer = holderOf(libc, name);
  const peerPid = peer === undefined || peer.pid === 0 ? undefined : peer.pid;
  const user = [uid, peer?.uid].find(isOther);
  if (user !== undefined) {
    return { doubt: `user ${user} has the name @${name} (${who({ name, pid: peer?.pid })}), ${NO_RIGHT}` };
  }
  if (peer !== undefined && (peerPid === undefined || facts(libc, peerPid)?.mayProgram !== false)) {
    return { rival: { name, pid: peer.pid } };
  }
  // It does not answer, or has not what an agent has: who listened may have handed the socket on, or have ended.
  const pid = ownerOfInode(libc, String(inode), peerPid)?.pid;
  const owner = pid === undefined ? undefined : facts(libc, pid);
  if (uid === undefined && isOther(owner?.uid)) {
    return { doubt: `user ${owner?.uid} has the name @${name} (${who({ name, pid })}), ${NO_RIGHT}` };
  }
  if (owner?.mayProgram === false) {
    return { doubt: `process ${pid} without CAP_NET_ADMIN has the name @${name}, ${NO_RIGHT}` };
  }
  return { rival: { name, pid: pid ?? peerPid } };
}

/** Names a process, as a part of a sentence. */
export function who({ name, pid }: Rival): string {
  if (pid === undefined) return `its process is not known: it has @${name} in /proc/net/unix`;
  return pid === 0 ? `a process outside of this container, with the name @${name}` : `process ${pid}`;
}

const NO_RIGHT = "but may not program the network: not heeded";

function facts(libc: Libc, pid: number): { readonly uid: number; readonly mayProgram: boolean } | undefined {
  try {
    const status = libc.readSysctl(`/proc/${pid}/status`);
    const uid = /^Uid:\s+\d+\s+(\d+)/m.exec(status)?.[1];
    const permitted = /^CapPrm:\s+([0-9a-f]+)$/m.exec(status)?.[1];
    if (uid === undefined || permitted === undefined) return undefined;
    return { uid: Number(uid), mayProgram: (BigInt(`0x${permitted}`) & CAP_NET_ADMIN) !== 0n };
  } catch {
    // It has ended, or is none of ours to see.
    return undefined;
  }
}
