import {
  type Address,
  FAMILIES,
  type Family,
  familyOf,
  isOverlapping,
  maskAddress,
  type Prefix,
  prefixContains,
} from "../model/address.ts";
import type { ObservedLink } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { queryLink } from "../rtnetlink/link.ts";
import { RT_TABLE_LOCAL, RTN_LOCAL } from "../rtnetlink/route_header.ts";
import { type Flow, queryRoute, type RouteAnswer } from "../rtnetlink/route_query.ts";
import { dumpRules, FR_ACT_TO_TBL, type ObservedRule } from "../rtnetlink/rule.ts";
import { formatRule } from "../rtnetlink/rule_text.ts";
import { dumpTableRoutes, type TableRoute } from "../rtnetlink/table_route.ts";
import { nthAddress, remotesOf, type TruthScene } from "./route_truth.ts";
import { concerning, leadsToMain } from "./rule_scope.ts";
import { isKernelTable, type TruthWords } from "./truth_words.ts";
import type { Wanted } from "./wanted.ts";

/** Addresses that are asked of beside each subnet's ends, in all. */
const MOST_PARTS = 1000;

/** The kernel, as far as the truth is asked of it. */
export interface TruthKernel {
  readonly ask: (flow: Flow) => RouteAnswer;
  readonly link: (name: string | number) => ObservedLink | undefined;
  readonly rules: (family: Family) => readonly ObservedRule[];
  readonly routes: (
    family: Family,
    table: number,
    isKept: (route: TableRoute) => boolean,
  ) => readonly TableRoute[];
}

/** The kernel behind a client. */
export function truthKernel(client: NetlinkClient): TruthKernel {
  return {
    ask: (flow) => queryRoute(client, flow),
    link: (name) => queryLink(client, name),
    rules: (family) => dumpRules(client, family),
    routes: (family, table, isKept) => dumpTableRoutes(client, family, table, isKept),
  };
}

/** What the rules of a host say of packets of the overlay. */
export interface RuleView {
  readonly rules: ReadonlyMap<Family, readonly ObservedRule[]>;
  /** Whether none but the kernel's own could be for them. */
  readonly isPlain: boolean;
  /** Which could, as text: what is the same asks for no look. */
  readonly digest: string;
  /** The tables that these lead into, beside the kernel's own. */
  readonly tables: readonly { readonly family: Family; readonly table: number }[];
}

/** Reads the rules of the families in use. */
export function readRules(
  kernel: TruthKernel,
  { state: { networks, links }, state }: Wanted,
  linkNames: readonly string[],
): RuleView {
  const families = FAMILIES.filter((family) => networks.some(({ address }) => familyOf(address) === family));
  const rules = new Map(families.map((family) => [family, kernel.rules(family)]));
  const underlay = [
    ...links.flatMap((link) => link.kind === "vxlan" ? [link.local] : []),
    ...remotesOf(state),
  ];
  const scope = { networks, links: linkNames, underlay };
  const met = [...rules].map(([family, all]) => ({
    family,
    all,
    found: concerning(all, scope),
  }));
  const tables = met.flatMap(({ family, found }) =>
    [...new Set(found.filter(({ action }) => action === FR_ACT_TO_TBL).map(({ table }) => table))]
      .filter((table) => !isKernelTable(table)).map((table) => ({ family, table }))
  );
  return {
    rules,
    isPlain: met.every(({ found, all }) => found.length === 0 && leadsToMain(all)),
    digest: met.map(({ found, all }) => [leadsToMain(all), ...found.map(formatRule)].join("; ")).join("\n"),
    tables,
  };
}

/** What a look knows of the host: made anew for each. */
export interface TruthView {
  readonly scene: TruthScene;
  readonly words: TruthWords;
  /** Which links there are, and which of them have a carrier, as text: what is the same asks for no look. */
  readonly digest: string;
  /** The bridge that pods are on, if packets for this host's pods must come to it. */
  readonly isBridgeInUse: boolean;
}

