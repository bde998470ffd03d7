import { FAMILY_NAMES, formatAddress } from "../model/address.ts";
import { DoorRefusal } from "./door_refusal.ts";
import type { StatusDeps } from "./facts.ts";

const OFF = "this agent does not probe paths: -path-probes=off, or a backend whose packets go by no peer";

/** What probes have found, as JSON. */
export function answerPaths({ paths }: StatusDeps): unknown {
  if (paths === undefined) throw new DoorRefusal(OFF);
  const report = paths();
  return { ...report, peers: report.peers.map((peer) => ({ ...peer, family: FAMILY_NAMES[peer.family] })) };
}

/**
 * Asks the peer `host` of the query now, through each network, as JSON.
 *
 * @throws {DoorRefusal} If none is named, or nobody probes.
 */
export async function answerPeerQuestion({ askPeer }: StatusDeps, query: URLSearchParams): Promise<unknown> {
  const host = query.get("host");
  if (host === null) throw new DoorRefusal("no host is named: /ask?host=NAME");
  if (askPeer === undefined) throw new DoorRefusal(OFF);
  const answers = await askPeer(host);
  return { host, answers: answers.map((answer) => ({ ...answer, target: formatAddress(answer.target) })) };
}
