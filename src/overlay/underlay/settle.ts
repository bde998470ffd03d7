import {
  type Address,
  FAMILIES,
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatAddress,
  prefixContains,
} from "../../model/address.ts";
import type { Underlay, UnderlayAddress } from "../../model/underlay.ts";
import {
  isAlone,
  isLinkLocal,
  isNameable,
  segmentsOf,
  type UsableAddress,
  usableAddresses,
  whyUnusable,
} from "./addresses.ts";
import { faultOf } from "./reason.ts";
import type { ChoiceInputs } from "./choice_inputs.ts";
import { type Candidate, defaultRoutesOf, leavesBy, NoChoice, publicAddress } from "./ways.ts";

/** Why packets can't leave by a link, as a clause; `undefined` if they can. */
export function whyNotUp({ name, isUp, mtuBytes }: Candidate["link"]): string | undefined {
  if (!isUp) return `link ${name} is down`;
  return mtuBytes === 0 ? `link ${name} has no MTU` : undefined;
}

/** The address of one family on a candidate: one of `known` if it is as good as the best; `undefined` for none. */
export function addressIn(
  inputs: ChoiceInputs,
  chosenBy: string,
  candidate: Candidate,
  family: Family,
  known: readonly Address[],
): Address | undefined {
  const { addresses } = inputs.host.network;
  const { link, named = [], preferred = [] } = candidate;
  const asked = named.find((address) => familyOf(address) === family);
  if (asked !== undefined) {
    const entry = addresses.find((entry) => entry.linkIndex === link.linkIndex && entry.address === asked);
    return entry !== undefined && isNameable(entry) ? asked : undefined;
  }
  const usable = admitted(inputs, chosenBy, candidate, family);
  const [best] = usable;
  for (const address of [...known, ...preferred]) {
    const found = usable.find(({ entry }) => entry.address === address);
    if (found !== undefined && found.grade === best!.grade) return address;
  }
  return best?.entry.address;
}

/** The usable addresses that a candidate admits, best first, without those that are no substitute for what was in use. */
function admitted(
  { host, options, standing }: ChoiceInputs,
  chosenBy: string,
  { link, admits }: Candidate,
  family: Family,
): UsableAddress[] {
  const { nodeAddresses = [] } = options;
  const { inUse } = standing;
  const old = inUse?.addresses.find((address) => address.family === family);
  const byThisWay = [inUse, ...standing.first ?? []].filter((other) => other?.chosenBy === chosenBy);
  const hadPrefix = byThisWay.some((other) =>
    other!.addresses.some((address) => address.family === family && hasPrefix(address))
  );
  return usableAddresses(host.network.addresses, link, family, nodeAddresses).filter(({ entry }) => {
    if (admits !== undefined && !admits(entry.address)) return false;
    if (entry.address === old?.address) return true;
    if (isLinkLocal(entry.address)) return old === undefined || isLinkLocal(old.address);
    return !hadPrefix || !isAlone(entry) || nodeAddresses.includes(entry.address);
  });
}

function hasPrefix({ address, segments }: UnderlayAddress): boolean {
  return !isLinkLocal(address) && segments.some((segment) => prefixContains(segment, address));
}

/** Settles the address and the MTU of each family; one that has none does not keep the other from its own. */
export function settleUnderlay(
  inputs: ChoiceInputs,
  chosenBy: string,
  candidate: Candidate,
  known: readonly Address[],
): Underlay {
  const { host, options } = inputs;
  const { link } = candidate;
  const why = whyNotUp(link);
  if (why !== undefined) throw new NoChoice(why);
  const settled: UnderlayAddress[] = [];
  const shortfalls: string[] = [];
  for (const family of FAMILIES.filter((family) => options.families.includes(family))) {
    const address = addressIn(inputs, chosenBy, candidate, family, known);
    if (address === undefined) {
      shortfalls.push(whyNoAddress(inputs, candidate, family));
      continue;
    }
    const routeMtuBytes = routeMtu(inputs, candidate, family, address);
    settled.push({
      family,
      address,
      advertised: publicAddress(options, family) ?? address,
      // flannel knows the link's MTU only.
      mtuBytes: Math.min(link.mtuBytes, routeMtuBytes || link.mtuBytes),
      ...routeMtuBytes > 0 && { routeMtuBytes },
      segments: segmentsOf(host.network.addresses, link, family),
    });
  }
  if (settled.length === 0) throw new NoChoice(shortfalls.join(", "));
  return {
    linkIndex: link.linkIndex,
    linkName: link.name,
    ...link.mac !== undefined && { mac: link.mac },
    // A bridge has the MAC of one of its ports, another one each time that ports come and go.
    hasOwnMac: link.mac !== undefined && link.kind !== "bridge",
    ...link.resolvesNothing && { resolvesNothing: true },
    mtuBytes: link.mtuBytes,
    addresses: settled,
    ...shortfalls.length > 0 && { shortfalls },
    chosenBy,
    reason: candidate.reason ?? chosenBy,
  };
}

/** The MTU of the route that a family leaves by; while that is not known, what it was last. 0 for none. */
function routeMtu(
  { host, standing }: ChoiceInputs,
  { link, reachMtu }: Candidate,
  family: Family,
  address: Address,
): number {
  if (reachMtu?.family === family) return reachMtu.mtuBytes;
  const route = defaultRoutesOf(host, family).find((route) => leavesBy(route, link));
  const old = standing.inUse?.addresses.find((old) => old.address === address);
  return route?.mtuBytes ?? old?.routeMtuBytes ?? 0;
}

function whyNoAddress(
  { host, standing }: ChoiceInputs,
  { link, named = [] }: Candidate,
  family: Family,
): string {
  const asked = named.find((address) => familyOf(address) === family);
  const entry = asked === undefined
    ? undefined
    : host.network.addresses.find((entry) => entry.linkIndex === link.linkIndex && entry.address === asked);
  if (entry !== undefined) return `${formatAddress(entry.address)} ${whyUnusable(entry)}`;
  const { inUse } = standing;
  const old = inUse?.addresses.find((address) => address.family === family);
  if (inUse?.linkIndex === link.linkIndex && old !== undefined && asked === undefined) {
    const rest = usableAddresses(host.network.addresses, link, family).filter(({ grade }) => grade < 2);
    const fault = faultOf(host, inUse, old.address);
    if (fault !== undefined && rest.length === 0) return fault;
    if (fault !== undefined) {
      const others = rest.map(({ entry }) => `${formatAddress(entry.address)}/${entry.length}`).join(" and ");
      return `${fault}, which ${others} can't stand in for`;
    }
  }
  const own = host.all.addresses.find((entry) =>
    entry.linkIndex === link.linkIndex && entry.family === family && host.whyNotAddress(entry.address)
  );
  const because = own === undefined ? "" : `: ${host.whyNotAddress(own.address)}`;
  return `link ${link.name} has no usable ${FAMILY_NAMES[family]} address${because}`;
}
