import { type Address, AF_INET, familyOf, formatAddress } from "../../model/address.ts";
import { addressBytes } from "../../model/rows.ts";
import type { HookVerdict } from "../../nftables/packet_walk.ts";
import { placeText, remedyOf } from "../../nftables/place_words.ts";
import type { PlacedRule } from "../../nftables/rule_book.ts";
import type { Written } from "../../nftables/rule_words.ts";
import { addressOf } from "../../nftables/value.ts";
import type { ChainFacts, ChainLink, Filters } from "./facts.ts";
import type { Whose } from "./link_facts.ts";

// What rules change of a packet: where it goes to, how far, and whether its connection is known.

/** The rules of one hook. */
interface Stage {
  readonly verdict: HookVerdict | undefined;
  /** With how many hops left it gets where it goes from here; `undefined` where that is not counted. */
  readonly hops: number | undefined;
  readonly destination: Address;
  /** Before the clause that says what a rule does: whose packet it is. */
  readonly whose: string;
}

const WHOSE: Readonly<Record<Whose, string>> = {
  "packet": "it",
  "answer": "the answer",
  "outer-packet": "VXLAN packets to the other host",
  "outer-answer": "VXLAN packets of the other host",
};

/** What becomes of packets that rules change. */
export function judgeChanges(facts: ChainFacts, filters: Filters): ChainLink[] {
  const stages = stagesOf(facts, filters);
  const judged = [...stages.flatMap((stage) => ends(stage, facts)), ...notes(stages)];
  if (!filters.first?.isUntracked && !filters.main.isUntracked) return judged;
  return [...judged, {
    name: "rules",
    state: "note",
    code: "packet-untracked",
    text:
      "a rule has it bypass connection tracking: no translation is made for it, and its answer is no answer to rules",
  }];
}

function stagesOf(
  { kind, target, source, tunnel, frameFilters }: ChainFacts,
  filters: Filters,
): readonly Stage[] {
  const { first, hook, main, last, answer } = filters;
  // Each host that forwards takes one, and drops what has only one left.
  const behind = kind === "overlay" ? 2 : 1;
  const packet = { destination: target, whose: WHOSE.packet };
  const outer = tunnel?.outerPacket;
  return [
    { ...packet, verdict: first, hops: hook === "forward" ? behind + 1 : behind },
    { ...packet, verdict: main, hops: behind },
    { ...packet, verdict: last, hops: behind },
    ...outer === undefined ? [] : tunnel!.outerOutput.map((verdict): Stage => ({
      verdict,
      hops: 1,
      destination: outer.destination,
      whose: WHOSE["outer-packet"],
    })),
    ...outer === undefined ? [] : tunnel!.outerInput.map((verdict): Stage => ({
      verdict,
      hops: 1,
      destination: outer.source,
      whose: WHOSE["outer-answer"],
    })),
    ...source === undefined ? [] : answer.map((verdict, at): Stage => ({
      verdict,
      hops: at === 0 && hook === "forward" ? 2 : 1,
      destination: source,
      whose: WHOSE.answer,
    })),
    ...frameFilters.flatMap(({ whose, verdict }): Stage[] => {
      const destination = {
        "packet": target,
        "answer": source,
        "outer-packet": outer?.destination,
        "outer-answer": outer?.source,
      }[whose];
      return destination === undefined
        ? []
        : [{ verdict, hops: undefined, destination, whose: WHOSE[whose] }];
    }),
  ];
}

