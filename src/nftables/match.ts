import { compare, isWithin, masked, swapped, type Tri, valueIn, valueOf } from "./compare.ts";
import {
  directionOf,
  isOfParts,
  type KnownBytes,
  linkBytes,
  META_MARK,
  metaOf,
  networkBytes,
  type Packet,
  stateBit,
  transportBytes,
} from "./packet.ts";
import { attributesIn, type RawRule } from "./raw_rule.ts";
import { lookUp, type RuleSet } from "./rule_set.ts";
import {
  type Loaded,
  META_NAMES,
  payloadName,
  type RuleAction,
  text,
  u32be,
  type Written,
} from "./rule_words.ts";
import { hostOrder } from "./value.ts";
import { frameActions, isOfWay, writtenOf } from "./writing.ts";
import { matchOf, targetOf } from "./xt_match.ts";

// What one rule does with one packet: the registers of nf_tables, played with what is known of the packet. Source:
// linux/netfilter/nf_tables.h; net/netfilter/nft_*.c of the kernel for what the expressions do.

/** A rule and a packet. */
export interface RuleMatch {
  /** Whether the rule is for it; `maybe` where it asks for what is not known. */
  readonly isFor: "yes" | "no" | "maybe";
  /** Whether it would be known for a part of the packets that are played together: at all, and whatever else it asks. */
  readonly isOfParts: "no" | "also" | "alone";
  /** What it does; several where it is not known which of them. None if it does nothing. */
  readonly actions: readonly RuleAction[];
  /** Whether it says `notrack`. */
  readonly isUntracking: boolean;
  /** Whether it writes into what the packet's way depends on, as its TTL. */
  readonly isWriting: boolean;
  /** What it writes there, as far as that is known. */
  readonly writes: readonly Written[];
  /** Whether it gives packets another mark, which is not known here. */
  readonly isMarking: boolean;
  /** The rule in words, near to those of nft(8). */
  readonly text: string;
}

const VERDICTS: Readonly<Record<number, RuleAction["kind"]>> = {
  0: "drop",
  1: "accept",
  [-1]: "continue",
  [-3]: "jump",
  [-4]: "goto",
  [-5]: "return",
};
/** Expressions that neither ask nor decide. */
const ASIDES: ReadonlySet<string> = new Set(["counter", "log", "dup", "flow_offload", "last"]);
const NFT_REG_VERDICT = 0;
/** `NFT_CT_DIRECTION`. */
const CT_DIRECTION = 1;
const CT_NAMES: Readonly<Record<number, string>> = { 0: "ct state", [CT_DIRECTION]: "ct direction" };

/** Gives the set that a rule names; `undefined` where it can't be read. */
export type SetReader = (name: string) => RuleSet | undefined;

/**
 * Plays a rule for a packet.
 *
 * @param setOf The sets of the rule's table; all are unknown if absent.
 */
