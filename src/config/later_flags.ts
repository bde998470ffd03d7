import { type Flag, FLAG_GROUPS, type FlagValue } from "./flag.ts";

/** What a flag is for, and what a person who asks for it is told. */
type Purpose = Readonly<Record<"help" | "later", string>>;

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
  return { name, kind, default: initial, group: FLAG_GROUPS[5], ...purpose };
}

/** The flags of flannel that are accepted, so that its manifests start Loden, and not heeded yet. */
export const LATER_FLAGS = [
  later("vmodule", "string", "", KLOG),
  later("log_backtrace_at", "string", "", KLOG),
] as const;