/** Rules by which it gets for certain where it was not sent to, or nowhere. */
function ends({ verdict, hops, destination, whose }: Stage, { kind }: ChainFacts): ChainLink[] {
  // A proxy for what goes outside is there on purpose, and so is what has a port of this host's led to a pod.
  const isMeant = kind === "outside" || kind === "own-address" || kind === "service";
  const wrong = (rule: PlacedRule, code: string, does: string): ChainLink => ({
    name: "rules",
    state: "wrong",
    code,
    text: `${placeText(rule)} ${does}`,
    remedy: remedyOf(rule),
  });
  const led = (rule: PlacedRule, does: string): ChainLink =>
    isMeant
      ? {
        name: "translation",
        state: "note",
        code: "destination-translated",
        text: `${placeText(rule)} ${does}`,
      }
      : wrong(rule, "packet-led-elsewhere", does);
  const there = verdict?.translation;
  const to = there?.action.kind === "dnat" ? there.action : undefined;
  const address = to?.address === undefined ? undefined : sized(to.address, destination);
  const judged: ChainLink[] = [];
  if (there?.isCertain && (address !== undefined ? address !== destination : to?.does !== undefined)) {
    const does = address === undefined
      ? `${to!.does}: ${whose}`
      : `sends ${whose} to ${formatAddress(address)}`;
    judged.push(led(there, does));
  }
  for (const rule of verdict?.writers.filter(({ isCertain }) => isCertain) ?? []) {
    const [other, left] = [written(rule.writes, destination), hopsIn(rule.writes, destination)];
    if (other !== undefined && other !== destination) {
      judged.push(led(rule, `sends ${whose} to ${formatAddress(other)}`));
    } else if (left !== undefined && hops !== undefined && left < hops) {
      const what = typeof destination === "number" ? "a TTL" : "a hop limit";
      judged.push(wrong(
        rule,
        "packet-hops-end",
        `gives ${whose} ${what} of ${left}, and it takes ${hops} to get there`,
      ));
    }
  }
  return judged.slice(0, 1);
}

/** What may lead it elsewhere, or nowhere. */
function notes(stages: readonly Stage[]): ChainLink[] {
  return stages.flatMap(({ verdict, hops, destination, whose }): ChainLink[] => {
    const there = verdict?.translation;
    const writers = verdict?.writers.filter(({ writes, isCertain }) =>
      !isCertain ||
      written(writes, destination) === undefined &&
        (hops === undefined || hopsIn(writes, destination) === undefined)
    );
    const isKnown = there?.isCertain === true &&
      (there.action.address !== undefined || there.action.does !== undefined);
    return [
      ...there?.action.kind !== "dnat" || isKnown ? [] : [{
        name: "translation",
        state: "note" as const,
        code: "destination-translated",
        text: `${placeText(there)} sends ${whose} to another address or port${
          there.isCertain ? "" : ", or may"
        }`,
      }],
      ...(writers ?? []).slice(0, 1).map((rule) => ({
        name: "rules",
        state: "note" as const,
        code: "packet-changed",
        text: `${placeText(rule)} writes into ${whose}${rule.isCertain ? "" : ", or may"}, ` +
          "which can change where that gets to; --live shows",
      })),
    ];
  });
}

/** The address that a packet is written to be for; `undefined` where its own is left, or what is written is not known. */
function written(writes: readonly Written[], destination: Address): Address | undefined {
  const at = typeof destination === "number" ? 16 : 24;
  const size = addressBytes(destination).length;
  const bytes = writes.map((one) => bytesAt(one, at, size)).find((found) => found !== undefined);
  return bytes && addressOf(bytes, familyOf(destination));
}

/** The TTL or hop limit that is written. */
function hopsIn(writes: readonly Written[], destination: Address): number | undefined {
  const at = familyOf(destination) === AF_INET ? 8 : 7;
  return writes.map((one) => bytesAt(one, at, 1)).find((found) => found !== undefined)?.[0];
}

function bytesAt({ offset, bytes, known }: Written, at: number, size: number): Uint8Array | undefined {
  if (offset > at || offset + bytes.length < at + size) return undefined;
  const isKnown = known?.subarray(at - offset, at - offset + size).every((byte) => byte === 0xff) ?? true;
  return isKnown ? bytes.subarray(at - offset, at - offset + size) : undefined;
}

/** An address of a rule, where it is of the packet's family. */
function sized(bytes: Uint8Array, like: Address): Address | undefined {
  const family = familyOf(like);
  return bytes.length < addressBytes(like).length
    ? undefined
    : addressOf(bytes.subarray(0, family === AF_INET ? 4 : 16), family);
}
