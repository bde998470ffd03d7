import { LITTLE_ENDIAN } from "./byte_order.ts";
import { NetlinkError } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { readWhole } from "./unix_claim.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 3 | 0o2000000 | 0o4000;
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
/** `NLM_F_REQUEST | NLM_F_DUMP`. */
const DUMP = 0x301;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** `TCP_CLOSE` is one that is bound, or nothing yet. */
const TCP_CLOSE = 7;
const TCP_LISTEN = 10;
/** `UDIAG_SHOW_NAME | UDIAG_SHOW_UID`. */
const SHOW = 0x01 | 0x40;
const UNIX_DIAG_NAME = 0;
const UNIX_DIAG_UID = 7;
const HEADER_BYTES = 16;
const MESSAGE_BYTES = 16;
const READ_BYTES = 64 * 1024;

/** A stream socket that has an abstract name, and is connected to nothing. */
export interface NamedSocket {
  readonly name: string;
  readonly inode: number;
  /** The user that made it, who can't be another than he is; `undefined` if the kernel does not say. */
  readonly uid: number | undefined;
}

/**
 * The stream sockets of this thread's network namespace that have a name which begins with `prefix`, whether they listen
 * or not yet. The kernel is asked by sock_diag(7), for names as they are and for whose they are; where it has no
 * `unix_diag`, the list of proc(5) is read, in which whoever has a line feed in a name can write what he likes.
 *
 * @throws {NetlinkError} If neither can be had.
 */
export function namedSockets(libc: Libc, prefix: string): NamedSocket[] {
  let all: NamedSocket[];
  try {
    all = askKernel(libc);
  } catch {
    all = namedSocketsIn(readWhole(libc, "/proc/thread-self/net/unix"));
  }
  return all.filter(({ name }) => name.startsWith(prefix));
}

/** The same of the text of `/proc/net/unix`. Pure. */
export function namedSocketsIn(list: string): NamedSocket[] {
  // Num RefCount Protocol Flags Type St Inode Path: type 1 is a stream, state 1 not connected.
  const line = /^\S+: \S+ \S+ \S+ 0001 01 +(\d+) @(.*)$/gm;
  return [...list.matchAll(line)].map(([, inode, name]) => ({
    name: name!,
    inode: Number(inode),
    uid: undefined,
  }));
}

function askKernel(libc: Libc): NamedSocket[] {
  const { call } = libc;
  const what = "list the unix sockets";
  const fd = libc.checked(what, call.socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_SOCK_DIAG));
  try {
    const question = request();
    libc.checked(what, call.send(fd, question, BigInt(question.length), 0));
    const buffer = new Uint8Array(READ_BYTES);
    const found: NamedSocket[] = [];
    for (;;) {
      const length = libc.checked(what, call.recv(fd, buffer, BigInt(buffer.length), 0));
      if (!takeAnswers(new DataView(buffer.buffer, 0, length), found)) return found;
    }
  } finally {
    call.close(fd);
  }
}

/** `struct nlmsghdr` and `struct unix_diag_req` of linux/unix_diag.h. */
function request(): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES + 24));
  view.setUint32(0, view.byteLength, LITTLE_ENDIAN);
  view.setUint16(4, SOCK_DIAG_BY_FAMILY, LITTLE_ENDIAN);
  view.setUint16(6, DUMP, LITTLE_ENDIAN);
  view.setUint8(HEADER_BYTES, AF_UNIX);
  view.setUint32(HEADER_BYTES + 4, 1 << TCP_CLOSE | 1 << TCP_LISTEN, LITTLE_ENDIAN);
  view.setUint32(HEADER_BYTES + 12, SHOW, LITTLE_ENDIAN);
  return new Uint8Array(view.buffer);
}

/** Reports whether more is to come. */
function takeAnswers(view: DataView<ArrayBuffer>, found: NamedSocket[]): boolean {
  for (let at = 0; at + HEADER_BYTES <= view.byteLength;) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    const type = view.getUint16(at + 4, LITTLE_ENDIAN);
    if (type === NLMSG_DONE || length < HEADER_BYTES) return false;
    if (type === NLMSG_ERROR) {
      throw new NetlinkError("list the unix sockets", -view.getInt32(at + HEADER_BYTES, LITTLE_ENDIAN));
    }
    const socket = socketOf(view, at + HEADER_BYTES, at + length);
    if (socket !== undefined) found.push(socket);
    at += align(length);
  }
  return true;
}

/** `struct unix_diag_msg` and its attributes. */
function socketOf(view: DataView<ArrayBuffer>, start: number, end: number): NamedSocket | undefined {
  if (view.getUint8(start + 1) !== SOCK_STREAM) return undefined;
  const inode = view.getUint32(start + 4, LITTLE_ENDIAN);
  let name: string | undefined;
  let uid: number | undefined;
  for (let at = start + MESSAGE_BYTES; at + 4 <= end;) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    const type = view.getUint16(at + 2, LITTLE_ENDIAN);
    if (length < 4) break;
    if (type === UNIX_DIAG_UID) uid = view.getUint32(at + 4, LITTLE_ENDIAN);
    // A path has no zero at its begin.
    if (type === UNIX_DIAG_NAME && length > 4 && view.getUint8(at + 4) === 0) {
      name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 5, length - 5));
    }
    at += align(length);
  }
  return name === undefined ? undefined : { name, inode, uid };
}

function align(length: number): number {
  return (length + 3) & ~3;
}
