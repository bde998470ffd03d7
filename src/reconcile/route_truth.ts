import { type Address, bitsOf, type Family, familyOf, type Prefix } from "../model/address.ts";
import {
  FDB,
  hasGateway,
  NEIGHBOUR,
  readAddress,
  ROUTE,
  routeDestination,
  routeType,
} from "../model/rows.ts";
import type { DesiredState, VxlanLink } from "../model/state.ts";
import type { Flow, RouteAnswer } from "../rtnetlink/route_query.ts";
import { RTN_LOCAL, RTN_MULTICAST, RTN_UNICAST } from "../rtnetlink/route_header.ts";
import type { WantedRows } from "./wanted_rows.ts";

/** Asks the kernel which route it takes for a packet. */
export type AskRoute = (flow: Flow) => RouteAnswer;

/** What a host is judged by: what it is to hold, and where that is in the kernel. */
export interface TruthScene {
  readonly state: DesiredState;
  /** The kernel's index of the link of each slot; 0 where it is not there. */
  readonly linkIndexes: readonly number[];
  /** The subnets of this host. */
  readonly own: readonly Prefix[];
  /** The bridge that pods are on, where there is one with the gateway of the family. */
  readonly bridgeIndex: (family: Family) => number | undefined;
  /** Whether a link has a carrier. */
  readonly hasCarrier: (linkIndex: number) => boolean;
  /** Whether no rule but the kernel's own could be for packets of the overlay. */
  readonly isPlain: boolean;
  /** Addresses in a subnet that may be led elsewhere than the rest of it. */
  readonly parts: (subnet: Prefix) => readonly Address[];
}

/**
 * What is not so.
 *
 * - `misled`: packets for a peer's pods take another route, or are refused.
 * - `no way`: what the VTEP sends to the peer does not leave.
 * - `no way in`: what the VTEP of the peer sends is refused.
 * - `no carrier`: the link that packets leave by has none.
 */
export type MisledKind = "misled" | "no way" | "no way in" | "no carrier";

/** What the kernel does with packets for one peer's subnet, where it is not what is wanted. */
export interface Misled {
  readonly kind: MisledKind;
  readonly subnet: Prefix;
  /** Whether that is so of the whole subnet, as far as was asked. */
  readonly isWhole: boolean;
  /** What was asked, and answered. */
  readonly flow: Flow;
  readonly answer: RouteAnswer;
  /** The link without carrier, or that leads nowhere. */
  readonly linkIndex?: number;
}

/** An address of a subnet that is none of the host's own, counted from either end. */
export function nthAddress({ address, length }: Prefix, n: number): Address {
  const bits = bitsOf(familyOf(address)) - length;
  if (typeof address === "number") {
    return (n < 0 ? address + 2 ** bits + n : address + n) as Address;
  }
  return (n < 0 ? address + (1n << BigInt(bits)) + BigInt(n) : address + BigInt(n)) as Address;
}

/**
 * The underlay address of the peer that a route leads to, as its VTEP knows it: neighbour, FDB entry, destination.
 * `undefined` where the route leaves by no VTEP.
 */
export function underlayOf(state: DesiredState, rows: WantedRows, row: number): Address | undefined {
  const { routes, neighbours, fdb, links } = state;
  const at = row * ROUTE.words;
  const slot = routes.words[at + ROUTE.slot]!;
  if (links[slot]?.kind !== "vxlan") return undefined;
  const key = new Uint32Array(NEIGHBOUR.keyWords);
  key[NEIGHBOUR.slot] = slot;
  key[NEIGHBOUR.family] = routes.words[at]!;
  key.set(routes.words.subarray(at + ROUTE.gateway, at + ROUTE.gateway + 4), NEIGHBOUR.address);
  const neighbourAt = (rows.find("neighbours", key, 0) ?? -1) * NEIGHBOUR.words;
  if (neighbourAt < 0) return undefined;
  const macAt = neighbourAt + NEIGHBOUR.mac;
  const fdbKey = Uint32Array.of(slot, neighbours.words[macAt]!, neighbours.words[macAt + 1]!);
  const fdbAt = (rows.find("fdb", fdbKey, 0) ?? -1) * FDB.words;
  if (fdbAt < 0) return undefined;
  return readAddress(fdb.words, fdbAt + FDB.underlayAddress, fdb.words[fdbAt + FDB.family] as Family);
}