export function matchRule(rule: RawRule, packet: Packet, setOf: SetReader = () => undefined): RuleMatch {
  const registers = new Map<number, Loaded>();
  const words: string[] = [];
  let actions: readonly RuleAction[] = [];
  let [isMarking, isUntracking, isWriting] = [false, false, false];
  const [writes, fatal]: [Written[], RuleAction[]] = [[], []];
  const answers: Answer[] = [];
  const also = (is: Tri, { isOfParts = false }: Pick<Loaded, "isOfParts"> = {}) =>
    answers.push({ is, isOfParts });
  for (const { name, attributes } of rule.expressions) {
    const word = (type: number) => u32be(attributes.get(type));
    if (ASIDES.has(name)) continue;
    if (name === "payload" || name === "meta" || name === "ct") {
      const loaded = load(name, word, packet);
      if (loaded === undefined) {
        isMarking ||= name === "meta" && word(2) === META_MARK;
        const from = registers.get(slot(word(name === "payload" ? 5 : 3)));
        const isOf = name === "payload" && isOfWay(word(2), word(3), word(4));
        isWriting ||= isOf;
        writes.push(...isOf ? writtenOf(word, from) : []);
        fatal.push(...name === "meta" ? frameActions(word(2), from, packet) : []);
        words.push(`${name} set`);
      } else registers.set(slot(loaded.register), loaded);
    } else if (name === "bitwise") {
      registers.set(slot(word(2)), masked(registers.get(slot(word(1))), attributes));
    } else if (name === "byteorder") {
      registers.set(slot(word(2)), reordered(registers.get(slot(word(1))), word(5)));
    } else if (name === "cmp" || name === "range") {
      const loaded = registers.get(slot(word(1)));
      const answer = name === "cmp" ? compare(loaded, word, attributes) : isWithin(loaded, word, attributes);
      also(answer.is, loaded);
      words.push(answer.text);
    } else if (name === "immediate") {
      if (word(1) === NFT_REG_VERDICT) actions = [verdictIn(attributes.get(2))];
      else registers.set(slot(word(1)), { bytes: valueOf(attributes.get(2)), what: "a value" });
    } else if (name === "match") {
      const answer = matchOf(attributes, packet);
      also(answer.is);
      if (answer.text !== "") words.push(answer.text);
    } else if (name === "target") {
      const target = targetOf(attributes, packet);
      isMarking ||= target.isMarking;
      isUntracking ||= target.isUntracking;
      isWriting ||= target.isWriting;
      writes.push(...target.writes);
      actions = [target.action];
      words.push(`-j ${target.name}`);
    } else if (name === "lookup") {
      const answer = lookUpIn(setOf, { word, attributes, registers });
      also(answer.is, answer);
      actions = answer.actions ?? actions;
      words.push(answer.text);
    } else if (name === "notrack") {
      isUntracking = true;
      words.push(name);
    } else {
      const action = ACTIONS[name];
      if (action !== undefined) actions = [action];
      else if (name === "nat") actions = [natOf(word, registers)];
      else {
        // What it asks, or what it loads from elsewhere, is not known.
        also(undefined);
        registers.clear();
        words.push(name);
      }
    }
  }
  // What a rule says behind that changes nothing of it.
  if (fatal.length > 0) actions = fatal;
  if (actions.length === 1) words.push(...actionText(actions[0]!).filter((word) => word !== ""));
  return {
    ...allOf(answers),
    actions: actions.filter(({ kind }) => kind !== "continue"),
    isMarking,
    isUntracking,
    isWriting,
    writes,
    text: words.join(" "),
  };
}

/** `byteorder`: numbers the other way round. */
function reordered(loaded: Loaded | undefined, size: number): Loaded {
  return {
    ...loaded,
    what: loaded?.what ?? "?",
    bytes: swapped(loaded?.bytes, size),
    known: swapped(loaded?.known, size),
    isSwapped: loaded?.isSwapped !== true,
  };
}

/** What one question of a rule is answered with. */
interface Answer {
  readonly is: Tri;
  readonly isOfParts: boolean;
}

function allOf(answers: readonly Answer[]): Pick<RuleMatch, "isFor" | "isOfParts"> {
  if (answers.some(({ is }) => is === false)) return { isFor: "no", isOfParts: "no" };
  const open = answers.filter(({ is }) => is === undefined);
  const ofParts = open.filter(({ isOfParts }) => isOfParts).length;
  return {
    isFor: open.length === 0 ? "yes" : "maybe",
    isOfParts: ofParts === 0 ? "no" : ofParts < open.length ? "also" : "alone",
  };
}

const TO_SELF = "has this host take it";

/** Expressions that decide. */
const ACTIONS: Readonly<Record<string, RuleAction>> = {
  reject: { kind: "reject" },
  masq: { kind: "masquerade" },
  redir: { kind: "dnat", name: "redirect", does: TO_SELF },
  tproxy: { kind: "dnat", name: "tproxy", does: TO_SELF },
  // What is behind does not see it any more.
  fwd: { kind: "drop", name: "fwd", does: "sends it out by another link" },
  queue: { kind: "unknown" },
  synproxy: { kind: "unknown" },
};

function actionText({ kind, chain, name = kind }: RuleAction): string[] {
  if (kind === "continue") return [];
  return [chain === undefined ? name : `${name} ${chain}`];
}

function natOf(word: (type: number) => number, registers: ReadonlyMap<number, Loaded>): RuleAction {
  const address = registers.get(slot(word(3)))?.bytes;
  return { kind: word(1) === 0 ? "snat" : "dnat", ...address !== undefined && { address } };
}

