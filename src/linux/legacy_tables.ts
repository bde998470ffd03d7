import type { Family } from "../model/address.ts";
import type { Libc } from "./libc.ts";
import { LITTLE_ENDIAN } from "./byte_order.ts";
import { NetlinkError } from "./errno.ts";

// The tables of legacy iptables, as far as one look tells whether they matter. Source:
// linux/netfilter_ipv4/ip_tables.h, linux/netfilter_ipv6/ip6_tables.h, linux/netfilter/x_tables.h.

const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
/** `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, which `IP6T_SO_*` have the numbers of. */
const GET_INFO = 64;
const GET_ENTRIES = 65;
/** `struct ipt_getinfo`, and the name in it. */
const INFO_BYTES = 84;
const NAME_BYTES = 32;
/** Where `struct ipt_get_entries` has its entries. */
const ENTRIES_AT = 40;
/** `struct xt_entry_target`: what stands before the verdict of a policy. */
const TARGET_BYTES = 32;
const NF_INET_FORWARD = 2;
/** `-NF_DROP - 1`: how a standard target says to drop. */
const VERDICT_DROP = -1;

/** Where `struct ipt_entry` and `struct ip6t_entry` have what is read of them; the next offset is behind the target's. */
interface EntryLayout {
  readonly targetOffset: number;
  readonly counters: number;
  readonly bytes: number;
}

/** By family: the level of socket options, where names of tables are listed, and what an entry looks like. */
const OF_FAMILY: Readonly<
  Record<Family, { readonly level: number; readonly names: string; readonly entry: EntryLayout }>
> = {
  2: {
    level: 0,
    names: "/proc/thread-self/net/ip_tables_names",
    entry: { targetOffset: 88, counters: 96, bytes: 112 },
  },
  10: {
    level: 41,
    names: "/proc/thread-self/net/ip6_tables_names",
    entry: { targetOffset: 140, counters: 152, bytes: 168 },
  },
};

/** What is known of a legacy table without reading what its rules say. */
export interface LegacyTable {
  /** The same text as long as the rules are the same; counters do not count. */
  readonly shape: string;
  /** Whether its FORWARD chain has rules, or a policy that drops. */
  readonly filtersForward: boolean;
}

/** The legacy tables of a family that are in use on this host. Asks for none by name: that would make it. */
export function legacyTableNames(libc: Libc, family: Family): readonly string[] {
  try {
    return libc.readSysctl(OF_FAMILY[family].names).split("\n").filter((name) => name !== "");
  } catch {
    // The file is there when the kernel has such tables.
    return [];
  }
}

/**
 * Looks at the legacy table `filter`, which must be in use.
 *
 * | offset | bytes | C field       | here           |
 * | -----: | ----: | ------------- | -------------- |
 * |      0 |    32 | `name`        | `filter`       |
 * |     32 |     4 | `valid_hooks` |                |
 * |     36 |    20 | `hook_entry`  | first rules    |
 * |     56 |    20 | `underflow`   | policies       |
 * |     76 |     4 | `num_entries` |                |
 * |     80 |     4 | `size`        | of all entries |
 *
 * Source: `struct ipt_getinfo`.
 *
 * @throws {NetlinkError} If the kernel refuses.
 */
export function readLegacyFilter(libc: Libc, family: Family): LegacyTable {
  const { words, view } = readTable(libc, family, "filter");
  const { entry } = OF_FAMILY[family];
  const [first, policy] = [words[1 + NF_INET_FORWARD]!, words[6 + NF_INET_FORWARD]!];
  return {
    shape: `${words.join(" ")} ${hashOf(view, entry)}`,
    filtersForward: first !== policy || isDrop(view, policy, entry),
  };
}

/**
 * The legacy tables that may do anything: they have rules or chains, or a policy that drops. One that is only there, as a
 * listing makes it, does nothing; of one that can't be read that is not known.
 */
export function legacyTablesWithRules(libc: Libc, family: Family): readonly string[] {
  return legacyTableNames(libc, family).filter((name) => {
    try {
      return hasRules(libc, family, name);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return true;
    }
  });
}

function hasRules(libc: Libc, family: Family, table: string): boolean {
  const { words, view } = readTable(libc, family, table);
  const hooks = [0, 1, 2, 3, 4].filter((hook) => (words[0]! & (1 << hook)) !== 0);
  // Each hook has its policy, and the last entry is the end.
  if (words[11]! > hooks.length + 1) return true;
  return hooks.some((hook) => isDrop(view, words[6 + hook]!, OF_FAMILY[family].entry));
}

/** What `struct ipt_getinfo` says behind the name, and `struct ipt_get_entries`. */
function readTable(
  libc: Libc,
  family: Family,
  name: string,
): { readonly words: Uint32Array; readonly view: DataView } {
  const { level } = OF_FAMILY[family];
  const action = `read the legacy table ${name}`;
  const fd = libc.checked(action, libc.call.socket(family, SOCK_DGRAM_CLOEXEC, 0));
  try {
    const get = (option: number, bytes: Uint8Array<ArrayBuffer>) => {
      const length = new Uint8Array(new Uint32Array([bytes.length]).buffer);
      libc.checked(action, libc.call.getsockopt(fd, level, option, bytes, length));
    };
    const named = (bytes: number) => {
      const buffer = new Uint8Array(bytes);
      buffer.set(new TextEncoder().encode(name));
      return buffer;
    };
    const info = named(INFO_BYTES);
    get(GET_INFO, info);
    const words = new Uint32Array(info.buffer, NAME_BYTES);
    const size = words[12]!;
    const entries = named(ENTRIES_AT + size);
    const view = new DataView(entries.buffer);
    view.setUint32(NAME_BYTES, size, LITTLE_ENDIAN);
    get(GET_ENTRIES, entries);
    return { words, view };
  } finally {
    libc.call.close(fd);
  }
}

/** Whether the policy whose entry is at an offset drops. */
function isDrop(view: DataView, offset: number, { targetOffset }: EntryLayout): boolean {
  const at = ENTRIES_AT + offset;
  const target = at + view.getUint16(at + targetOffset, LITTLE_ENDIAN);
  return view.getInt32(target + TARGET_BYTES, LITTLE_ENDIAN) === VERDICT_DROP;
}

/** A number that is another one when entries are others (FNV-1a over 32-bit words), but for their counters. */
function hashOf(view: DataView, { targetOffset, counters, bytes }: EntryLayout): number {
  let hash = 0x811c9dc5;
  for (let start = ENTRIES_AT; start + bytes <= view.byteLength;) {
    const next = start + view.getUint16(start + targetOffset + 2, LITTLE_ENDIAN);
    for (let at = start; at + 4 <= Math.min(next, view.byteLength); at += 4) {
      if (at === start + counters) at = start + bytes;
      hash = Math.imul(hash ^ view.getInt32(at, LITTLE_ENDIAN), 0x01000193);
    }
    if (next <= start) break;
    start = next;
  }
  return hash >>> 0;
}