/** The underlay addresses of all that VTEPs send to. */
export function* remotesOf({ fdb: { words, count } }: DesiredState): Generator<Address, void, undefined> {
  for (let at = 0; at < count * FDB.words; at += FDB.words) {
    yield readAddress(words, at + FDB.underlayAddress, words[at + FDB.family] as Family);
  }
}

/** Whether a row of the desired routes leads to a peer: a blackhole is there to be behind others. */
export function isPeerRow({ words }: DesiredState["routes"], row: number): boolean {
  return routeType(words, row * ROUTE.words) === RTN_UNICAST;
}

/** Asks the kernel of the packets for one peer's subnet; `undefined` if all is as wanted, or its link is not there. */
export function lookAtPeer(
  scene: TruthScene,
  row: number,
  underlayAddress: Address | undefined,
  ask: AskRoute,
): Misled | undefined {
  const { state: { routes, links }, linkIndexes } = scene;
  const at = row * ROUTE.words;
  const slot = routes.words[at + ROUTE.slot]!;
  const link = links[slot];
  const linkIndex = linkIndexes[slot] ?? 0;
  // That it is missing is told by itself.
  if (link === undefined || linkIndex === 0) return undefined;
  const subnet = routeDestination(routes.words, at);
  const family = familyOf(subnet.address);
  const gateway = hasGateway(routes.words, at)
    ? readAddress(routes.words, at + ROUTE.gateway, family)
    : undefined;
  const misled = lookAtRoutes(scene, subnet, { linkIndex, gateway }, ask);
  if (misled !== undefined) return misled;
  if (!scene.hasCarrier(linkIndex)) {
    const flow = { destination: nthAddress(subnet, 1) };
    return { kind: "no carrier", subnet, isWhole: true, flow, answer: ask(flow), linkIndex };
  }
  if (link.kind !== "vxlan" || underlayAddress === undefined) return undefined;
  return lookAtWay(scene, subnet, link, underlayAddress, ask);
}

function lookAtRoutes(
  scene: TruthScene,
  subnet: Prefix,
  expected: { readonly linkIndex: number; readonly gateway: Address | undefined },
  ask: AskRoute,
): Misled | undefined {
  const flows = flowsTo(scene, subnet);
  const wrong = flows.flatMap((one) => {
    const { flow, answer } = firstGood(one, (answer) => isAsWanted(answer, expected), ask);
    return isAsWanted(answer, expected) ? [] : [{ flow, answer }];
  });
  const [first] = wrong;
  if (first === undefined) return undefined;
  // Where there is a bridge, what counts is what comes in by it.
  const isForward = ({ inputLinkIndex }: Flow) => inputLinkIndex !== undefined;
  const isOfPods = flows.some(([flow]) => isForward(flow!));
  const isCounted = (flow: Flow) => isForward(flow) === isOfPods;
  const isWhole = wrong.filter(({ flow }) => isCounted(flow)).length ===
    flows.filter(([flow]) => isCounted(flow!)).length;
  return { kind: "misled", subnet, isWhole, ...first };
}

/** The packets that are asked of; each entry is one, with another source to be tried if the kernel takes none of that. */
function flowsTo(scene: TruthScene, subnet: Prefix): (readonly Flow[])[] {
  const { own, bridgeIndex, isPlain, parts } = scene;
  const family = familyOf(subnet.address);
  const inputLinkIndex = bridgeIndex(family);
  const [mine] = own.filter(({ address }) => familyOf(address) === family);
  // Without rules of others, what the main table has for parts is known.
  const destinations = [
    nthAddress(subnet, 1),
    ...isPlain ? [] : [nthAddress(subnet, -2)],
    ...parts(subnet),
  ];
  return destinations.flatMap((destination) => {
    const host: Flow = { destination };
    if (inputLinkIndex === undefined || mine === undefined) return [[host]];
    const pod = [2, -2].map((n) => ({ destination, source: nthAddress(mine, n), inputLinkIndex }));
    return isPlain ? [pod] : [pod, [host]];
  });
}

/** The first of some packets that is as wanted, else the first of all. */
function firstGood(
  flows: readonly Flow[],
  isGood: (answer: RouteAnswer) => boolean,
  ask: AskRoute,
): { readonly flow: Flow; readonly answer: RouteAnswer } {
  let first: { readonly flow: Flow; readonly answer: RouteAnswer } | undefined;
  for (const flow of flows) {
    const answer = ask(flow);
    if (isGood(answer)) return { flow, answer };
    first ??= { flow, answer };
    // Only a source that the host has itself makes a difference.
    if (answer.route !== undefined) break;
  }
  return first!;
}