/** What a set says of what a register holds. */
function lookUpIn(setOf: SetReader, { word, attributes, registers }: {
  readonly word: (type: number) => number;
  readonly attributes: ReadonlyMap<number, Uint8Array>;
  readonly registers: Map<number, Loaded>;
}): Pick<Loaded, "isOfParts"> & {
  readonly is: Tri;
  readonly text: string;
  readonly actions?: readonly RuleAction[];
} {
  const name = text(attributes.get(1));
  const first = slot(word(2));
  const isVerdict = attributes.has(3) && word(3) === NFT_REG_VERDICT;
  const isInverted = (word(5) & 1) !== 0;
  const key = `${registers.get(first)?.what ?? "?"}`;
  const sentence = `${key} ${isVerdict ? "vmap" : isInverted ? "!= set" : "in set"} ${name}`;
  const set = setOf(name);
  const answer = set === undefined
    ? { found: undefined }
    : lookUp(set, gather(registers, first, set.keyBytes));
  const isOfParts = set !== undefined && isKeyOfParts(registers, first, set.keyBytes);
  if (attributes.has(3) && !isVerdict) {
    registers.set(slot(word(3)), { bytes: answer.data && valueIn(answer.data), what: "a value", isOfParts });
  }
  const is = answer.found === undefined ? undefined : answer.found !== isInverted;
  if (!isVerdict || answer.found === false) return { is, isOfParts, text: sentence };
  if (answer.data !== undefined) return { is, text: sentence, actions: [verdictIn(answer.data)] };
  // Any of them may be meant.
  const all = set?.elements.flatMap(({ data }) => data === undefined ? [] : [verdictIn(data)]);
  const distinct = new Map(all?.map((action) => [`${action.kind} ${action.chain}`, action]));
  const actions: readonly RuleAction[] = all === undefined ? [{ kind: "unknown" }] : [...distinct.values()];
  return { is, isOfParts, text: sentence, actions };
}

/** Whether of a key that begins at a register more is known for a part of the packets. */
function isKeyOfParts(registers: ReadonlyMap<number, Loaded>, first: number, keyBytes: number): boolean {
  return [...registers].some(([at, loaded]) => loaded.isOfParts && at >= first && at < first + keyBytes / 4);
}

/** The bytes from a register on: each value begins at a multiple of four. */
function gather(
  registers: ReadonlyMap<number, Loaded>,
  first: number,
  keyBytes: number,
): KnownBytes | undefined {
  const size = Math.ceil(keyBytes / 4) * 4 + 16;
  const [key, known] = [new Uint8Array(size), new Uint8Array(size).fill(0xff)];
  let at = 0;
  while (at < keyBytes) {
    const loaded = registers.get(first + at / 4);
    if (loaded?.bytes === undefined || loaded.bytes.length === 0) return undefined;
    key.set(loaded.bytes.subarray(0, 16), at);
    if (loaded.known !== undefined) known.set(loaded.known.subarray(0, 16), at);
    at += Math.ceil(loaded.bytes.length / 4) * 4;
  }
  return known.every((byte) => byte === 0xff) ? { bytes: key } : { bytes: key, known };
}

/** The four wide registers lie over the sixteen narrow ones. */
function slot(register: number): number {
  return register >= 8 ? register - 8 : (register - 1) * 4;
}

function load(
  name: string,
  word: (type: number) => number,
  packet: Packet,
): Loaded & { readonly register: number } | undefined {
  const register = word(1);
  // What writes into the packet or its mark has a source register in place of the other.
  if (name === "payload") {
    if (register === 0) return undefined;
    const [base, offset, length] = [word(2), word(3), word(4)];
    const read = [linkBytes, networkBytes, transportBytes][base] ?? (() => undefined);
    const found = read(packet, offset, length) ?? { bytes: undefined };
    const what = payloadName(packet, base, offset);
    return {
      register,
      ...found,
      what,
      ...base === 1 && isOfParts(packet, offset, length) && { isOfParts: true },
    };
  }
  const key = word(2);
  if (register === 0) return undefined;
  if (name === "meta") {
    return { register, bytes: metaOf(packet, key), what: META_NAMES[key] ?? `meta ${key}` };
  }
  // A frame may not be tracked yet.
  const state = key === 0 && packet.frame === undefined ? stateBit(packet) : undefined;
  const direction = key === CT_DIRECTION && packet.frame === undefined ? directionOf(packet) : undefined;
  const bytes = state !== undefined
    ? hostOrder(state)
    : direction === undefined
    ? undefined
    : Uint8Array.of(direction);
  return { register, bytes, what: CT_NAMES[key] ?? `ct ${key}` };
}

function verdictIn(data: Uint8Array | undefined): RuleAction {
  const verdict = data && attributesIn(data).get(2);
  const members = verdict && attributesIn(verdict);
  const kind = VERDICTS[u32be(members?.get(1)) | 0] ?? "unknown";
  const chain = members?.get(2);
  return { kind, ...chain !== undefined && { chain: text(chain) } };
}
