import { familyOf } from "../../model/address.ts";
import { ipWord } from "./route_words.ts";
import type { ChainFacts, ChainLink } from "./facts.ts";

/** Whether the largest packet that a pod may send gets through all links of this host. */
export function judgeMtu(facts: ChainFacts): ChainLink[] {
  return [...judgeThere(facts), ...judgeBridgeMtu(facts)];
}

/** Whether what other hosts' pods may send gets through the bridge: they are told to send less, or it is cut in pieces. */
function judgeBridgeMtu({ env, bridge, isFromPod }: ChainFacts): ChainLink[] {
  if (!isFromPod || bridge === undefined || env?.mtuBytes === undefined) return [];
  const { name, mtuBytes } = bridge.link;
  if (mtuBytes >= env.mtuBytes) return [];
  return [{
    name: "mtu",
    state: "note",
    code: "mtu-bridge",
    text:
      `pods may send ${env.mtuBytes} bytes, and ${name} takes ${mtuBytes}: larger packets to pods of this host ` +
      "don't get through it whole",
    remedy: `ip link set ${name} mtu ${env.mtuBytes}`,
  }];
}

function judgeThere({ env, bridge, way, tunnel, isFromPod, family }: ChainFacts): ChainLink[] {
  const { link } = way;
  if (link === undefined) return [];
  const podBytes = env?.mtuBytes ?? (isFromPod ? bridge?.link.mtuBytes : undefined) ?? link.mtuBytes;
  const routeBytes = way.mtuBytes === 0 ? link.mtuBytes : Math.min(way.mtuBytes, link.mtuBytes);
  const wrong = (code: string, text: string, remedy: string): ChainLink[] => [{
    name: "mtu",
    state: "wrong",
    code,
    text,
    remedy,
  }];
  const { outer, overheadBytes = 0 } = tunnel ?? {};
  // A router's word ends by itself, and stops only what is larger: it is no verdict.
  const learnt = [[way, podBytes], [outer, podBytes + overheadBytes]] as const;
  for (const [one, neededBytes] of learnt) {
    const of = one === outer && tunnel?.outerPacket !== undefined
      ? familyOf(tunnel.outerPacket.source)
      : family;
    if (one?.mtuEndsS === undefined || one.mtuBytes >= neededBytes) continue;
    return [
      {
        name: "mtu",
        state: "note",
        code: "mtu-learnt",
        text:
          `a router has told that ${one.mtuBytes} bytes get through, and ${neededBytes} are needed for the ` +
          `largest packet; the kernel forgets it in ${one.mtuEndsS} s`,
        remedy: `${ipWord(of)} route flush cache, once the way is wide again`,
      },
    ];
  }
  if (podBytes > routeBytes) {
    return wrong(
      "mtu-pods",
      `pods may send ${podBytes} bytes, and ${link.name} takes ${routeBytes}: larger packets are dropped`,
      way.mtuBytes !== 0 && way.mtuBytes < link.mtuBytes
        ? "a router on the way, or the route itself, says so: ip route get"
        : "the agent's MTU and the link's must agree: see 'loden status'",
    );
  }
  if (outer?.link === undefined) {
    return [{ name: "mtu", state: "ok", code: "mtu", text: `${podBytes} bytes fit, of ${routeBytes}` }];
  }
  const underBytes = outer.mtuBytes === 0
    ? outer.link.mtuBytes
    : Math.min(outer.mtuBytes, outer.link.mtuBytes);
  const neededBytes = podBytes + overheadBytes;
  if (neededBytes > underBytes) {
    return wrong(
      "mtu-underlay",
      `${podBytes} bytes are ${neededBytes} when they are encapsulated, and ${outer.link.name} takes ${underBytes}: ` +
        "they are sent in pieces, which many networks drop",
      `give ${outer.link.name} an MTU of ${neededBytes}, or the overlay one of ${underBytes - overheadBytes}`,
    );
  }
  return [{
    name: "mtu",
    state: "ok",
    code: "mtu",
    text:
      `${podBytes} bytes fit: ${neededBytes} when they are encapsulated, of ${underBytes} on ${outer.link.name}`,
  }];
}
