import { type Address, familyOf, formatAddress } from "../../model/address.ts";
import { formatRule } from "../../rtnetlink/rule_text.ts";
import type { ChainFacts, ChainLink, Way } from "./facts.ts";
import { routeDeletion, routeText, ruleDeletion } from "./route_words.ts";

function wrong(name: string, code: string, text: string, remedy: string): ChainLink {
  return { name, state: "wrong", code, text, remedy };
}

/** Who takes the packet on the link that it leaves by. */
export function judgeNeighbour({ way, kind, tunnel, registry }: ChainFacts): ChainLink[] {
  const { link, nextHop, neighbour } = way;
  if (link === undefined || nextHop === undefined || link.resolvesNothing) return [];
  const where = `${formatAddress(nextHop)} on ${link.name}`;
  if (tunnel !== undefined) {
    if (neighbour?.mac === undefined) {
      return [wrong(
        "neighbour",
        "neighbour-missing",
        `none for ${where}${
          neighbour === undefined ? "" : `: it is ${neighbour.state}`
        }: the kernel asks, and ` +
          "nobody answers on a VTEP",
        "the agent makes it: see 'loden status'",
      )];
    }
    const said = registry.kind === "said" ? registry.lease?.mac ?? undefined : undefined;
    if (said !== undefined && said !== neighbour.mac) {
      return [wrong(
        "neighbour",
        "neighbour-elsewhere",
        `${where} is ${neighbour.mac}, and the lease says ${said}`,
        "the agent puts it right: see 'loden status'",
      )];
    }
    return [{
      name: "neighbour",
      state: neighbour.state === "permanent" ? "ok" : "note",
      code: "neighbour",
      text: `${where} is ${neighbour.mac}, ${neighbour.state}`,
    }];
  }
  const isPod = kind === "own-pod";
  if (neighbour?.state === "failed") {
    return [
      isPod
        ? wrong(
          "neighbour",
          "pod-silent",
          `${where} does not answer: there is no such pod, or its link is gone`,
          "kubectl get pods -A -o wide",
        )
        : wrong(
          "neighbour",
          "neighbour-failed",
          `${where} does not answer ${nextHop === undefined ? "" : "on that segment"}`,
          `look at that host, and at what is between: ip neigh show dev ${link.name}`,
        ),
    ];
  }
  if (neighbour === undefined || neighbour.state === "incomplete" || neighbour.mac === undefined) {
    const text = neighbour?.state === "incomplete" ? "is being asked for" : "was not asked for lately";
    return [{
      name: "neighbour",
      state: "note",
      code: "neighbour-unasked",
      text: `${where} ${text}: --live asks`,
    }];
  }
  return [{
    name: "neighbour",
    state: "ok",
    code: "neighbour",
    text: `${where} is ${neighbour.mac}, ${neighbour.state}`,
  }];
}

/** VTEP, FDB entry, and the way of the outer packets. */
export function judgeTunnel(facts: ChainFacts): ChainLink[] {
  const { tunnel, way, registry } = facts;
  if (tunnel === undefined) return [];
  const { link, fdb, isLocalOwn, outer } = tunnel;
  const { vni, port, local, learning } = link.vxlan!;
  const from = local === undefined ? "" : `, from ${formatAddress(local)}`;
  const judged: ChainLink[] = [
    isLocalOwn
      ? {
        name: "vtep",
        state: "ok",
        code: "vtep",
        text: `${link.name}: VNI ${vni}, port ${port}${from}${learning ? ", learns from traffic" : ""}`,
      }
      : wrong(
        "vtep",
        "vtep-address-gone",
        `${link.name} sends from ${formatAddress(local!)}, which is no address of this host`,
        "the agent puts it right: see 'loden status'",
      ),
  ];
  const mac = way.neighbour?.mac;
  if (mac === undefined) return judged;
  const destinations = fdb.flatMap(({ address }) => address ?? []);
  const [remote] = destinations;
  if (remote === undefined) {
    return [
      ...judged,
      wrong(
        "fdb",
        "fdb-missing",
        `none on ${link.name} for ${mac}: the VTEP drops its frames`,
        "the agent makes it: see 'loden status'",
      ),
    ];
  }
  const said = registry.kind === "said" ? registry.lease?.underlayAddress : undefined;
  const shown = destinations.map(formatAddress);
  if (said !== undefined && !shown.includes(said)) {
    return [
      ...judged,
      wrong(
        "fdb",
        "fdb-elsewhere",
        `${mac} is sent to ${shown.join(", ")}, and the lease says ${said}`,
        "the agent puts it right: see 'loden status'",
      ),
    ];
  }
  judged.push({ name: "fdb", state: "ok", code: "fdb", text: `${mac} is sent to ${shown.join(", ")}` });
  return outer === undefined ? judged : [...judged, ...judgeOuter(facts, outer, remote)];
}

function judgeOuter({ tunnel }: ChainFacts, outer: Way, address: Address): ChainLink[] {
  const [remote, family] = [formatAddress(address), familyOf(address)];
  const { answer: { route }, link, nextHop, neighbour, refusal } = outer;
  if (route === undefined || route.hops.length === 0 || link === undefined) {
    if (refusal !== undefined && refusal.route === undefined) {
      return [
        wrong(
          "underlay",
          "underlay-unreachable",
          `${formatRule(refusal.rule)} refuses VXLAN packets to ${remote}`,
          `${ruleDeletion(refusal.rule, family)}, if nobody needs it`,
        ),
      ];
    }
    return [
      wrong(
        "underlay",
        "underlay-unreachable",
        `there is no route to ${remote}`,
        `ip route get ${remote}`,
      ),
    ];
  }
  const text = `${remote}: ${routeText(outer)}`;
  if (link.linkIndex === tunnel!.link.linkIndex) {
    return [
      wrong(
        "underlay",
        "underlay-through-overlay",
        `${text}, so that the VTEP sends into itself`,
        routeDeletion(outer, family),
      ),
    ];
  }
  if (!link.isUp || link.hasNoCarrier || link.isProtoDown) {
    const how = !link.isUp ? "is down" : link.isProtoDown ? "is set protodown" : "has no carrier";
    return [wrong("underlay", "underlay-link-down", `${link.name} ${how}`, `ip link set ${link.name} up`)];
  }
  const hop = nextHop === undefined ? remote : formatAddress(nextHop);
  if (neighbour?.state === "failed") {
    return [
      wrong(
        "underlay",
        "underlay-neighbour-failed",
        `${hop} on ${link.name} does not answer: the packet gets no further than that`,
        `look at ${hop}, and at what is between`,
      ),
    ];
  }
  const state = neighbour === undefined ? "not asked for lately" : neighbour.state;
  return [{ name: "underlay", state: "ok", code: "underlay", text: `${text}; ${hop} is ${state}` }];
}
