// The linear memory of the core, from `__heap_base` rounded up to 16:
//
//   datagram   64 KiB             one datagram of a dump                          (the host lets the kernel write it)
//   rows       ROWS_BYTES         the rows of that datagram                       (we write, dump.ts)
//   networks   16 × 24 bytes      cluster networks: family, address ×4, length    (the host writes them)
//   links      64 × 4 bytes       the kernel's link index of each slot            (the host writes them)
//   work       to the end         what one call needs: two tables and their difference (table.ts), rows and the
//                                 requests about them (encode.ts), or prefixes that are taken (prefix.ts); each call
//                                 draws it anew, and nothing of it lasts
//
// All but the work is the window: it stays where it is, and what lies in it stays until the host writes it again. There is
// no allocator: the memory grows where work must be larger, and then every earlier view of the host's is detached.

const PAGE_BYTES: u64 = 65536;

/** What the kernel fills at most with one datagram of a dump. */
export const DATAGRAM_BYTES: u32 = 65536;
/** A row for each message of a datagram: none is shorter than two headers, and no row longer than a route's. */
export const ROWS_BYTES: u32 = (DATAGRAM_BYTES / 28 + 1) * 56;
export const NETWORK_WORDS: u32 = 6;
const NETWORKS_BYTES: u32 = 16 * NETWORK_WORDS * 4;
const LINKS_BYTES: u32 = 64 * 4;

@inline
export function datagramAt(): usize {
  return (__heap_base + 15) & ~15;
}

@inline
export function rowsAt(): usize {
  return datagramAt() + DATAGRAM_BYTES;
}

@inline
export function networksAt(): usize {
  return rowsAt() + ROWS_BYTES;
}

@inline
export function linksAt(): usize {
  return networksAt() + NETWORKS_BYTES;
}

/** Where the work begins. */
@inline
export function workAt(): usize {
  return (linksAt() + LINKS_BYTES + 15) & ~15;
}

/** Makes room for `bytes` of work; 0, or -1 when the memory cannot grow so far. */
export function reserveWork(bytes: u64): i32 {
  const end = <u64> workAt() + bytes;
  if (end > 0xffff0000) return -1;
  const pages = <i32> ((end + PAGE_BYTES - 1) / PAGE_BYTES);
  return pages > memory.size() && memory.grow(pages - memory.size()) < 0 ? -1 : 0;
}
