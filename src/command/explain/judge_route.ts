import { errnoName } from "../../linux/errno.ts";
import { AF_INET, familyOf, formatAddress, formatPrefix } from "../../model/address.ts";
import { formatRule, tableName } from "../../rtnetlink/rule_text.ts";
import { RTN_BLACKHOLE, RTN_LOCAL } from "../../rtnetlink/route_header.ts";
import type { TableRoute } from "../../rtnetlink/table_route.ts";
import type { ChainFacts, ChainLink, Way } from "./facts.ts";
import type { PodPort } from "./link_facts.ts";
import {
  ipWord,
  isOurRoute,
  refusingRouteDeletion,
  refusingRouteText,
  routeDeletion,
  routeText,
  ruleDeletion,
} from "./route_words.ts";

/** `EXDEV`: the answer to a packet would leave by another link than it came in by. */
const EXDEV = 18;
const EACCES = 13;
const ENETUNREACH = 101;
const EINVAL = 22;
const EHOSTUNREACH = 113;

/** The routing policy rule that decides. */
export function judgeRule({ way: { rule, answer, refusal }, family }: ChainFacts): ChainLink[] {
  if (refusal !== undefined && refusal.route === undefined) {
    return [{
      name: "rule",
      state: "wrong",
      code: "rule-refuses",
      text: `${formatRule(refusal.rule)} refuses it`,
      remedy: `${ruleDeletion(refusal.rule, family)}, if nobody needs it`,
    }];
  }
  if (rule === undefined || answer.route === undefined && refusal === undefined) return [];
  return [{ name: "rule", state: "ok", code: "rule", text: formatRule(rule) }];
}

/** Why there is no route at all. */
function refusal(facts: ChainFacts, way: Way): ChainLink {
  const { errno } = way.answer;
  const target = formatAddress(facts.target);
  const wrong = (code: string, text: string, remedy: string): ChainLink => ({
    name: "route",
    state: "wrong",
    code,
    text,
    remedy,
  });
  const route = way.refusal?.route;
  if (isRefusedForSource(way)) return rpFilter(way.inputLink!.name, "a pod's packet");
  if (route !== undefined && isRefusing(route)) {
    return wrong(
      "route-refuses",
      `${refusingRouteText(route)} drops it`,
      `${refusingRouteDeletion(route, facts.family)}, if nobody needs it`,
    );
  }
  if (way.refusal !== undefined && route === undefined) {
    return wrong("rule-refuses", `there is none: ${formatRule(way.refusal.rule)}`, "see the rule above");
  }
  if (errno === EHOSTUNREACH && facts.isFromPod && facts.bridge?.isForwarding === false) {
    return wrong(
      "bridge-forwards-nothing",
      "none is asked for: the bridge does not forward",
      "see the bridge above",
    );
  }
  const why = whyNone(errno);
  return wrong(
    "route-missing",
    `${why} to ${target}`,
    facts.kind === "overlay"
      ? "the agent makes it: see 'loden status'; without one, nobody does"
      : "give the host a default route",
  );
}

/** Whether a route leads nowhere. In IPv6 these are over the loopback. */
function isRefusing({ linkIndex, type }: TableRoute): boolean {
  return linkIndex === 0 || type >= RTN_BLACKHOLE;
}

function whyNone(errno: number | undefined): string {
  if (errno === EACCES) return "it is prohibited";
  if (errno === EINVAL) return "the kernel drops it";
  const isUsual = errno === undefined || errno === ENETUNREACH || errno === EHOSTUNREACH;
  return isUsual ? "there is none" : `the kernel tells none (${errnoName(errno)})`;
}

/** Whether it is the source that a packet is refused for: it has a way, and comes in by a link that is strict. */
function isRefusedForSource({ answer: { errno }, isStrict, refusal }: Way): boolean {
  const isLed = refusal?.route !== undefined && !isRefusing(refusal.route);
  return isStrict && (errno === EXDEV || errno === EINVAL && isLed);
}

function rpFilter(link: string, whose: string): ChainLink {
  return {
    name: "rp_filter",
    state: "wrong",
    code: "rp-filter",
    text:
      `${link} is strict about sources, and ${whose} that comes in there would be answered over another link: ` +
      "it is dropped without a word",
    remedy: `sysctl -w net.ipv4.conf.${link}.rp_filter=2 (and net.ipv4.conf.all.rp_filter, if that is 1)`,
  };
}

/** Why the overlay's own routes may be gone: the kernel takes them along with their link. */
function judgeVteps({ idleVteps, isVtepMissing }: ChainFacts): ChainLink[] {
  const [idle] = idleVteps;
  if (idle !== undefined) {
    const { name, isUp } = idle;
    return [{
      name: "link",
      state: "wrong",
      code: isUp ? "link-protodown" : "link-down",
      text: isUp ? `${name} is set protodown` : `${name} is down, so that its routes are gone`,
      remedy: isUp ? `ip link set ${name} protodown off` : `ip link set ${name} up`,
    }];
  }
  if (!isVtepMissing) return [];
  return [{
    name: "link",
    state: "wrong",
    code: "vtep-missing",
    text: "this host has no VTEP, though the subnet file says vxlan",
    remedy: "the agent makes it: see 'loden status'; without one, nobody does",
  }];
}

