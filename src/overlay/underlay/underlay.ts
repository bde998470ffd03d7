import type { Address } from "../../model/address.ts";
import type { Underlay } from "../../model/underlay.ts";
import { formatCandidates, isLinkLocal } from "./addresses.ts";
import type { HostNetwork } from "./host_network.ts";
import { withoutOwn } from "./ours.ts";
import { faultOf, whyOther } from "./reason.ts";
import type { ChoiceInputs, EarlierChoice, UnderlayOptions } from "./choice_inputs.ts";
import { addressIn, settleUnderlay, whyNotUp } from "./settle.ts";
import { type Candidate, NoChoice, type Way, waysOf } from "./ways.ts";

/** A choice, and what is left of the one before it. */
export interface UnderlayChoice {
  readonly underlay: Underlay;
  /** With the addresses in use, where those still work and `underlay` has others; else absent. */
  readonly stays?: Underlay;
  /** Indexes of the links that carry more than link-local addresses: changes of others change no choice. */
  readonly carriers: ReadonlySet<number>;
}

/** No link can carry the overlay as asked. Says what was tried and what there is. */
export class UnderlayError extends Error {
  override readonly name = "UnderlayError";
}

/**
 * Chooses the link, the addresses and the MTU that carry the overlay: what `weighUnderlay()` does where nothing was
 * chosen before.
 *
 * @throws {UnderlayError} If nothing fits.
 * @throws {UsageError} If a regular expression is not one.
 */
export function chooseUnderlay(host: HostNetwork, options: UnderlayOptions): Underlay {
  return weighUnderlay(host, options, {}).underlay;
}

/**
 * Chooses the underlay so that it stands. The first way of the flags that fits leads to it, and within one way:
 *
 * 1. what that way led to first, then what is in use, as long as the address is on a link that is up, usable, and the
 *    link is still one that the way leads to, though not the best;
 * 2. else what is best now (`usableAddresses()`). But an address that has a prefix is never followed by one that has
 *    none, as a virtual IP: its family is then missing.
 *
 * Links and addresses of the overlay's own are left out, even if a flag names them. Families that `options` does not
 * name are ignored, a public address of theirs too. One family that can't leave by the link is a shortfall; flannel
 * does not start then.
 *
 * @throws {UnderlayError} If nothing fits.
 * @throws {UsageError} If a regular expression is not one.
 */
export function weighUnderlay(
  network: HostNetwork,
  options: UnderlayOptions,
  standing: EarlierChoice,
): UnderlayChoice {
  const isInside = ({ addresses }: Underlay) => addresses.some(({ address }) => insideOf(address, options));
  const { inUse } = standing;
  if (inUse !== undefined) return weigh(network, { ...options, admitsInside: isInside(inUse) }, standing);
  try {
    return weigh(network, options, standing);
  } catch (error) {
    if (!(error instanceof UnderlayError)) throw error;
    // flannel runs on hosts whose own addresses lie in the cluster network. A host that has no other keeps doing so.
    const choice = orNothing(
      () => weigh(network, { ...options, admitsInside: true }, standing),
      UnderlayError,
    );
    if (choice === undefined || !isInside(choice.underlay)) throw error;
    const inside = choice.underlay.addresses.flatMap(({ address }) => insideOf(address, options) ?? []);
    const caution = `${inside.join(" and ")}: a host may be given a subnet that takes its place; ` +
      "set SubnetMin and SubnetMax so that they leave out the hosts' own addresses";
    return { ...choice, underlay: { ...choice.underlay, caution } };
  }
}

/** Why an address is none of the underlay's, where another can be had. */
function insideOf(address: Address, options: UnderlayOptions): string | undefined {
  const nothing = { links: [], addresses: [], defaultRoutes: [] };
  return withoutOwn(nothing, { ...options, admitsInside: false }).whyNotAddress(address);
}

function weigh(network: HostNetwork, options: UnderlayOptions, standing: EarlierChoice): UnderlayChoice {
  const host = withoutOwn(network, options);
  const inputs = { host, options, standing };
  const ways = waysOf(host, options);
  const chosen = firstFitting(inputs, ways);
  const { inUse } = standing;
  const stays = inUse && staying(inputs, inUse, chosen);
  const carriers = new Set(
    network.addresses.filter(({ address }) => !isLinkLocal(address)).map(({ linkIndex }) => linkIndex),
  );
  if (inUse === undefined) return { underlay: chosen, carriers };
  const reason = whyOther({
    host,
    before: inUse,
    after: chosen,
    ways: ways.map(({ name }) => name),
    earlier: addressesOf(firstBy(standing, chosen.chosenBy)),
  });
  const { caution } = inUse;
  const kept = { ...chosen, reason, ...caution !== undefined && { caution } };
  return { underlay: kept, carriers, ...stays !== undefined && { stays } };
}

