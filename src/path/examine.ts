import type { PathDirection, ProbedNetwork } from "../model/peer_path.ts";
import type { Finding } from "./path_record.ts";

/** One question of an examination. Sizes are those of the IP packet. */
export interface Question {
  readonly network: ProbedNetwork;
  readonly packetBytes: number;
  /** The size of the answer; that of the question if absent. */
  readonly answerBytes?: number;
  /** Whether the question, and whether the answer, goes without a UDP checksum; both with one if absent. */
  readonly isPlain?: boolean;
  readonly wantsPlain?: boolean;
}

/** What came of a question. */
export interface Reply {
  /** Whether the filling of the question, and of the answer, was damaged. */
  readonly isDamagedThere: boolean;
  readonly isDamagedBack: boolean;
  /** Whether the peer has heard a probe of this host through the overlay within the last second or two. */
  readonly hearsOverlay: boolean;
}

/** What an examination works with. */
export interface ExamineDeps {
  /** Asks once; `undefined` if no answer comes in time, or this host can't even ask. */
  readonly ask: (question: Question) => Promise<Reply | undefined>;
  /** The size that must get through, by network; the overlay's absent where there is none. */
  readonly expected: Readonly<{ overlay?: number; underlay: number }>;
  /** The smallest IP packet that a probe fits in. */
  readonly leastBytes: number;
  /** Whether a probe of the peer has come through a network since the first one was lost. */
  readonly isHeard: (network: ProbedNetwork) => boolean;
  /** Asks the peer's kernel, by a port at which nobody listens. */
  readonly askKernel: (network: ProbedNetwork) => Promise<boolean>;
  /** The size that was found the last time; `undefined` if none was. */
  readonly foundBefore: (network: ProbedNetwork) => number | undefined;
}

/** What an examination has found, by network. */
export interface Examination {
  readonly overlay?: Finding;
  readonly underlay: Finding;
}

const GOOD: Finding = { state: "good" };
const BY_KERNEL: Finding = { state: "good", isByKernel: true };
/** Sizes that are tried at a time: of a thousand, three times are enough to know one. */
const TRIED_AT_ONCE = 8;
/** So many more are asked with a checksum, and without, before it is called wrong. */
const CONFIRMED = 5;

/**
 * Finds out what is wrong with the path to a peer of which a probe was lost or damaged. Questions that are of use are asked
 * side by side; it takes a second or two. What is lost once may have been chance: nothing is said for one loss.
 */
export async function examine(deps: ExamineDeps): Promise<Examination> {
  const { expected } = deps;
  const [overlay, underlay] = await Promise.all([
    expected.overlay === undefined ? undefined : lookThrough(deps, "overlay", expected.overlay),
    lookThrough(deps, "underlay", expected.underlay),
  ]);
  if (overlay === undefined) return { underlay: await placed(deps, "underlay", underlay, false) };
  const isAlive = underlay.state !== "silent";
  return { overlay: await placed(deps, "overlay", overlay, isAlive), underlay };
}

/** Looks through one network: `silent` if nothing at all comes back. */
async function lookThrough(deps: ExamineDeps, network: ProbedNetwork, fullBytes: number): Promise<Finding> {
  const { ask, askKernel, leastBytes } = deps;
  // Before all else: a kernel refuses a few datagrams a second only, and where no agent is, it refuses probes too.
  const kernel = askKernel(network);
  const full = { network, packetBytes: fullBytes };
  const small = { network, packetBytes: leastBytes };
  const [first, second, third, fourth] = await Promise.all([ask(full), ask(full), ask(small), ask(small)]);
  const whole = [first, second].flatMap((reply) => reply ?? []);
  if (whole.some((reply) => !isDamaged(reply))) {
    return whole.some(isDamaged) ? await confirmDamage(deps, full) : GOOD;
  }
  if (whole.length > 0) return await confirmDamage(deps, full);
  if ((third ?? fourth) === undefined) {
    // The agent may be gone, and the path be as it was.
    return await kernel ? BY_KERNEL : await lookWithoutChecksum(deps, small) ?? { state: "silent" };
  }
  // What gets through if nobody looks at its checksum is not too large.
  const isKnown = deps.foundBefore(network) !== undefined;
  return !isKnown && await lookWithoutChecksum(deps, full) || await findSize(deps, { network, fullBytes });
}

function isDamaged({ isDamagedThere, isDamagedBack }: Reply): boolean {
  return isDamagedThere || isDamagedBack;
}

/** A probe was damaged: asks some more, since one may have been chance. */
async function confirmDamage({ ask }: ExamineDeps, full: Question): Promise<Finding> {
  const replies = (await Promise.all(Array.from({ length: 4 }, () => ask(full)))).flatMap((one) => one ?? []);
  const damaged = replies.filter(isDamaged);
  if (damaged.length < 2) return GOOD;
  return { state: "damaged", ...bothOrOne(damaged) };
}

