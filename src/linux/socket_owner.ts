import type { Libc } from "./libc.ts";
import { readWhole } from "./unix_claim.ts";

// Folders and links of proc(5), which Deno reads for nobody who has given up a permission.
const SYMBOLS = {
  // DIR *opendir(const char *name)
  opendir: { parameters: ["buffer"], result: "pointer" },
  // struct dirent *readdir(DIR *folder)
  readdir: { parameters: ["pointer"], result: "pointer" },
  // int closedir(DIR *folder)
  closedir: { parameters: ["pointer"], result: "i32" },
  // ssize_t readlink(const char *path, char *buffer, size_t length)
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

type Library = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** Where `struct dirent` has `d_name`. */
const NAME_OFFSET = 19;
/** Longer than `socket:[18446744073709551615]`. */
const LINK_BYTES = 64;
/** Descriptors that are looked at for one socket at most: a host may have very many. */
const MOST_LINKS = 20_000;

/** A process, and the first 15 letters of its program's name. */
export interface Owner {
  readonly pid: number;
  readonly program: string;
}

/**
 * Who has the netlink socket of a port: "closed" if it is open no more, `undefined` if this process may not see whose it is.
 * A port's number is its process's for the first socket as a rule, but in the process's own PID namespace.
 *
 * Source: proc(5), net/netlink/af_netlink.c.
 *
 * @param protocol As in `socket(2)`; 0 for routes, links and neighbours.
 */
export function socketOwner(libc: Libc, portId: number, protocol = 0): Owner | "closed" | undefined {
  // The kernel's own.
  if (portId === 0) return undefined;
  const library = Deno.dlopen("libc.so.6", SYMBOLS);
  try {
    const look = () => inodeOf(readWhole(libc, "/proc/thread-self/net/netlink"), portId, protocol);
    const inode = look();
    if (inode === undefined) return "closed";
    const pid = holderOf(library.symbols, portId, `socket:[${inode}]`);
    const program = pid && programOf(libc, pid);
    if (program !== undefined) return { pid: Number(pid), program };
    // It may have ended amid that, or be about to: a process that ends has no descriptors before its socket is gone.
    const isEnding = programOf(libc, String(portId)) !== undefined &&
      namesIn(library.symbols, `/proc/${portId}/fd`).length === 0;
    return isEnding || look() !== inode ? "closed" : undefined;
  } catch {
    // Who can't be seen is not known.
    return undefined;
  } finally {
    library.close();
  }
}

/**
 * Which process has the socket of an inode; `undefined` if none is seen that has. It takes a walk through all processes,
 * unless `first` has it.
 */
export function ownerOfInode(libc: Libc, inode: string, first?: number): Owner | undefined {
  const library = Deno.dlopen("libc.so.6", SYMBOLS);
  try {
    const pid = holderOf(library.symbols, first, `socket:[${inode}]`);
    const program = pid && programOf(libc, pid);
    return program === undefined || pid === undefined ? undefined : { pid: Number(pid), program };
  } finally {
    library.close();
  }
}

function programOf(libc: Libc, pid: string): string | undefined {
  return libc.readSysctl(`/proc/${pid}/comm`);
}

/** The inode of a netlink socket in a list of all. */
function inodeOf(list: string, portId: number, protocol: number): string | undefined {
  for (const line of list.split("\n")) {
    const words = line.trim().split(/\s+/);
    if (words[1] === String(protocol) && words[2] === String(portId)) return words.at(-1);
  }
  return undefined;
}

/** The process that has a socket; the likely one is asked first, where there is one. */
function holderOf(library: Library, likely: number | undefined, socket: string): string | undefined {
  let looked = 0;
  const first = likely === undefined ? [] : [String(likely)];
  const pids = [...first, ...namesIn(library, "/proc").filter((name) => /^\d+$/.test(name))];
  for (const pid of pids) {
    const links = namesIn(library, `/proc/${pid}/fd`);
    if (links.some((name) => linkOf(library, `/proc/${pid}/fd/${name}`) === socket)) return pid;
    looked += links.length;
    if (looked > MOST_LINKS) return undefined;
  }
  return undefined;
}

/** The names in a folder of proc(5), "." and ".." too; none if it can't be read. */
export function folderNames(folder: string): string[] {
  const library = Deno.dlopen("libc.so.6", SYMBOLS);
  try {
    return namesIn(library.symbols, folder);
  } finally {
    library.close();
  }
}

function namesIn({ opendir, readdir, closedir }: Library, folder: string): string[] {
  const handle = opendir(cString(folder));
  // It has ended, or is none of ours to see.
  if (handle === null) return [];
  const names: string[] = [];
  for (let entry = readdir(handle); entry !== null; entry = readdir(handle)) {
    names.push(new Deno.UnsafePointerView(entry).getCString(NAME_OFFSET));
  }
  closedir(handle);
  return names;
}

function linkOf({ readlink }: Library, path: string): string | undefined {
  const buffer = new Uint8Array(LINK_BYTES);
  const length = readlink(cString(path), buffer, BigInt(LINK_BYTES));
  return length < 0 ? undefined : new TextDecoder().decode(buffer.subarray(0, length));
}

function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
