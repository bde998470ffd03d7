import { formatAddress } from "../../model/address.ts";
import type { Underlay, UnderlayAddress } from "../../model/underlay.ts";
import { isLinkLocal } from "./addresses.ts";

/** Addresses of `last` in whose family `chosen` has none that is as good. */
export function lostAddresses(chosen: Underlay, last: Underlay): readonly UnderlayAddress[] {
  return last.addresses.filter(({ family, address }) => {
    const now = chosen.addresses.find((other) => other.family === family);
    if (now === undefined) return true;
    return isLinkLocal(now.address) && !isLinkLocal(address);
  });
}

/** Puts lost addresses back into a choice, and says that they are lost. */
export function withLost(chosen: Underlay, lost: readonly UnderlayAddress[]): Underlay {
  if (lost.length === 0) return chosen;
  const kept = chosen.addresses.filter(({ family }) => !lost.some((old) => old.family === family));
  return {
    ...chosen,
    addresses: [...kept, ...lost].sort((a, b) => a.family - b.family),
    shortfalls: chosen.isShort && chosen.shortfalls
      ? chosen.shortfalls
      : lost.map(({ address }) => `link ${chosen.linkName} has lost ${formatAddress(address)}`),
  };
}
