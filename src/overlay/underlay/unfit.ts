import type { Underlay, UnderlayAddress } from "../../model/underlay.ts";
import { type UnderlayChoice, UnderlayError } from "./underlay.ts";

/** Why nothing can be built on an address, as a clause; `undefined` if something can. */
export type WhyUnfit = (underlay: Underlay, address: UnderlayAddress) => string | undefined;

/**
 * Leaves out of a choice the families that nothing can be built on, though they have an address: each is a shortfall.
 *
 * @throws {UnderlayError} If none is left.
 */
export function withoutUnfit({ underlay, stays, carriers }: UnderlayChoice, why: WhyUnfit): UnderlayChoice {
  return { underlay: without(underlay, why), ...stays && { stays: without(stays, why) }, carriers };
}

function without(chosen: Underlay, why: WhyUnfit): Underlay {
  const reasons = chosen.addresses.map((address) => why(chosen, address));
  const unfit = reasons.filter((reason) => reason !== undefined);
  if (unfit.length === 0) return chosen;
  const addresses = chosen.addresses.filter((_, index) => reasons[index] === undefined);
  if (addresses.length === 0) {
    throw new UnderlayError(`Cannot build on ${chosen.linkName}: ${unfit.join("; ")}`);
  }
  return { ...chosen, addresses, shortfalls: [...chosen.shortfalls ?? [], ...unfit], isShort: true };
}
