import { socketOwner } from "../linux/socket_owner.ts";
import type { Libc } from "../linux/libc.ts";
import type { Culprits } from "../reconcile/culprits.ts";

/** Whose a socket is, is looked up no more often: it may take a walk through all processes, amid a pass. */
const REST_MS = 1000;
/** Answers are kept for so many sockets, and for so long: a number may come again. */
const MOST_ANSWERS = 64;
const KEPT_MS = 30_000;

/** What names the program that has changed what is ours. */
export interface BlameDeps {
  readonly culprits: Pick<Culprits, "recentPortOf">;
  readonly owner: (portId: number) => ReturnType<typeof socketOwner>;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
}

/** Says who has changed a thing since the last pass, in the words of the log; looks for it once in a while only. */
export function openBlame(
  { culprits, owner, elapsedMs }: BlameDeps,
): (thing: string) => string | undefined {
  const known = new Map<number, { readonly words: string; readonly atMs: number }>();
  let lookedMs = -Infinity;
  return (thing) => {
    const portId = culprits.recentPortOf(thing);
    if (portId === undefined) return undefined;
    const nowMs = elapsedMs();
    const answer = known.get(portId);
    if (answer !== undefined && nowMs - answer.atMs < KEPT_MS) return answer.words;
    if (nowMs - lookedMs < REST_MS) return `process ${portId}`;
    lookedMs = nowMs;
    const words = wordsOf(portId, owner(portId));
    known.delete(portId);
    known.set(portId, { words, atMs: nowMs });
    if (known.size > MOST_ANSWERS) known.delete(known.keys().next().value!);
    return words;
  };
}

/** A port's number is its process's for the first socket, as a rule. */
function wordsOf(portId: number, owner: ReturnType<typeof socketOwner>): string {
  if (owner === undefined) return `process ${portId}`;
  return owner === "closed"
    ? `a program that has ended (process ${portId})`
    : `${owner.program} (process ${owner.pid})`;
}

/** Names programs of this host. */
export function hostBlame(
  libc: Libc,
  culprits: Culprits,
  elapsedMs: () => number,
): (thing: string) => string | undefined {
  return openBlame({ culprits, owner: (portId) => socketOwner(libc, portId), elapsedMs });
}