/** Whether packets leave by one link to one gateway: whose route it is does not matter then. */
function isAsWanted(
  { route }: RouteAnswer,
  expected: { readonly linkIndex: number; readonly gateway: Address | undefined },
): boolean {
  return route?.type === RTN_UNICAST && route.hops.length > 0 &&
    route.hops.every((hop) => hop.linkIndex === expected.linkIndex && hop.gateway === expected.gateway);
}

/** What the VTEP sends must leave, and what comes back must be for this host. */
function lookAtWay(
  scene: TruthScene,
  subnet: Prefix,
  { local, port, underlayLinkIndex }: VxlanLink,
  peer: Address,
  ask: AskRoute,
): Misled | undefined {
  if (familyOf(peer) !== familyOf(local)) return undefined;
  const flow: Flow = { destination: peer, source: local, udpPort: port };
  const answer = ask(flow);
  const { route } = answer;
  // This host's own address, or one of no host, is told of elsewhere.
  if (route !== undefined && route.type >= RTN_LOCAL && route.type <= RTN_MULTICAST) return undefined;
  if (route === undefined || route.type !== RTN_UNICAST) {
    return { kind: "no way", subnet, isWhole: true, flow, answer };
  }
  const overlay = route.hops.find(({ linkIndex }) =>
    scene.linkIndexes.some((index, slot) => index === linkIndex && scene.state.links[slot]!.kind === "vxlan")
  );
  if (overlay !== undefined) {
    return { kind: "no way", subnet, isWhole: true, flow, answer, linkIndex: overlay.linkIndex };
  }
  const [hop] = route.hops;
  if (hop !== undefined && route.hops.every(({ linkIndex }) => !scene.hasCarrier(linkIndex))) {
    return { kind: "no carrier", subnet, isWhole: true, flow, answer, linkIndex: hop.linkIndex };
  }
  // By which other link packets come back is for the others to choose.
  const isBackByIt = !scene.isPlain && route.hops.some(({ linkIndex }) => linkIndex === underlayLinkIndex);
  if (!isBackByIt) return undefined;
  const back: Flow = { destination: local, source: peer, inputLinkIndex: underlayLinkIndex, udpPort: port };
  const answered = ask(back);
  return answered.route?.type === RTN_LOCAL
    ? undefined
    : { kind: "no way in", subnet, isWhole: true, flow: back, answer: answered };
}

/**
 * Asks the kernel of packets for this host's own pods that come in by one of its links; `undefined` if the bridge, or the
 * link of a single pod, gets them, and where it is not known that the pods are on a bridge.
 *
 * @param from A peer's subnet that packets come from, and the link that they come in by.
 */
export function lookAtOwn(
  scene: TruthScene,
  from: { readonly subnet: Prefix; readonly inputLinkIndex: number },
  ask: AskRoute,
): Misled | undefined {
  const family = familyOf(from.subnet.address);
  const bridge = scene.bridgeIndex(family);
  const subnet = scene.own.find(({ address }) => familyOf(address) === family);
  if (bridge === undefined || subnet === undefined) return undefined;
  const isPodLink = ({ route }: RouteAnswer) =>
    route?.type === RTN_UNICAST && route.hops.length > 0 && (
      route.hops.every(({ linkIndex }) => linkIndex === bridge) ||
      // A plugin may have made a route for one pod.
      route.destination.length > subnet.length &&
        route.hops.every(({ linkIndex, gateway }) =>
          gateway === undefined && !scene.linkIndexes.includes(linkIndex)
        )
    );
  const flows = [2, -2].map((n): Flow => ({
    destination: nthAddress(subnet, n),
    source: nthAddress(from.subnet, 1),
    inputLinkIndex: from.inputLinkIndex,
  }));
  const wrong = flows.map((flow) => ({ flow, answer: ask(flow) }))
    // A pod's address that the host has itself is the host's own matter.
    .filter(({ answer }) => answer.route?.type !== RTN_LOCAL && !isPodLink(answer));
  const [first] = wrong;
  return first && { kind: "misled", subnet, isWhole: wrong.length === flows.length, ...first };
}