/** The route to another host's pods, to a host, or to the outside. */
export function judgeRoute(facts: ChainFacts): ChainLink[] {
  const { way, kind, registry, family } = facts;
  const { answer: { route }, link } = way;
  const isNowhere = route === undefined || route.hops.length === 0;
  const idle = kind === "overlay" ? judgeVteps(facts) : [];
  if (isNowhere) return [...idle, refusal(facts, way)];
  const text = routeText(way);
  const ok = (more = ""): ChainLink => ({
    name: "route",
    state: "ok",
    code: "route",
    text: `${text}${more}`,
  });
  if (kind !== "overlay") {
    if (kind === "outside" || registry.kind !== "said") return [ok()];
    return [
      link?.vxlan === undefined ? ok() : {
        name: "route",
        state: "wrong",
        code: "underlay-through-overlay",
        text: `${text}: packets to a host's own address go through the overlay, which needs that address`,
        remedy: routeDeletion(way, family),
      },
    ];
  }
  if (isOurRoute(route, link)) return [ok()];
  const table = tableName(route.table);
  const isAside = way.rule !== undefined && !["main", "local", "default"].includes(table);
  const code = isAside
    ? "rule-elsewhere"
    : route.destination.length === 0
    ? "route-default"
    : "route-foreign";
  const told = isAside
    ? `${formatRule(way.rule!)} takes it to another table, and there ${text}`
    : route.destination.length === 0
    ? `${text}: there is none of the overlay, so that the default route takes it`
    : `${text} takes it, which is not the overlay's`;
  const network = facts.env?.networks.find(({ address }) => familyOf(address) === family);
  const remedy = isAside
    ? `${ipWord(family)} rule add to ${
      network === undefined ? "the cluster network" : formatPrefix(network)
    } ` +
      `lookup main priority ${Math.max(1, way.rule!.priority - 1)}`
    : route.destination.length === 0
    ? "the agent makes it: see 'loden status'"
    : `${routeDeletion(way, family)}, if nobody needs it`;
  if (route.type === RTN_LOCAL) {
    return [{
      name: "route",
      state: "wrong",
      code: "route-local",
      text: `${text}: this host takes it for its own`,
      remedy,
    }];
  }
  return [...idle, { name: "route", state: "wrong", code, text: told, remedy }];
}

/** The route to this host's own pods. */
export function judgeOwnPodRoute(facts: ChainFacts): ChainLink {
  const { way, bridge, targetPort } = facts;
  const { answer: { route }, link } = way;
  if (route === undefined || route.hops.length === 0) return refusal(facts, way);
  const text = routeText(way);
  if (bridge === undefined || link?.linkIndex === bridge.link.linkIndex) {
    return { name: "route", state: "ok", code: "route", text };
  }
  if (isPodLink(way, targetPort, facts)) {
    return { name: "route", state: "ok", code: "route", text };
  }
  return {
    name: "route",
    state: "wrong",
    code: "own-subnet-elsewhere",
    text: `${text} takes it, and not the pods' bridge ${bridge.link.name}`,
    remedy: routeDeletion(way, facts.family),
  };
}

/**
 * Whether a way leads to a pod over a link of its own, as some plugins lead it: one that is known to be that pod's, or that
 * may be, as no address of this host's beside its pods' is on it, and no underlay.
 */
function isPodLink({ link, answer: { route } }: Way, port: PodPort | undefined, facts: ChainFacts): boolean {
  if (link?.kind !== "veth" || route === undefined || route.hops[0]?.gateway !== undefined) return false;
  if (port?.pod !== undefined) return link.linkIndex === port.link.linkIndex;
  return !facts.hostLinks.has(link.linkIndex);
}

/** The link that the route leaves by. */
export function judgeLink({ link, answer: { route } }: Way): ChainLink[] {
  if (link === undefined || route === undefined) return [];
  const { name } = link;
  const wrong = (code: string, text: string, remedy: string): ChainLink[] => [{
    name: "link",
    state: "wrong",
    code,
    text,
    remedy,
  }];
  if (!link.isUp) return wrong("link-down", `${name} is down`, `ip link set ${name} up`);
  if (link.isProtoDown) {
    return wrong("link-protodown", `${name} is set protodown`, `ip link set ${name} protodown off`);
  }
  if (link.hasNoCarrier || route.isLinkDown) {
    return wrong(
      "link-no-carrier",
      `${name} has no carrier`,
      "look at the cable, or the other end of the link",
    );
  }
  return [];
}

/** What becomes of the answer. */
export function judgeBack(facts: ChainFacts): ChainLink[] {
  const { back, backLink, bridge, source, kind, family } = facts;
  if (back === undefined || source === undefined) return [];
  const name = backLink?.name ?? "?";
  if (isRefusedForSource(back)) return [rpFilter(name, "the answer")];
  if (back.answer.errno === EHOSTUNREACH) {
    const key = `net.${family === AF_INET ? "ipv4" : "ipv6"}.conf.${name}.forwarding`;
    return [{
      name: "back",
      state: "wrong",
      code: "link-forwards-nothing",
      text: `${key} is 0: answers that come in by ${name} get to no pod`,
      remedy: `sysctl -w ${key}=1`,
    }];
  }
  const text = `to ${formatAddress(source)}: ${routeText(back)}`;
  const isHome = bridge !== undefined && back.link?.linkIndex === bridge.link.linkIndex ||
    isPodLink(back, facts.sourcePort, facts);
  if (isHome) return [{ name: "back", state: "ok", code: "back", text }];
  return [{
    name: "back",
    // Masqueraded packets are answered to this host.
    state: kind === "outside" ? "note" : "wrong",
    code: "back-elsewhere",
    text: `answers ${text}, and not to the pods' bridge`,
    remedy: back.answer.route === undefined || back.answer.route.hops.length === 0
      ? `see ${ipWord(family)} route and ${ipWord(family)} rule`
      : `${routeDeletion(back, family)}, if nobody needs it`,
  }];
}
