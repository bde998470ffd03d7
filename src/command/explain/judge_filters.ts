import { formatAddress } from "../../model/address.ts";
import type { RuleAction } from "../../nftables/rule_words.ts";
import type { HookVerdict } from "../../nftables/packet_walk.ts";
import { placeText, remedyOf } from "../../nftables/place_words.ts";
import { addressOf } from "../../nftables/value.ts";
import type { ChainFacts, ChainLink } from "./facts.ts";
import { judgeChanges } from "./judge_changes.ts";
import type { FrameVerdict } from "./link_facts.ts";

/** What a frame carries, before the clause that says where it is. */
const FRAMES: Readonly<Record<FrameVerdict["whose"], string>> = {
  "packet": "",
  "answer": "the answer, ",
  "outer-packet": "VXLAN packets to the other host, ",
  "outer-answer": "VXLAN packets of the other host, ",
};

/** What rules do with the packet on its way, and with the answer. */
export function judgeFilters(facts: ChainFacts): ChainLink[] {
  const { filters, filterFault, tunnel, hasLegacy } = facts;
  const judged: ChainLink[] = [];
  if (filters === undefined) {
    if (filterFault === undefined) return [];
    return [{ name: "rules", state: "unknown", code: "rules-unread", text: filterFault }];
  }
  const { first, hook, main, last, answer } = filters;
  judged.push(...refusals("rules", "packet", [first, main, last], hook));
  judged.push(
    ...refusals("rules", "outer-packet", tunnel?.outerOutput ?? [], "VXLAN packets to the other host"),
  );
  judged.push(
    ...refusals("rules", "outer-answer", tunnel?.outerInput ?? [], "VXLAN packets of the other host"),
  );
  judged.push(...refusals("rules", "answer", answer, "the answer"));
  for (const { whose, where, verdict } of facts.frameFilters) {
    judged.push(...refusals("rules", whose, [verdict], `${FRAMES[whose]}${where}`));
  }
  if (!judged.some(({ state }) => state === "wrong")) judged.push(...judgeChanges(facts, filters));
  if (!judged.some(({ state }) => state === "wrong")) {
    judged.unshift({ name: "rules", state: "ok", code: "rules", text: `nothing refuses it (${hook})` });
  }
  if (hasLegacy) {
    judged.push({
      name: "rules",
      state: "note",
      code: "rules-legacy",
      text: "this host has rules of legacy iptables too, which are not read here",
      remedy: "iptables-legacy-save",
    });
  }
  return [...judged, ...judgeTranslation(facts)];
}

function refusals(
  name: string,
  code: string,
  verdicts: readonly (HookVerdict | undefined)[],
  whose: string,
): ChainLink[] {
  return verdicts.flatMap((verdict): ChainLink[] => {
    if (verdict === undefined) return [];
    const { by, isCertain, doubts } = verdict;
    if (by !== undefined) {
      const does = by.does ?? (verdict.verdict === "reject" ? "rejects it" : "drops it");
      return [{
        name,
        state: isCertain ? "wrong" : "note",
        code: isCertain ? `${code}-refused` : `${code}-doubted`,
        text: `${placeText(by)} ${does} (${whose})` +
          (isCertain ? "" : ", unless a rule before it takes it, which asks for what is not known here"),
        remedy: remedyOf(by),
      }];
    }
    const [doubt] = doubts;
    if (doubt === undefined) return [];
    const more = doubts.length > 1 ? `, and ${doubts.length - 1} more` : "";
    return [{
      name,
      state: "note",
      code: `${code}-doubted`,
      text: `${
        placeText(doubt)
      }${more} may refuse it (${whose}): it asks for what is not known here; --live shows`,
    }];
  });
}

/** Whether the packet keeps its source address. */
function judgeTranslation({ filters, kind, isFromPod }: ChainFacts): ChainLink[] {
  if (filters === undefined || filters.hook === "input") return [];
  const source = filters.last?.translation;
  const judged: ChainLink[] = [];
  const isUsual = kind === "outside" ? isFromPod : !isFromPod;
  if (source === undefined) {
    const isLonely = kind === "outside" && isFromPod;
    return [...judged, {
      name: "masquerade",
      state: isLonely ? "note" : "ok",
      code: isLonely ? "not-masqueraded" : "source-kept",
      text: isLonely
        ? "it leaves with the pod's own address, which the outside has to have a way back to"
        : "it keeps its source address",
    }];
  }
  return [...judged, {
    name: "masquerade",
    state: isUsual && source.isCertain ? "ok" : "note",
    code: "masqueraded",
    text: `${placeText(source)} gives it ${sourceText(source.action)}${source.isCertain ? "" : ", or may"}`,
  }];
}

/** What a packet's source becomes. */
function sourceText({ address }: RuleAction): string {
  if (address === undefined) return "this host's address";
  const family = address.length === 4 ? 2 : 10;
  return `the source ${formatAddress(addressOf(address, family))}`;
}
