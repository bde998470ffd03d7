import { type Flag, FLAG_GROUPS, type FlagValue } from "./flag.ts";

/** What a flag is for, and what a person who asks for it is told. */
type Purpose = Readonly<Record<"help" | "later", string>>;

const ETCD: Purpose = {
  help: "etcd registry",
  later: "has no effect: the etcd registry comes in a later version",
};
const KUBE: Purpose = {
  help: "Kubernetes registry",
  later: "has no effect: the Kubernetes registry comes in a later version",
};
const KUBE_REGISTRY: Purpose = {
  ...KUBE,
  later: `${KUBE.later}; leases are kept in -local-registry`,
};
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
  later("etcd-endpoints", "string", "http://127.0.0.1:4001,http://127.0.0.1:2379", ETCD),
  later("etcd-prefix", "string", "/coreos.com/network", ETCD),
  later("etcd-keyfile", "string", "", ETCD),
  later("etcd-certfile", "string", "", ETCD),
  later("etcd-cafile", "string", "", ETCD),
  later("etcd-username", "string", "", ETCD),
  later("etcd-password", "string", "", ETCD),
  later("kube-subnet-mgr", "boolean", false, KUBE_REGISTRY),
  later("kube-api-url", "string", "", KUBE),
  later("kube-annotation-prefix", "string", "flannel.alpha.coreos.com", KUBE),
  later("kubeconfig-file", "string", "", KUBE),
  later("set-node-network-unavailable", "boolean", true, KUBE),
  later("ip-masq-fully-random-disable", "boolean", false, RULES),
  later("iptables-resync", "integer", 5, RULES),
  later("iptables-forward-rules", "boolean", true, RULES),
  later("ip-blackhole-route", "boolean", false, BLACKHOLE),
  later("vmodule", "string", "", KLOG),
  later("log_backtrace_at", "string", "", KLOG),
] as const;
