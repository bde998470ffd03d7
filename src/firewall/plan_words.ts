import { bitsOf, type Family, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import type { ChangeList, PlannedChange } from "../model/host_plan.ts";
import type { NftExpression } from "../nftables/expression.ts";
import type { NftAct, NftChain, NftRuleText } from "../nftables/objects.ts";
import type { RulePlan } from "./plan.ts";
import type { RuleSet } from "./rule_set.ts";
import { IP_NAME } from "./rules.ts";

/** A rule of a chain; one that is to be added has no handle. */
export interface Entry {
  readonly text: string;
  readonly handle: bigint | undefined;
}

/** Chains by their names, each with its rules in their order; tables have an entry of their own. */
export type Content = Map<string, Entry[]>;

/**
 * Says what plans change, an object each, in the words of nft(8): what a rule that is written anew says as before is no
 * change.
 */
export function listRules(plans: readonly RulePlan[], set: RuleSet, list: ChangeList): void {
  for (const plan of plans) {
    const acts = plan.changes.map(({ act }) => act);
    const before = contentOf(acts, set);
    const after: Content = new Map([...before].map(([name, entries]) => [name, [...entries]]));
    for (const act of acts) carryOut(act, after);
    listContent(before, after, list);
  }
}

/** Says what is other in tables and chains. */
export function listContent(before: Content, after: Content, list: ChangeList): void {
  const names = [...new Set([...after.keys(), ...before.keys()])];
  for (const name of names) listObject(name, before.get(name), after.get(name), list);
}

function listObject(
  object: string,
  before: readonly Entry[] | undefined,
  after: readonly Entry[] | undefined,
  list: ChangeList,
): void {
  const kind = "packet filter";
  if (before === undefined) list.add({ kind, object, becomes: "" });
  const place = object.replace(/^chain /, "rule ");
  for (const change of ruleChanges(place, before ?? [], after ?? [])) list.add(change);
  if (after === undefined) list.add({ kind, object, was: "" });
}

/** What is other in a chain: rules that go, come, or stand elsewhere. */
function ruleChanges(place: string, before: readonly Entry[], after: readonly Entry[]): PlannedChange[] {
  const [gone, come] = unlike(before, after);
  const changes: PlannedChange[] = [];
  const kind = "packet filter";
  for (const { text, at } of gone) {
    const moved = come.findIndex((other) => other.text === text);
    if (moved < 0) changes.push({ kind, object: `${place} ${text}`, was: "" });
    else {
      const to = come.splice(moved, 1)[0]!.at;
      changes.push({
        kind,
        object: `${place} ${text}`,
        was: `at place ${at + 1}`,
        becomes: `at place ${to + 1}`,
      });
    }
  }
  return [
    ...changes,
    ...come.map(({ text }) => ({ kind, object: `${place} ${text}`, becomes: "" } as const)),
  ];
}

/** A rule that stays where it is counts more than any number of those that are written anew with the same words. */
const STAYING = 1 << 16;

/** How much it counts that a rule of before is one of after; 0 if it is not. */
function likeness(old: Entry, fresh: Entry): number {
  if (fresh.handle !== undefined) return old.handle === fresh.handle ? STAYING : 0;
  return old.text === fresh.text ? 1 : 0;
}

/** The rules of two lists that are not the same in the same order, with their places. */
function unlike(a: readonly Entry[], b: readonly Entry[]) {
  const best = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const together = (i: number, j: number) => {
    const like = likeness(a[i]!, b[j]!);
    return like === 0 ? -1 : like + best[i + 1]![j + 1]!;
  };
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i]![j] = Math.max(together(i, j), best[i + 1]![j]!, best[i]![j + 1]!);
    }
  }
  const gone: { text: string; at: number }[] = [];
  const come: { text: string; at: number }[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const here = best[i]![j]!;
    if (i < a.length && j < b.length && here === together(i, j)) [i, j] = [i + 1, j + 1];
    else if (j >= b.length || i < a.length && here === best[i + 1]![j]!) {
      gone.push({ text: a[i]!.text, at: i++ });
    } else come.push({ text: b[j]!.text, at: j++ });
  }
  return [gone, come] as const;
}

function tableName({ family, table }: { readonly family: number; readonly table: string }): string {
  return `table ${IP_NAME[family] ?? family} ${table}`;
}