function bothOrOne(damaged: readonly Reply[]): { readonly direction?: PathDirection } {
  const isThere = damaged.some((reply) => reply.isDamagedThere);
  const isBack = damaged.some((reply) => reply.isDamagedBack);
  return isThere === isBack ? {} : { direction: isThere ? "there" : "back" };
}

/**
 * Nothing of a size came back: asks without UDP checksums. If that comes through, the checksums are wrong, as a card that
 * is to fill them in and can't inside of VXLAN leaves them, or as what changes packets on the way does: the receiver drops
 * all else. `undefined` if nothing comes through either.
 */
async function lookWithoutChecksum({ ask }: ExamineDeps, question: Question): Promise<Finding | undefined> {
  const [both, there, back] = await Promise.all([
    ask({ ...question, isPlain: true, wantsPlain: true }),
    ask({ ...question, isPlain: true }),
    ask({ ...question, wantsPlain: true }),
  ]);
  if ((both ?? there ?? back) === undefined) return undefined;
  // Where much is lost, some of so few come through by chance: of more, all with and none without would have to be lost.
  const more = Array.from({ length: CONFIRMED });
  const [summed, plain] = await Promise.all([
    Promise.all(more.map(() => ask(question))),
    Promise.all(more.map(() => ask({ ...question, isPlain: true, wantsPlain: true }))),
  ]);
  if (summed.some((reply) => reply !== undefined)) return GOOD;
  if (plain.filter((reply) => reply !== undefined).length < CONFIRMED - 1) return undefined;
  // The one that had no checksum on the spoilt way alone comes through.
  if (there !== undefined && back === undefined) return { state: "damaged", direction: "there" };
  if (back !== undefined && there === undefined) return { state: "damaged", direction: "back" };
  // With a checksum on each way by turns: what was lost before was lost by chance.
  return there !== undefined && back !== undefined ? GOOD : { state: "damaged" };
}

/** Small packets come through, and none of full size has: finds the largest that does, and which way it is lost. */
async function findSize(
  deps: ExamineDeps,
  { network, fullBytes }: { readonly network: ProbedNetwork; readonly fullBytes: number },
): Promise<Finding> {
  const { ask, leastBytes } = deps;
  const foundBefore = deps.foundBefore(network);
  const asks = async (sizes: readonly number[]) =>
    await Promise.all(sizes.map(async (packetBytes) => await ask({ network, packetBytes }) !== undefined));
  // What was found before is not sought again.
  let [passing, failing] = [leastBytes, fullBytes];
  if (foundBefore !== undefined && foundBefore < fullBytes) {
    const [isSame, isMore, isWhole] = await asks([foundBefore, foundBefore + 1, fullBytes]);
    if (isWhole) return GOOD;
    if (isSame && !isMore) [passing, failing] = [foundBefore, foundBefore + 1];
  }
  for (let isFirst = true; failing - passing > 1; isFirst = false) {
    const sizes = sizesBetween(passing, failing);
    const results = await asks(isFirst ? [...sizes, fullBytes] : sizes);
    // A third one of full size: then those before were lost by chance.
    if (isFirst && results.pop()) return GOOD;
    const at = results.lastIndexOf(true);
    passing = sizes[at] ?? passing;
    failing = sizes[at + 1] ?? failing;
  }
  const packetBytes = failing;
  const [there, whole] = await Promise.all([
    ask({ network, packetBytes, answerBytes: leastBytes }),
    ask({ network, packetBytes }),
  ]);
  if (whole !== undefined) return { state: "narrow", foundBytes: packetBytes };
  return { state: "narrow", foundBytes: passing, direction: there === undefined ? "there" : "back" };
}

/** Some sizes between two, evenly, both left out. */
export function sizesBetween(low: number, high: number): number[] {
  const count = Math.min(TRIED_AT_ONCE, high - low - 1);
  return Array.from({ length: count }, (_, at) => low + Math.floor((at + 1) * (high - low) / (count + 1)));
}

/** Of a silent path: whether the peer is alive, and which way packets are lost. */
async function placed(
  deps: ExamineDeps,
  network: ProbedNetwork,
  finding: Finding,
  isAlive: boolean,
): Promise<Finding> {
  if (finding.state !== "silent") return finding;
  const { ask, leastBytes, isHeard, expected } = deps;
  const isHeardHere = isHeard(network);
  if (!isAlive && !isHeardHere && !isHeard("underlay")) return { state: "silent" };
  if (network === "underlay") return { state: "broken", ...isHeardHere && { direction: "there" } };
  // The peer tells what it hears, by the underlay: what was asked through the overlay a moment ago is asked once more.
  await ask({ network, packetBytes: Math.min(leastBytes, expected.overlay!) });
  const reply = await ask({ network: "underlay", packetBytes: leastBytes });
  if (reply?.hearsOverlay) return { state: "broken", direction: "back" };
  return { state: "broken", ...isHeardHere && { direction: "there" } };
}
