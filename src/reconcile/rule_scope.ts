import { type Address, isOverlapping, type Prefix, prefixContains } from "../model/address.ts";
import { RT_TABLE_MAIN } from "../rtnetlink/route_header.ts";
import { FR_ACT_TO_TBL, type ObservedRule } from "../rtnetlink/rule.ts";

/** Of more rules than these all are taken to be for packets of the overlay. */
const MOST_RULES = 200;
/** The priorities of the kernel's own rules, and the table that each leads into. */
const KERNELS: ReadonlyMap<number, number> = new Map([[0, 255], [32_766, RT_TABLE_MAIN], [32_767, 253]]);

/** Which packets are the overlay's. */
export interface OverlayScope {
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
  /** Links that packets of the overlay come in by, by name. */
  readonly links: readonly string[];
  /** Where this host and the others are in the underlay. */
  readonly underlay: readonly Address[];
}

/**
 * Those of a host's rules that could lead packets of the overlay elsewhere than into the main table, where Loden's routes
 * are.
 */
export function concerning(rules: readonly ObservedRule[], scope: OverlayScope): readonly ObservedRule[] {
  const others = rules.filter((rule) => !isHarmless(rule));
  return others.length > MOST_RULES ? others : others.filter((rule) => isConcerning(rule, scope));
}

/** Whether there is a rule by which all packets come to the main table. */
export function leadsToMain(rules: readonly ObservedRule[]): boolean {
  return rules.some((rule) => rule.table === RT_TABLE_MAIN && isForAll(rule));
}

/** Into main any rule may lead; and what is in a VRF is none of the overlay's. */
function isHarmless(rule: ObservedRule): boolean {
  const { action, table, priority, isOfVrf } = rule;
  if (isOfVrf) return true;
  if (action !== FR_ACT_TO_TBL) return false;
  return table === RT_TABLE_MAIN || isForAll(rule) && KERNELS.get(priority) === table;
}

function isForAll(rule: ObservedRule): boolean {
  const { source, destination, inputLink, outputLink, mark, markMask, suppressedLength } = rule;
  return !rule.isInverted && !rule.isNarrower && rule.action === FR_ACT_TO_TBL &&
    [source, destination, inputLink, outputLink, mark, markMask, suppressedLength].every((one) =>
      one === undefined
    );
}

function isConcerning(rule: ObservedRule, { networks, links, underlay }: OverlayScope): boolean {
  const { source, destination, inputLink, outputLink, mark = 0, markMask = 0xffff_ffff } = rule;
  if (rule.isInverted) return true;
  if ((mark & markMask) !== 0 || outputLink !== undefined) return false;
  if (inputLink !== undefined && inputLink !== "lo" && !links.includes(inputLink)) return false;
  const isMet = (prefix: Prefix | undefined) =>
    prefix === undefined ||
    networks.some((network) =>
      typeof network.address === typeof prefix.address && isOverlapping(network, prefix)
    ) ||
    underlay.some((address) => prefixContains(prefix, address));
  return isMet(source) && isMet(destination);
}
