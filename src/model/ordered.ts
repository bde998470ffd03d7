import type { Address } from "./address.ts";

/** The order of addresses: IPv4 before IPv6, each by its own numbers. */
export function compareAddresses(a: Address, b: Address): number {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Index of the first item whose address does not come before `address`; `ordered` is in the order of addresses. */
export function firstNotBefore<T>(
  ordered: readonly T[],
  address: Address,
  addressOf: (item: T) => Address,
): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (compareAddresses(addressOf(ordered[middle]!), address) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
