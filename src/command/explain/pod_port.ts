import type { Libc } from "../../linux/libc.ts";
import { type Address, familyOf, formatAddress, formatMac } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { queryPortState } from "../../rtnetlink/bridge_port.ts";
import { dumpFdbEntriesOf, dumpNeighbourEntries } from "../../rtnetlink/neighbour_entry.ts";
import type { Bridge, ChainFacts, ChainLink } from "./facts.ts";
import type { PodNetns, PodPort } from "./link_facts.ts";
import { findPod } from "./pod_netns.ts";

/** What to do where a pod's question for its gateway gets no answer. */
export const UNANSWERED =
  "look for rules against ARP, or neighbour solicitations of ICMPv6: nft list ruleset; arptables -L; ebtables -L";

/** Who asks, and what is known by then. */
export interface PortQuestion {
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly links: readonly ObservedLink[];
  readonly bridge: Bridge;
  readonly ownSubnet: ChainFacts["ownSubnet"];
  readonly address: Address;
  /** The pod of that address, where it was found before. */
  readonly pod?: PodNetns | undefined;
}

/** Looks for the port of a pod's address; `undefined` where there is none that is known. */
export function readPort(question: PortQuestion): PodPort | undefined {
  const { libc, client, links, bridge, address, ownSubnet } = question;
  const pod = question.pod ?? findPod(libc, client, { bridge, ownSubnet }, address);
  const neighbour = dumpNeighbourEntries(client, familyOf(address), bridge.link.linkIndex)
    .find((entry) => entry.address === address);
  const mac = pod?.link.mac === undefined ? neighbour?.mac : formatMac(pod.link.mac);
  const linkOf = (index: number | undefined) => links.find(({ linkIndex }) => linkIndex === index);
  const isOfBridge = ({ linkIndex, masterIndex }: ObservedLink) =>
    linkIndex === bridge.link.linkIndex || masterIndex === bridge.link.linkIndex;
  const fdb = mac === undefined ? [] : dumpFdbEntriesOf(client, mac).flatMap((entry) => {
    const link = linkOf(entry.linkIndex);
    return link !== undefined && isOfBridge(link) ? [{ ...entry, link }] : [];
  });
  const link = pod === undefined
    ? fdb.find((entry) => entry.link.linkIndex !== bridge.link.linkIndex)?.link
    : linkOf(pod.portIndex);
  if (link === undefined) return undefined;
  return {
    address,
    pod,
    link,
    master: linkOf(link.masterIndex),
    state: queryPortState(client, link.linkIndex),
    neighbour,
    // A port's own MAC is a permanent entry of that port: it is the pod's that is asked for.
    elsewhere: pod === undefined ? [] : fdb.filter((entry) => entry.link.linkIndex !== link.linkIndex),
  };
}

/** How a pod hangs on the bridge: what is wrong first; nothing where plugins lead to it without one. */
export function judgePort(port: PodPort | undefined, facts: ChainFacts, isTarget: boolean): ChainLink[] {
  const { bridge } = facts;
  if (port === undefined || bridge === undefined) return [];
  const led = (isTarget ? facts.way : facts.back)?.link;
  if (led !== undefined && led.linkIndex !== bridge.link.linkIndex) return [];
  const { pod, link, master, state } = port;
  const whose = `the pod ${formatAddress(port.address)}`;
  const of = `${link.name}, the port of ${whose},`;
  const wrong = (code: string, text: string, remedy: string): ChainLink[] => [
    { name: "port", state: "wrong", code, text, remedy },
  ];
  if (master?.linkIndex !== bridge.link.linkIndex) {
    return wrong(
      "port-detached",
      `${of} ${
        master === undefined ? "has no master" : `has the master ${master.name}`
      }, and not ${bridge.link.name}`,
      `ip link set ${link.name} master ${bridge.link.name}`,
    );
  }
  if (!link.isUp) return wrong("port-down", `${of} is down`, `ip link set ${link.name} up`);
  if (link.isProtoDown) {
    return wrong("port-down", `${of} is set protodown`, `ip link set ${link.name} protodown off`);
  }
  if (pod !== undefined && !pod.link.isUp) {
    return wrong(
      "pod-link-down",
      `${pod.link.name} in ${whose} is down`,
      "look at who has set it so, or re-create the pod",
    );
  }
  if (pod?.link.resolvesNothing) {
    return wrong(
      "pod-link-resolves-nothing",
      `${pod.link.name} in ${whose} is set to ask for no neighbour and to answer none (arp off)`,
      "look at who has set it so, or re-create the pod",
    );
  }
  if (state !== undefined && state !== "forwarding") {
    return wrong(
      "port-blocked",
      `${of} is ${state}: ${bridge.link.name} forwards nothing by it`,
      `bridge link show dev ${link.name}; with STP it waits, or sees a loop: ip -d link show ${bridge.link.name}`,
    );
  }
  return [...judgeMacs(port, bridge, whose), ...isTarget ? [] : judgeGateway(facts, bridge, whose), {
    name: "port",
    state: "ok",
    code: "port",
    text: `${link.name} is ${whose}'s, on ${bridge.link.name}${state === undefined ? "" : `, ${state}`}`,
  }];
}

