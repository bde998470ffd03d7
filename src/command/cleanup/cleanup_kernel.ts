import { AF_INET, AF_INET6, FAMILIES, formatPrefix } from "../../model/address.ts";
import { ROUTE, routeDestination, routeProtocol } from "../../model/rows.ts";
import { Table } from "../../model/table.ts";
import type { ObservedLink } from "../../model/state.ts";
import { isOurVtep } from "../../model/vtep.ts";
import { AttributeReader } from "../../netlink/attribute.ts";
import type { NetlinkClient, WriteRequest } from "../../netlink/client.ts";
import { ENODEV, ENOENT, errnoName, ESRCH, isErrno, NetlinkError } from "../../linux/errno.ts";
import { describeStep, ENI_TABLE, ourRoutes, ourRules } from "../../host/eni_path.ts";
import { LinkSlots } from "../../rtnetlink/link_slots.ts";
import { dumpLinks, encodeLinkDeletion } from "../../rtnetlink/link.ts";
import { dumpNextHops, encodeNextHopDeletion } from "../../rtnetlink/next_hop.ts";
import type { CleanupPlan, CleanupStep } from "./cleanup_step.ts";
import { routeCodec } from "../../rtnetlink/route.ts";
import { dumpRules, encodeRuleDeletion } from "../../rtnetlink/rule.ts";
import { dumpTableRoutes, encodeTableRouteDeletion } from "../../rtnetlink/table_route.ts";
import { RTPROT_LODEN } from "../../rtnetlink/route_header.ts";

/** The bridge of the plugin `bridge` unless it is told otherwise. */
const BRIDGE = "cni0";
/** What the kernel answers about a link, a route and a next hop that is not there. */
const GONE = [ENODEV, ESRCH, ENOENT];

/** The ports of the bridge that pods are attached to. */
export function bridgePorts(links: readonly ObservedLink[]): readonly ObservedLink[] {
  const bridge = links.find(({ name, kind }) => name === BRIDGE && kind === "bridge");
  return bridge === undefined ? [] : links.filter(({ masterIndex }) => masterIndex === bridge.linkIndex);
}

/**
 * What of ours the kernel holds: VTEPs, with which their neighbours, routes and next hops go; the bridge if no pod is
 * attached; then our routes and next hops on other links, and what sends packets of pods out by a network interface of
 * the cloud.
 *
 * @throws {NetlinkError} If the kernel refuses to say.
 */
export function planKernel(client: NetlinkClient): CleanupPlan {
  const links = dumpLinks(client);
  const kept: string[] = [];
  const steps = links.filter(isOurVtep).map((link) => linkStep(client, link));
  const bridge = links.find(({ name, kind }) => name === BRIDGE && kind === "bridge");
  const portCount = bridgePorts(links).length;
  if (bridge !== undefined && portCount > 0) {
    kept.push(`link ${BRIDGE}: ${portCount === 1 ? "a pod is" : `${portCount} pods are`} attached to it`);
  } else if (bridge !== undefined) {
    const step = linkStep(client, bridge);
    const run = () => {
      if (bridgePorts(dumpLinks(client)).length > 0) {
        throw new Error("a pod was attached to it meanwhile");
      }
      return step.run();
    };
    steps.push({ ...step, run });
  }
  const going = links.filter((link) => isOurVtep(link) || link === bridge);
  return { steps: [...steps, ...tableSteps(client, links, going), ...wayOutSteps(client)], kept };
}

/**
 * Has the kernel delete something; what is gone already is deleted.
 *
 * @throws {Error} If it refuses.
 */
function remove(client: NetlinkClient, write: WriteRequest): void {
  try {
    client.request("delete it", write);
  } catch (error) {
    if (GONE.some((errno) => isErrno(error, errno))) return;
    if (!(error instanceof NetlinkError)) throw error;
    const { errno, extack } = error;
    throw new Error(`the kernel answers ${errnoName(errno)}${extack === undefined ? "" : `, "${extack}"`}`);
  }
}

function linkStep(client: NetlinkClient, { linkIndex, name }: ObservedLink): CleanupStep {
  return {
    verb: "delete",
    object: `link ${name}`,
    run: () => remove(client, (writer, sequence) => encodeLinkDeletion(writer, sequence, linkIndex)),
  };
}

/** Our routes and next hops, but for those that go with one of `going`. */
function tableSteps(
  client: NetlinkClient,
  links: readonly ObservedLink[],
  going: readonly ObservedLink[],
): CleanupStep[] {
  const linkIndexes = links.map(({ linkIndex }) => linkIndex);
  const slots = new LinkSlots(linkIndexes);
  const isStaying = (table: Table) => (at: number) => !going.includes(links[table.words[at + ROUTE.slot]!]!);
  const on = (slot: number) => links[slot] === undefined ? "" : ` on ${links[slot].name}`;
  const routes = ([AF_INET, AF_INET6] as const).flatMap((family) => {
    const table = dumpTable(
      client,
      new Table(ROUTE),
      (writer, sequence) => routeCodec.encodeDump(writer, sequence, family, 0, RTPROT_LODEN),
      (message, attributes, table) => void routeCodec.decode(message, attributes, slots, table),
    );
    const { words } = table;
    return rowsOf(table).filter(isStaying(table)).map((at): CleanupStep => {
      const prefix = formatPrefix(routeDestination(words, at));
      const write: WriteRequest = (writer, sequence) =>
        routeCodec.encode.delete(writer, sequence, words, at, linkIndexes);
      return {
        verb: "delete",
        object: `route ${prefix}${on(words[at + ROUTE.slot]!)}`,
        run: () => remove(client, write),
      };
    });
  });
  // What an earlier version gave its routes.
  const nextHops = dumpNextHops(client, RTPROT_LODEN).map((id): CleanupStep => ({
    verb: "delete",
    object: `next hop ${id}`,
    run: () => remove(client, (writer, sequence) => encodeNextHopDeletion(writer, sequence, id)),
  }));
  return [...routes, ...nextHops];
}

/** Our routing policy rules, and then the routes that they lead to. */
function wayOutSteps(client: NetlinkClient): CleanupStep[] {
  const rules = FAMILIES.flatMap((family) => ourRules(dumpRules(client, family)));
  const routes = FAMILIES.flatMap((family) => ourRoutes(dumpTableRoutes(client, family, ENI_TABLE)));
  return [
    ...rules.map((rule): CleanupStep => ({
      verb: "delete",
      object: describeStep({ action: "delete", kind: "rule", rule }),
      run: () => remove(client, (writer, sequence) => encodeRuleDeletion(writer, sequence, rule)),
    })),
    ...routes.map((route): CleanupStep => ({
      verb: "delete",
      object: `${describeStep({ action: "delete", kind: "route", route })} in table ${ENI_TABLE}`,
      run: () => remove(client, (writer, sequence) => encodeTableRouteDeletion(writer, sequence, route)),
    })),
  ];
}

function dumpTable(
  client: NetlinkClient,
  table: Table,
  write: WriteRequest,
  decode: (
    message: Parameters<typeof routeCodec.decode>[0],
    attributes: AttributeReader,
    table: Table,
  ) => void,
): Table {
  client.dump("look for what is ours", write, () => table.clear(), (message) => {
    decode(message, new AttributeReader(message.view), table);
  });
  return table;
}

/** Where the rows with our protocol begin. */
function rowsOf({ words, layout, count }: Table): number[] {
  return Array.from({ length: count }, (_, row) => row * layout.words)
    .filter((at) => routeProtocol(words, at) === RTPROT_LODEN);
}
