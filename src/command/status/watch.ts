import { isDeepStrictEqual } from "node:util";
import { wholeLine } from "../../log/printable.ts";
import type { Look } from "./look.ts";
import { jsonOf, linesOf } from "./look_text.ts";
import { verdictOf } from "./status_text.ts";
import { momentWords } from "./words.ts";

/** To the upper left, and nothing below: what was longer leaves nothing behind. */
const REPAINT = "\x1b[H\x1b[J";

/** Where what is watched is shown. */
export interface WatcherDeps {
  readonly say: (text: string) => void;
  /** Whether the screen is painted anew each time. */
  readonly isTerminal: boolean;
  readonly isJson: boolean;
}

/** Shows looks one after another: on a terminal each, elsewhere what is different from the one before. */
export class Watcher {
  readonly #deps: WatcherDeps;
  #last: readonly string[] | undefined;

  constructor(deps: WatcherDeps) {
    this.#deps = deps;
  }

  see(look: Look): void {
    const { say, isTerminal, isJson } = this.#deps;
    if (isTerminal && !isJson) return say(REPAINT + linesOf(look).join("\n"));
    const now = factsOf(look);
    const last = this.#last;
    if (last !== undefined && isDeepStrictEqual(now, last)) return;
    this.#last = now;
    if (isJson) return say(jsonOf(look));
    if (last === undefined) return say(linesOf(look).join("\n"));
    const at = momentWords(look.at);
    for (const line of last.filter((line) => !now.includes(line))) say(`${at} - ${line}`);
    for (const line of now.filter((line) => !last.includes(line))) say(`${at} + ${line}`);
  }
}

/** What of a look is a fact about the host, and not of the moment: one line each, the verdict first. */
function factsOf(look: Look): string[] {
  const { agent, peers, silence, local } = look;
  if (agent === undefined) {
    return [
      silence ?? "no agent runs on this host",
      ...(local?.faults ?? []).map((fault) => `wrong: ${fault}`),
    ].map(wholeLine);
  }
  const { status } = agent;
  return [
    verdictOf(status),
    ...status.conditions.map(({ severity, code, reason }) => `${severity}: ${code}: ${reason}`),
    ...status.peers === null ? [] : [`peers: ${status.peers.well}/${status.peers.total} well`],
    ...(peers?.peers ?? []).filter(({ reason }) => reason !== null)
      .map(({ host, state, reason }) => `peer ${host} ${state}: ${reason}`),
  ].map(wholeLine);
}
