import type { RawRule } from "./raw_rule.ts";
import { text, u32be } from "./rule_words.ts";

/** `NFPROTO_INET` and `NFPROTO_BRIDGE`: rules of both families. */
const BOTH: readonly number[] = [1, 7];
const NFTA_NAT_FAMILY = 2;
/** Expressions, matches and targets that can't be without the connections of packets. */
const TRACKING: ReadonlySet<string> = new Set([
  ...["ct", "nat", "masq", "redir"],
  ...["match conntrack", "match state", "match connmark", "match connbytes", "match connlimit"],
  ...["target CT", "target CONNMARK", "target SNAT", "target DNAT", "target MASQUERADE", "target REDIRECT"],
]);

/**
 * Whether the kernel knows of connections in a family, as one rule at least asks for that: chains of translation are not called
 * where it does not (`nf_ct_netns_get()` of net/netfilter/nf_conntrack_proto.c). Others may ask for it too, as IPVS does.
 */
export function isTrackedBy(rules: readonly RawRule[], family: number): boolean {
  return rules.some((rule) =>
    (rule.family === family || BOTH.includes(rule.family)) &&
    rule.expressions.some(({ name, attributes }) =>
      TRACKING.has(name === "match" || name === "target" ? `${name} ${text(attributes.get(1))}` : name) &&
      // A translation is of one family, whatever its table is of.
      (name !== "nat" || u32be(attributes.get(NFTA_NAT_FAMILY)) === family)
    )
  );
}
