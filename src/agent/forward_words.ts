import type { Direction, Refused } from "../firewall/forward_sweep.ts";
import { type Family, FAMILY_NAMES, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { Refusal } from "../firewall/forwarded.ts";
import { placeText, remedyOf } from "../nftables/place_words.ts";
import { XFRM_DIRECTION, type XfrmPolicy } from "../rtnetlink/xfrm_policy.ts";

/** Peers that are named with their rules. */
const NAMED_PEERS = 3;

/** What is refused where the first packet of a connection is not. */
const ANSWERS = "what begins no connection, as answers do not, of ";

/** What is judged. */
export interface ForwardFacts {
  readonly refused: readonly Refused[];
  /** How many peers have a subnet of each family. */
  readonly counts: ReadonlyMap<Family, number>;
  readonly hostOf: (subnet: Prefix) => string | undefined;
}

/** What is to be known of rules that refuse what this host forwards. */
export function forwardConditions({ refused, counts, hostOf }: ForwardFacts): readonly Condition[] {
  const families = [...counts.keys()];
  const of = (family: Family, direction: Direction) =>
    refused.filter((one) => one.direction === direction && familyOf(one.subnet.address) === family);
  const cut = families.flatMap((family) =>
    (["out", "in"] as const).flatMap((direction) => {
      const met = of(family, direction);
      return met.length > 0 && met.length === counts.get(family) ? [{ family, direction, met }] : [];
    })
  );
  const isCut = (family: Family) => cut.some((one) => one.family === family);
  const rest = refused.filter(({ subnet }) => !isCut(familyOf(subnet.address)));
  const total = families.filter((family) => !isCut(family)).reduce(
    (most, family) => Math.max(most, counts.get(family)!),
    0,
  );
  return [...new Set(cut.map(({ family }) => family))].map((family): Condition => {
    const whole = cut.filter((one) => one.family === family).map(({ met }) => met);
    const where = families.length > 1 ? ` in ${FAMILY_NAMES[family]}` : "";
    return {
      code: "forwarding-dropped",
      sentence: sayOnce(whole.map(([first]) => first!), {
        both: `all packets between pods of this host and those of other hosts${where}`,
        out: `all that pods of this host send to those of other hosts${where}`,
        in: `all that comes from other hosts for pods of this one${where}`,
      }),
    };
  }).concat(rest.length === 0 ? [] : [partly(rest, total, hostOf)]);
}

function partly(refused: readonly Refused[], total: number, hostOf: ForwardFacts["hostOf"]): Condition {
  const byHost = Map.groupBy(refused, ({ subnet }) => hostOf(subnet) ?? formatPrefix(subnet));
  const named = [...byHost].slice(0, NAMED_PEERS).map(([host, all]) => {
    const subnet = formatPrefix(all[0]!.subnet);
    return `${host}: ${
      sayOnce(all.slice(0, 2), {
        both: `all packets between pods of this host and those of ${subnet}`,
        out: `all that pods of this host send to ${subnet}`,
        in: `all that comes from ${subnet} for pods of this host`,
      })
    }`;
  });
  const more = byHost.size - named.length;
  return {
    code: "peers-filtered",
    sentence: `rules of this host refuse packets between its pods and those of ${byHost.size} of ${total} ` +
      `other hosts: ${[...named, ...more > 0 ? [`and ${more} more`] : []].join("; ")}`,
  };
}

/** Where it stands, and what it says. */
function placeOf(by: Refusal["by"]): string {
  return "chain" in by ? placeText(by) : `the IPsec policy "${policyText(by)} action block"`;
}

/** What to run. */
function remedyFor(by: Refusal["by"]): string {
  return "chain" in by ? remedyOf(by) : `ip xfrm policy delete ${policyText(by)}`;
}

/** As ip-xfrm(8) writes it. */
function policyText({ direction, source, destination }: XfrmPolicy): string {
  const names = Object.entries(XFRM_DIRECTION);
  const name = names.find(([, number]) => number === direction)?.[0] ?? String(direction);
  return `src ${formatPrefix(source)} dst ${formatPrefix(destination)} dir ${name}`;
}

/** Says what is refused, and by what: what one rule refuses both ways in one clause. */
function sayOnce(refused: readonly Refused[], words: Readonly<Record<Direction | "both", string>>): string {
  const byRule = Map.groupBy(
    refused,
    ({ refusal: { by, does, isOfAnswers } }) => `${placeOf(by)} ${does} ${isOfAnswers}`,
  );
  return [...byRule.values()].map((all) => {
    const [{ refusal: { by, does, isOfAnswers }, direction }] = all as [Refused];
    const isBoth = all.some((one) => one.direction !== direction);
    const what = words[isBoth ? "both" : direction];
    const verb = does === "leads elsewhere" ? "leads to another address" : does;
    return `${placeOf(by)} ${verb} ${isOfAnswers ? ANSWERS : ""}${what}: end what adds it (${remedyFor(by)})`;
  }).join("; ");
}