function chainName({ family, table, chain }: Omit<NftChain, "base">): string {
  return `chain ${IP_NAME[family] ?? family} ${table} ${chain}`;
}

/** What there is of what acts are about: whole tables where one goes, else their chains. */
function contentOf(acts: readonly NftAct[], set: RuleSet): Content {
  const content: Content = new Map();
  const take = (chain: NftChain) => {
    const entries = set.rulesOf(chain).map((rule) => ({ text: ruleText(rule), handle: rule.handle }));
    content.set(chainName(chain), entries);
  };
  for (const { what, at } of acts) {
    const isSame = (other: { readonly family: number; readonly table: string }) =>
      other.family === at.family && other.table === at.table;
    const table = set.tables.find(isSame);
    if (table !== undefined) {
      content.set(tableName(at), table.isDormant ? [{ text: "flags dormant", handle: undefined }] : []);
    }
    const chains = set.chains.filter(isSame);
    for (const chain of chains) {
      if (what === "table" || chain.chain === at.chain) take(chain);
    }
  }
  return content;
}

function carryOut(act: NftAct, content: Content): void {
  if (act.what === "table") {
    const name = tableName(act.at);
    if (act.verb === "add") return void content.set(name, content.get(name) ?? []);
    const prefix = `${name.replace(/^table /, "chain ")} `;
    for (const key of content.keys()) if (key === name || key.startsWith(prefix)) content.delete(key);
    return;
  }
  const name = chainName(act.at);
  if (act.what === "chain") {
    if (act.verb === "add") content.set(name, content.get(name) ?? []);
    else content.delete(name);
    return;
  }
  const entries = content.get(name) ?? [];
  if (act.verb === "delete") {
    content.set(name, act.handle === undefined ? [] : entries.filter(({ handle }) => handle !== act.handle));
    return;
  }
  const before = entries.findIndex(({ handle }) => handle !== undefined && handle === act.before);
  const entry = { text: ruleText(act.at), handle: undefined };
  content.set(name, entries.toSpliced(before < 0 ? entries.length : before, 0, entry));
}

/** A rule in the words of nft(8). */
export function ruleText({ expressions, comment }: NftRuleText): string {
  const words = expressions.map(expressionText);
  return [...words, ...comment === undefined ? [] : [`comment "${comment}"`]].join(" ");
}

/** One expression in the words of nft(8). */
export function expressionText(expression: NftExpression): string {
  switch (expression.kind) {
    case "source":
    case "destination": {
      const { kind, prefix, isNot } = expression;
      const family: Family = familyOf(prefix.address);
      const isWhole = prefix.length === bitsOf(family);
      const text = isWhole ? formatAddress(prefix.address) : formatPrefix(prefix);
      return `${IP_NAME[family]} ${kind === "source" ? "saddr" : "daddr"} ${isNot ? "!= " : ""}${text}`;
    }
    case "mark": {
      const hex = (value: number) => `0x${value.toString(16).padStart(8, "0")}`;
      const { value, mask } = expression;
      return mask === 0xffff_ffff ? `meta mark ${hex(value)}` : `meta mark & ${hex(mask)} == ${hex(value)}`;
    }
    case "comment":
      return `/* ${expression.text} */`;
    case "counter":
      return "counter";
    case "masquerade":
    case "iptables masquerade":
      return expression.isFullyRandom ? "masquerade fully-random" : "masquerade";
    case "verdict":
      return expression.chain === undefined
        ? expression.verdict
        : `${expression.verdict} ${expression.chain}`;
    case "input index":
      return `iif ${expression.isNot ? "!= " : ""}${expression.value}`;
    case "input": {
      const { name, isPrefix, isNot } = expression;
      return `iifname ${isNot ? "!= " : ""}"${name}${isPrefix ? "*" : ""}"`;
    }
    case "family":
    case "protocol":
    case "port": {
      const words = { family: "meta nfproto", protocol: "meta l4proto", port: "th dport" };
      return `${words[expression.kind]} ${expression.isNot ? "!= " : ""}${expression.value}`;
    }
    case "state":
      return `ct state ${expression.isNot ? "! " : ""}& 0x${expression.mask.toString(16)}`;
    case "other":
      return expression.name;
  }
}