/** The choice of the first way that fits; one before that of what is in use must carry as many families as that. */
function firstFitting(inputs: ChoiceInputs, ways: readonly Way[]): Underlay {
  const { inUse } = inputs.standing;
  const at = inUse === undefined ? -1 : ways.findIndex(({ name }) => name === inUse.chosenBy);
  const kept = at < 0 ? undefined : orNothing(() => chooseBy(inputs, ways[at]!));
  const stands = addressesOf(kept).some((address) => addressesOf(inUse).includes(address));
  const reasons: string[] = [];
  for (const [index, way] of ways.entries()) {
    if (index === at && kept !== undefined) return kept;
    try {
      const chosen = chooseBy(inputs, way);
      if (!stands || index > at || chosen.addresses.length >= kept!.addresses.length) return chosen;
    } catch (error) {
      if (!(error instanceof NoChoice)) throw error;
      reasons.push(`${way.name}: ${error.message}`);
    }
  }
  const { links, addresses } = inputs.host.network;
  const candidates = formatCandidates(links, addresses);
  throw new UnderlayError(`Cannot choose the underlay link: ${reasons.join("; ")}; ${candidates}`);
}

function orNothing<T>(
  choose: () => T,
  expected: typeof NoChoice | typeof UnderlayError = NoChoice,
): T | undefined {
  try {
    return choose();
  } catch (error) {
    if (!(error instanceof expected)) throw error;
  }
}

function addressesOf(underlay: Underlay | undefined): Address[] {
  return (underlay?.addresses ?? []).map(({ address }) => address);
}

function firstBy({ first = [] }: EarlierChoice, chosenBy: string | undefined): Underlay | undefined {
  return first.find((underlay) => underlay.chosenBy === chosenBy);
}

function chooseBy(inputs: ChoiceInputs, way: Way): Underlay {
  const { inUse, lastAddresses = [] } = inputs.standing;
  const first = addressesOf(firstBy(inputs.standing, way.name));
  const known = inUse === undefined ? lastAddresses : [...first, ...addressesOf(inUse)];
  const kept = known.length === 0 ? undefined : standingCandidate(inputs, way, first, known);
  if (kept !== undefined) {
    const reason = kept.reason ?? `${way.name}, and what was in use before`;
    return settleUnderlay(inputs, way.name, inUse === undefined ? { ...kept, reason } : kept, known);
  }
  let refusal: NoChoice | undefined;
  for (const candidate of way.candidates()) {
    try {
      return settleUnderlay(inputs, way.name, candidate, known);
    } catch (error) {
      if (!(error instanceof NoChoice)) throw error;
      refusal ??= error;
    }
  }
  throw refusal!;
}

/** Of the links that a way leaves what is in use on, that with most of the addresses that are known. */
function standingCandidate(
  inputs: ChoiceInputs,
  way: Way,
  first: readonly Address[],
  known: readonly Address[],
): Candidate | undefined {
  const { options, standing } = inputs;
  const scored = (orNothing(way.keeps) ?? []).filter(({ link }) => whyNotUp(link) === undefined).map(
    (candidate) => {
      const stands = options.families.map((family) => addressIn(inputs, way.name, candidate, family, known))
        .filter((address) => address !== undefined && known.includes(address));
      const atFirst = stands.filter((address) => first.includes(address!));
      const isInUse = candidate.link.linkIndex === standing.inUse?.linkIndex;
      return {
        candidate,
        count: stands.length,
        rank: stands.length * 8 + atFirst.length * 2 + (isInUse ? 1 : 0),
      };
    },
  );
  const [best] = scored.filter(({ count }) => count > 0).toSorted((a, b) => b.rank - a.rank);
  return best?.candidate;
}

/** What is in use, as it is now, if that goes on and another choice would change one of its addresses. */
function staying(inputs: ChoiceInputs, inUse: Underlay, chosen: Underlay): Underlay | undefined {
  const { host } = inputs;
  const link = host.network.links.find(({ linkIndex }) => linkIndex === inUse.linkIndex);
  if (link === undefined) return undefined;
  const working = inUse.addresses.filter(({ address }) => faultOf(host, inUse, address) === undefined);
  const isMoved = working.some(({ family, address }) => {
    const now = chosen.addresses.find((other) => other.family === family);
    return now !== undefined && now.address !== address;
  });
  if (!isMoved) return undefined;
  const named = working.map(({ address }) => address);
  const { chosenBy = "", reason } = inUse;
  const stays = orNothing(() => settleUnderlay(inputs, chosenBy, { link, named }, named));
  return stays && { ...stays, ...reason !== undefined && { reason } };
}
