import { type Flag, FLAG_GROUPS, type FlagValue } from "./flag.ts";

/** What a flag is for, and what a person who asks for it is told. */
type Purpose = Readonly<Record<"help" | "later", string>>;

const RULES: Purpose = {
  help: "masquerade and forward rules",
  later: "has no effect: masquerade and forward rules come in a later version",
};
const BLACKHOLE: Purpose = {
  help: "blackhole route of the own subnet",
  later: "has no effect: the blackhole route of the own subnet comes in a later version",
};
const KLOG: Purpose = {
  help: "flannel's log library",
  later: "has no effect: it belongs to flannel's log library",
};

function later<const N extends string, const K extends Flag["kind"]>(
  name: N,
  kind: K,
  initial: FlagValue,
  purpose: Purpose,
): Flag & { readonly name: N; readonly kind: K } {
  return { name, kind, default: initial, group: FLAG_GROUPS[4], ...purpose };
}

/** The flags of flannel that are accepted, so that its manifests start Loden, and not heeded yet. */
export const LATER_FLAGS = [
  later("ip-masq-fully-random-disable", "boolean", false, RULES),
  later("iptables-resync", "integer", 5, RULES),
  later("iptables-forward-rules", "boolean", true, RULES),
  later("ip-blackhole-route", "boolean", false, BLACKHOLE),
  later("vmodule", "string", "", KLOG),
  later("log_backtrace_at", "string", "", KLOG),
] as const;
