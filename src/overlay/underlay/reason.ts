import { type Address, formatAddress } from "../../model/address.ts";
import type { Underlay, UnderlayAddress } from "../../model/underlay.ts";
import { isAlone, whyUnusable } from "./addresses.ts";
import type { CarryingHost } from "./ours.ts";

/** Why an address of what is in use can't go on, as a clause; `undefined` if it can. */
export function faultOf(host: CarryingHost, inUse: Underlay, address: Address): string | undefined {
  const { linkIndex, linkName } = inUse;
  const link = host.all.links.find((link) => link.linkIndex === linkIndex);
  if (link === undefined) {
    const isMadeAgain = host.all.links.some(({ name }) => name === linkName);
    return isMadeAgain ? `${linkName} is another link now` : `${linkName} is gone`;
  }
  if (!link.isUp) return `${linkName} is down`;
  const entry = host.all.addresses.find((entry) =>
    entry.linkIndex === linkIndex && entry.address === address
  );
  if (entry === undefined) return `${linkName} has lost ${formatAddress(address)}`;
  const why = whyUnusable(entry);
  return host.whyNotLink(link) ?? host.whyNotAddress(address) ??
    (why && `${formatAddress(address)} ${why}`);
}

/** What a reason for a change is found from. */
export interface Change {
  readonly host: CarryingHost;
  readonly before: Underlay;
  readonly after: Underlay;
  /** The names of the ways, first to last. */
  readonly ways: readonly string[];
  /** Addresses that were in use before those of `before`. */
  readonly earlier: readonly Address[];
}

/** Why the underlay is another one than before, as a clause: the first cause that is found. */
export function whyOther(change: Change): string {
  const { host, before, after } = change;
  const of = ({ addresses }: Underlay, { family }: UnderlayAddress) =>
    addresses.find((other) => other.family === family);
  for (const old of before.addresses) {
    const now = of(after, old);
    if (now?.address === old.address && after.linkIndex === before.linkIndex) continue;
    const fault = faultOf(host, before, old.address);
    if (fault !== undefined) return fault;
    if (now !== undefined && now.address !== old.address) {
      return whyPreferred(change, old.address, now.address);
    }
  }
  for (const now of after.addresses) {
    const old = of(before, now);
    if (old === undefined) return `${after.linkName} has ${formatAddress(now.address)}`;
    if (old.advertised !== now.advertised) return `this host is reached at ${formatAddress(now.advertised)}`;
    if (old.mtuBytes !== now.mtuBytes) return `the MTU is ${now.mtuBytes}`;
  }
  if (before.mtuBytes !== after.mtuBytes) return `the MTU of ${after.linkName} is ${after.mtuBytes}`;
  if (before.mac !== after.mac) return `${after.linkName} has another MAC`;
  if (before.resolvesNothing !== after.resolvesNothing) {
    return `${after.linkName} resolves ${after.resolvesNothing ? "no" : "its"} neighbours now`;
  }
  return `${after.linkName} reaches other prefixes, or a family is there again`;
}

/** Why another address is chosen although the old one goes on. */
function whyPreferred(change: Change, old: Address, now: Address): string {
  const { host, before, after, ways, earlier } = change;
  const [from, to] = [before, after].map(({ chosenBy = "" }) => ways.indexOf(chosenBy));
  if (to! < from!) return `${after.chosenBy}, named before ${before.chosenBy}, is back`;
  if (earlier.includes(now)) {
    return `${formatAddress(now)}, in use before ${formatAddress(old)}, is back`;
  }
  if (after.linkIndex !== before.linkIndex) return `${before.linkName} is no way out any more`;
  const isOldAlone = host.all.addresses.some((entry) => entry.address === old && isAlone(entry));
  return `${formatAddress(now)} is better than ${formatAddress(old)}${
    isOldAlone ? ", which has no prefix" : ""
  }`;
}