/** Reads the links of a host, and puts together what its packets are judged by. */
export function truthView(
  kernel: TruthKernel,
  { state, ownSubnets }: Pick<Wanted, "state" | "ownSubnets">,
  rules: RuleView,
  { bridgeName, underlayName, parts }: {
    readonly bridgeName: string | undefined;
    readonly underlayName: string;
    readonly parts: ReadonlyMap<Address, readonly Address[]>;
  },
): TruthView {
  const known = new Map<string | number, ObservedLink | undefined>();
  const link = (name: string | number): ObservedLink | undefined => {
    if (!known.has(name)) {
      const found = kernel.link(name);
      known.set(name, found);
      if (found !== undefined) known.set(found.linkIndex, found);
    }
    return known.get(name);
  };
  const links = state.links.map(({ name }) => link(name));
  const bridge = bridgeName === undefined ? undefined : link(bridgeName);
  const gatewayIsOn = new Map<Family, boolean>();
  const bridgeIndex = (family: Family): number | undefined => {
    if (bridge === undefined || !bridge.isUp) return undefined;
    let isOn = gatewayIsOn.get(family);
    if (isOn === undefined) {
      const own = ownSubnets.find(({ address }) => familyOf(address) === family);
      isOn = own !== undefined && isGatewayOn(kernel, own, bridge.linkIndex);
      gatewayIsOn.set(family, isOn);
    }
    return isOn ? bridge.linkIndex : undefined;
  };
  return {
    scene: {
      state,
      linkIndexes: links.map((one) => one?.isUp ? one.linkIndex : 0),
      own: ownSubnets,
      bridgeIndex,
      hasCarrier: (linkIndex) => !(link(linkIndex)?.hasNoCarrier ?? false),
      isPlain: rules.isPlain,
      parts: (subnet) => parts.get(subnet.address) ?? [],
    },
    words: {
      rulesOf: (family) => rules.rules.get(family) ?? [],
      routesOf: (address, table) =>
        kernel.routes(familyOf(address), table, ({ destination }) => prefixContains(destination, address)),
      linkName: (linkIndex) => link(linkIndex)?.name,
      networks: state.networks,
    },
    digest: [...links, link(underlayName), bridge].map((one) =>
      one === undefined ? "" : `${one.linkIndex} ${one.isUp} ${one.hasNoCarrier ?? false}`
    ).join(),
    isBridgeInUse: bridge !== undefined && bridge.isUp && !bridge.hasNoCarrier,
  };
}

/** Whether a link has the gateway of a subnet's pods, its first address: so that they are on it. */
export function isGatewayOn({ ask }: Pick<TruthKernel, "ask">, own: Prefix, linkIndex: number): boolean {
  const { route } = ask({ destination: nthAddress(own, 1) });
  return route?.type === RTN_LOCAL && route.hops.some((hop) => hop.linkIndex === linkIndex);
}

/**
 * Reads which parts of peers' subnets have a route of their own in other tables than main: addresses to ask of, by the
 * subnet's.
 */
export function readParts(
  kernel: TruthKernel,
  { state: { networks }, ownSubnets }: Pick<Wanted, "state" | "ownSubnets">,
  rules: RuleView,
): ReadonlyMap<Address, readonly Address[]> {
  const parts = new Map<Address, Address[]>();
  let count = 0;
  const families = [...rules.rules.keys()];
  const tables = [...families.map((family) => ({ family, table: RT_TABLE_LOCAL })), ...rules.tables];
  for (const { family, table } of tables) {
    // Subnets of a network are of one length.
    const length = ownSubnets.find(({ address }) => familyOf(address) === family)?.length;
    if (length === undefined) continue;
    const isPart = ({ destination }: TableRoute) =>
      destination.length > length && networks.some((network) => isAmong(destination, network));
    for (const { destination } of kernel.routes(family, table, isPart)) {
      if (++count > MOST_PARTS) return parts;
      const subnet = maskAddress(destination.address, length);
      const known = parts.get(subnet);
      if (known === undefined) parts.set(subnet, [destination.address]);
      else known.push(destination.address);
    }
  }
  return parts;
}

function isAmong(destination: Prefix, network: Prefix): boolean {
  return typeof destination.address === typeof network.address && isOverlapping(destination, network);
}
