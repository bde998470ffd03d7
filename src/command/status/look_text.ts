import { printableIn, wholeLine } from "../../log/printable.ts";
import { type Look, lookJson } from "./look.ts";
import { localLines } from "./local_text.ts";
import { peerLines, statusLines } from "./status_text.ts";

/** A look as one screen. */
export function linesOf({ at, agent, peers, peersFault, silence, local }: Look): string[] {
  const lines = agent === undefined ? localLines(local!, { silence }) : [
    ...statusLines(agent.status, { now: at }),
    ...peers === undefined ? [] : peerLines(peers),
    ...peersFault === undefined ? [] : ["", `peers: ${peersFault}`],
  ];
  return lines.map(wholeLine);
}

/** A look as one line of JSON. */
export function jsonOf(look: Look): string {
  return JSON.stringify(printableIn(lookJson(look)));
}
