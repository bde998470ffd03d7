import { type Prefix, prefixContains } from "../model/address.ts";

/** Whether prefixes inside of one of `length` bits are all of it. */
export function covers(prefixes: readonly Prefix[], length: number): boolean {
  const ordered = [...prefixes].sort((a, b) =>
    a.address < b.address ? -1 : a.address > b.address ? 1 : a.length - b.length
  );
  let outer: Prefix | undefined;
  let share = 0;
  for (const prefix of ordered) {
    if (outer !== undefined && prefixContains(outer, prefix.address)) continue;
    outer = prefix;
    share += 2 ** (length - prefix.length);
  }
  return share === 1;
}
