import {
  type Family,
  FAMILY_NAMES,
  familyOf,
  formatAddress,
  formatPrefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "../../model/address.ts";
import type { Bridge, ChainFacts, ChainLink } from "./facts.ts";
import { judgePort } from "./pod_port.ts";
import { judgeTraffic } from "./traffic_facts.ts";
import { judgeFilters } from "./judge_filters.ts";
import { judgeMtu } from "./judge_mtu.ts";
import { judgeNeighbour, judgeTunnel } from "./judge_tunnel.ts";
import { judgeBack, judgeLink, judgeOwnPodRoute, judgeRoute, judgeRule } from "./judge_route.ts";

/** Judges each link of the chain, in the order in which a packet meets them. */
export function judgeChain(facts: ChainFacts): readonly ChainLink[] {
  switch (facts.kind) {
    case "service":
      return [{
        name: "address",
        state: "note",
        code: "service-address",
        text:
          "a Service's: rules of kube-proxy give each packet the address of one of its pods, and have none " +
          "without a ready one",
        remedy: "explain a pod's address: kubectl get endpointslices -A",
      }];
    case "own-address":
      return [...judgeOwnAddress(facts), ...judgeFilters(facts)];
    case "own-pod":
      return [
        ...judgeRegistry(facts),
        ...judgeBroadcast(facts),
        ...judgeBridge(facts),
        ...judgeRule(facts),
        judgeOwnPodRoute(facts),
        ...facts.isFromPod ? judgePort(facts.sourcePort, facts, false) : [],
        ...judgePort(facts.targetPort, facts, true),
        ...judgeNeighbour(facts),
        ...judgeTraffic(facts.traffic),
        ...judgeFilters(facts),
      ];
    default:
      return [
        ...judgeRegistry(facts),
        ...judgeBroadcast(facts),
        ...facts.isFromPod ? [...judgeBridge(facts), ...judgePort(facts.sourcePort, facts, false)] : [],
        ...judgeRule(facts),
        ...judgeRoute(facts),
        ...judgeLink(facts.way),
        ...judgeNeighbour(facts),
        ...judgeTunnel(facts),
        ...judgeMtu(facts),
        ...judgeTraffic(facts.traffic),
        ...judgeFilters(facts),
        ...judgeBack(facts),
        ...judgeProbes(facts),
      ];
  }
}

function judgeOwnAddress({ ownLink }: ChainFacts): ChainLink[] {
  const name = ownLink?.name ?? "?";
  if (ownLink?.name === "kube-ipvs0") {
    return [{
      name: "address",
      state: "note",
      code: "service-address",
      text:
        "a Service's: kube-proxy in its mode ipvs has it on kube-ipvs0, and sends packets to one of its pods",
      remedy: "explain a pod's address: kubectl get endpointslices -A",
    }];
  }
  // An address answers also where its link is down.
  return [{ name: "address", state: "ok", code: "own-address", text: `this host's own, on ${name}` }];
}

/** `RTN_BROADCAST`. */
const RTN_BROADCAST = 3;

/** Whether it is the last address of a subnet, which no host and no pod has. */
function judgeBroadcast({ way: { answer, link }, registry, target }: ChainFacts): ChainLink[] {
  const wrong = (text: string): ChainLink[] => [{
    name: "address",
    state: "wrong",
    code: "broadcast-address",
    text: `${
      formatAddress(target)
    } is ${text}: no host and no pod has it, and what pods send there is dropped`,
    remedy: "ask for the address of one pod: kubectl get pods -A -o wide",
  }];
  if (answer.route?.type === RTN_BROADCAST) {
    return wrong(`the broadcast address of ${link?.name ?? "a link"}`);
  }
  const subnet = registry.kind === "said" && registry.lease?.what === "subnet"
    ? registry.lease.subnet
    : undefined;
  if (typeof target !== "number" || subnet === undefined) return [];
  const { address, length } = parsePrefix(subnet);
  const size = 2 ** (32 - length);
  return size > 2 && target === Number(address) + size - 1
    ? wrong(`the broadcast address of ${subnet}, ${registry.kind === "said" ? registry.lease!.host : ""}'s`)
    : [];
}

function judgeRegistry({ registry, kind, target, subnetFilePath, env, way }: ChainFacts): ChainLink[] {
  const link = { name: "lease" };
  if (kind === "outside") return [];
  if (registry.kind === "silent") {
    return [{
      ...link,
      state: "unknown",
      code: "registry-unasked",
      text: `${registry.reason}: who holds it is not known, and what follows is the kernel's word alone`,
      ...env === undefined && { remedy: `there is no subnet file at ${subnetFilePath}` },
    }];
  }
  const { lease } = registry;
  if (lease === undefined) {
    return [{
      ...link,
      state: "wrong",
      code: "no-lease",
      text: `no host holds a subnet with ${formatAddress(target)}`,
      remedy: "look for the pod's host: kubectl get pods -A -o wide; it has no agent that is a member",
    }];
  }
  const { host, subnet, underlayAddress, backendType, leftOut, isOwn } = lease;
  const who = isOwn ? "this host" : host;
  if (leftOut !== null) {
    const { route } = way.answer;
    // A reason may be about a part of the subnet: where the packet has a way of its own, that is judged.
    const isLeft = kind === "overlay" &&
      (route === undefined || route.hops.length === 0 || route.destination.length === 0);
    return [{
      ...link,
      state: isLeft ? "wrong" : "note",
      code: isLeft ? "peer-left-out" : "peer-noted",
      text: `${subnet} is ${who}'s, ${isLeft ? "and this host sends it nothing" : "with a note"}: ${leftOut}`,
      ...isLeft && { remedy: "the reason says what to change; see 'loden status --peers'" },
    }];
  }
  const said = kind === "host" ? `it is the underlay address of ${who}` : `${subnet} is ${who}'s`;
  return [{
    ...link,
    state: "ok",
    code: "lease",
    text: isOwn ? said : `${said} (${backendType}, at ${underlayAddress})`,
  }];
}

function judgeBridge(facts: ChainFacts): ChainLink[] {
  const { bridge, ownSubnet, isForwarding, family } = facts;
  const judged: ChainLink[] = [];
  if (isForwarding === false) {
    const name = family === 2 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
    judged.push({
      name: "forwarding",
      state: "wrong",
      code: "host-forwards-nothing",
      text: `${name} is 0: no ${FAMILY_NAMES[family]} packet gets into or out of a pod`,
      remedy: `sysctl -w ${name}=1`,
    });
  }
  if (bridge === undefined) {
    const text = ownSubnet === undefined
      ? "this host has no subnet of the family"
      : "no link has an address of this host's subnet: it has no pods yet";
    return [...judged, { name: "bridge", state: "note", code: "bridge-missing", text }];
  }
  return [...judged, bridgeLink(bridge, facts)];
}

function bridgeLink(bridge: Bridge, { ownSubnet, family }: ChainFacts): ChainLink {
  const { link: { name, isUp, hasNoCarrier, resolvesNothing }, addresses, isForwarding } = bridge;
  const wrong = (code: string, text: string, remedy: string): ChainLink => ({
    name: "bridge",
    state: "wrong",
    code,
    text,
    remedy,
  });
  if (!isUp) return wrong("bridge-down", `${name} is down`, `ip link set ${name} up`);
  const gateway = addresses.find((address) => ownSubnet !== undefined && prefixContains(ownSubnet, address));
  if (gateway === undefined) {
    return wrong(
      "gateway-missing",
      `${name} has no address of ${ownSubnet === undefined ? "the own subnet" : formatPrefix(ownSubnet)}: ` +
        "pods have no gateway",
      "the agent gives it back; if none runs, start one",
    );
  }
  if (isForwarding === false) {
    const key = `net.${family === 2 ? "ipv4" : "ipv6"}.conf.${name}.forwarding`;
    return wrong(
      "bridge-forwards-nothing",
      `${key} is 0: what comes in by it goes no further`,
      `sysctl -w ${key}=1`,
    );
  }
  if (resolvesNothing) {
    return wrong(
      "bridge-resolves-nothing",
      `${name} is set to ask for no neighbour and to answer none (arp off): pods and this host do not find each other`,
      `ip link set ${name} arp on`,
    );
  }
  const idle = hasNoCarrier ? ", and no pod is on it now" : "";
  return {
    name: "bridge",
    state: "ok",
    code: "bridge",
    text: `${name} is up, its gateway is ${formatAddress(gateway)}${idle}`,
  };
}

/**
 * What came of asking the other host now. What is asked over the underlay needs a port of its own there, which nothing else
 * does: that it is closed stops no packet of the overlay, and the other family has a way of its own.
 */
function judgeProbes({ registry, kind, family }: ChainFacts): ChainLink[] {
  const { probes, host } = registry.kind === "said" && registry.lease?.probes
    ? { probes: registry.lease.probes, host: registry.lease.host }
    : { probes: [], host: "" };
  const familyIn = (target: string): Family => familyOf(parseAddress(target));
  const isDual = new Set(probes.map(({ target }) => familyIn(target))).size > 1;
  const said = probes.map(({ network, target, packetBytes, roundTripMs }) => {
    const over = `over the ${network}${isDual ? ` in ${FAMILY_NAMES[familyIn(target)]}` : ""}`;
    return roundTripMs === null
      ? `${over}: no answer to ${packetBytes} bytes`
      : `${over}: ${packetBytes} bytes in ${roundTripMs.toFixed(1)} ms`;
  });
  if (probes.length === 0) return [];
  const lost = probes.filter(({ roundTripMs }) => roundTripMs === null);
  if (lost.length === 0) {
    return [{ name: "peer", state: "ok", code: "peer-answers", text: `${host} answers ${said.join(", ")}` }];
  }
  const isAsked = (probe: { readonly network: string; readonly target: string }) =>
    kind !== "host" && probe.network === "overlay" && familyIn(probe.target) === family;
  // Without a probe of the overlay the underlay is all that speaks for it.
  const isOverlayAsked = probes.some(isAsked);
  const isSilent = isOverlayAsked
    ? lost.some(isAsked)
    : kind !== "host" && lost.some(({ target }) => familyIn(target) === family);
  if (!isSilent) {
    return [{
      name: "peer",
      state: "note",
      code: "peer-partly-silent",
      text: `${host} was asked: ${said.join(", ")}; that stops no packet of this way`,
      remedy: "let the port of probes through, where a packet filter drops it: see 'loden status --peers'",
    }];
  }
  return [{
    name: "peer",
    state: "wrong",
    code: "peer-silent",
    text: `${host} was asked: ${said.join(", ")}`,
    remedy: `run 'loden explain' on ${host} for an address of this host's subnet`,
  }];
}