/** Whether the pod itself knows who takes its packets. */
function judgeGateway({ podWay }: ChainFacts, { link, addresses }: Bridge, whose: string): ChainLink[] {
  if (podWay?.neighbour === undefined) return [];
  const { nextHop, neighbour: { state, mac } } = podWay;
  const gateway = formatAddress(nextHop);
  if (state === "failed" || state === "incomplete") {
    // It asks again with the next packet.
    return [{
      name: "port",
      state: "note",
      code: "pod-gateway-unanswered",
      text: `${whose} has ${
        state === "failed" ? "had no answer when it asked" : "no answer yet where it asks"
      } for ${gateway}, which takes its packets first (${state}); --live shows whether it has one now`,
      remedy: UNANSWERED,
    }];
  }
  if (!addresses.includes(nextHop) || mac === undefined || link.mac === undefined) return [];
  if (mac === formatMac(link.mac) || state === "noarp") return [];
  return [{
    name: "port",
    state: state === "permanent" ? "wrong" : "note",
    code: "pod-gateway-elsewhere",
    text: `${whose} has ${mac} for its gateway ${gateway}, ${state}, and ${link.name} has ${
      formatMac(link.mac)
    }`,
    remedy: state === "permanent"
      ? "delete that entry in the pod, or re-create it"
      : "look for who else answers for it on the bridge",
  }];
}

/** Whether frames for the pod's address have its own MAC, and go to its port. */
function judgeMacs(
  { pod, link, neighbour, elsewhere, address }: PodPort,
  bridge: Bridge,
  whose: string,
): ChainLink[] {
  if (pod?.link.mac === undefined) return [];
  const mac = formatMac(pod.link.mac);
  const judged: ChainLink[] = [];
  if (neighbour?.mac !== undefined && neighbour.mac !== mac && neighbour.state !== "failed") {
    // One that was learnt is asked for again, and then found to be wrong.
    const isFixed = neighbour.state === "permanent" || neighbour.state === "noarp";
    judged.push({
      name: "port",
      state: isFixed ? "wrong" : "note",
      code: "pod-neighbour-elsewhere",
      text: `${
        formatAddress(address)
      } on ${bridge.link.name} is ${neighbour.mac}, ${neighbour.state}, and ${whose} has ${mac}`,
      remedy: `ip neigh delete ${formatAddress(address)} dev ${bridge.link.name}`,
    });
  }
  for (const entry of elsewhere) {
    const isFixed = entry.state === "permanent" || entry.state === "noarp";
    const isOwn = entry.state === "permanent" || entry.link.linkIndex === bridge.link.linkIndex;
    judged.push({
      name: "port",
      state: isFixed ? "wrong" : "note",
      code: "pod-fdb-elsewhere",
      text: isOwn
        ? `${bridge.link.name} takes frames for ${mac} as this host's own, by an entry on ${entry.link.name}, and they are ${whose}'s`
        : `${bridge.link.name} sends frames for ${mac} to ${entry.link.name}, and ${whose} is at ${link.name}`,
      remedy: `bridge fdb delete ${mac} dev ${entry.link.name} ${
        entry.link.linkIndex === bridge.link.linkIndex ? "self" : "master"
      }`,
    });
  }
  return judged;
}
