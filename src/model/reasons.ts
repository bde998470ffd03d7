import { BLOCKING_OF_CLOUD, DEGRADED_OF_CLOUD } from "./cloud_reasons.ts";
import { BLOCKING_OF_PATH, DEGRADED_OF_PATH, INFO_OF_PATH } from "./path_reasons.ts";
import { DEGRADED_OF_PROCESS } from "./process_reasons.ts";
import { BLOCKING_OF_TRUTH, DEGRADED_OF_TRUTH } from "./truth_reasons.ts";
import type { Reason, ReasonWords, Severity } from "./reason.ts";

const BLOCKING = {
  "agent-starting": {
    cause: "The agent has not taken its place in the overlay yet.",
    remedy: "Wait some seconds; if it stays, read the other reasons and the log.",
    isExpected: true,
  },
  "agent-ended": {
    cause: "No agent runs on this host: the last one was ended, or ended with an error.",
    remedy: "Start the agent; links, routes and leases are still in place.",
  },
  "other-agent": {
    cause: "Another agent on this host already has the subnet file, network or VTEP that this one asks for.",
    remedy: "End one of the two, or give this one another subnet file, VNI and network.",
  },
  "network-config-missing": {
    cause: "The network configuration can't be read, or is wrong.",
    remedy: "Write or correct net-conf.json where the sentence says; the agent reads it again by itself.",
  },
  "network-refused": {
    cause: "The configuration names another network than the one that this host's lease and pods are of.",
    remedy: "Correct the network, or drain the host and clean up before it gets another one.",
  },
  "underlay-missing": {
    cause: "No link of this host carries the overlay.",
    remedy: "Give the host its address or route again, or name another link with -iface.",
  },
  "lease-missing": {
    cause: "This host has no lease, so that its pods have no addresses.",
    remedy:
      "Do what the sentence says: the registry is away or full, refuses this host, or lacks this node's podCIDR.",
  },
  "registry-silent": {
    cause: "The registry has not told yet who is in the overlay.",
    remedy:
      "Check that the registry runs and that this host reaches it; until it answers nothing is removed.",
  },
  "pass-missing": {
    cause: "No pass was made yet: the kernel's state was not compared with what is wanted.",
    remedy: "Wait some seconds; if it stays, read the log.",
    isExpected: true,
  },
  "lease-gone": {
    cause:
      "The registry has lost this host's lease, and does not take it again: other hosts have no way to its pods.",
    remedy: "Do what the sentence says, as giving back the right to write or making room in the registry.",
  },
  "lease-misplaced": {
    cause:
      "This host has another underlay address than its lease says, so that others still send to the old one.",
    remedy:
      "Check that the registry runs and that this host reaches it; the agent then writes the new address by itself.",
  },
  "lease-contested": {
    cause: "Another agent writes this host's lease, again and again.",
    remedy: "Find the host that has this one's name, or a copy of its disk, and change one of the two.",
  },
  "place-contested": {
    cause: "Another host claims the address, subnet or MAC of this host.",
    remedy: "Change one of the two; if the other is gone, remove its lease.",
  },
  "links-missing": {
    cause: "The links of the overlay are not as they must be, so that packets can't be forwarded.",
    remedy:
      "Read what changes-failed says beside this; another program may hold a link, its name or its VNI.",
  },
  ...BLOCKING_OF_CLOUD,
  ...BLOCKING_OF_PATH,
  "link-fought": {
    cause:
      "Another program changes a link of the overlay, or all that hangs on it, each time that it is put back.",
    remedy:
      "Find what does that (`ip monitor` shows it as it happens), and end it or have it leave the link alone.",
  },
  "changes-failed": {
    cause: "The kernel refused changes of the last pass.",
    remedy: "Mend what the sentence gives as the kernel's reason; each pass tries again.",
  },
  "stage-failed": {
    cause: "A step of the last pass ended with an unexpected error: a fault of the agent itself.",
    remedy: "Report it with the log; each pass tries again.",
  },
  "prerequisite-missing": {
    cause: "The kernel or its settings lack what the overlay needs.",
    remedy: "Load the module that the sentence names on the host, or choose another backend.",
  },
  "data-path-unproved": {
    cause: "Since this host booted no packet has come back over the overlay.",
    remedy:
      "Wait 10 s: then the host is ready, and data-path-unanswered says who was asked if nobody answered.",
  },
  "masquerade-missing": {
    cause: "Rules could not be made, on a host that is to masquerade the traffic of pods.",
    remedy: "Mend what the sentence gives as the reason; until then pods may not reach the outside.",
  },
  "pod-files-missing": {
    cause: "The subnet file, the plugin or the conflist is not in place, so that no pod can be started.",
    remedy:
      "Mend the file or folder that the sentence names (full, read-only, not mounted), or install the plugin that it names.",
  },
  "host-cut-off": {
    cause: "This host reaches none of the other hosts, in all families or in one.",
    remedy:
      "Do what the sentence says: give the host a way to the others, delete a route that stands in it, or give all hosts one backend.",
  },

  ...BLOCKING_OF_TRUTH,
  "own-subnet-taken": {
    cause: "A route that is not Loden's takes the packets for this host's own pods.",
    remedy: "Delete the route, and end what adds it.",
  },
  "lease-unusable": {
    cause: "The lease of this host covers an address that the host needs for itself.",
    remedy: "Give the host another subnet, or move what has the address.",
  },
  "bridge-replaced": {
    cause: "The link with the name of the pods' bridge is no bridge.",
    remedy: "Remove the link, or name another bridge in the conflist.",
  },
  "bridge-refused": {
    cause: "The kernel refuses to give the pods' bridge the gateway address of this host's subnet.",
    remedy: "Run the commands that the sentence gives.",
  },
  "bridge-robbed": {
    cause: "Another program takes the gateway address off the pods' bridge each time that it is put back.",
    remedy: "End that program, then run the command that the sentence gives.",
  },
  "bridge-down": {
    cause: "The bridge that pods are on is down.",
    remedy: "End what sets it down, then run the commands that the sentence gives.",
  },
  "bridge-address-first": {
    cause:
      "Another address comes before the gateway on the pods' bridge: the plugin `bridge` refuses each new pod.",
    remedy: "Delete the address; add it again behind the gateway if it is needed.",
  },
  "bridge-address-shadows": {
    cause: "The pods' bridge has an address of another host's subnet: pods there are not reached from here.",
    remedy: "Run the command that the sentence gives: it deletes the address.",
  },
} satisfies Record<string, ReasonWords>;

const DEGRADED = {
  ...DEGRADED_OF_CLOUD,
  "former-state-stays": {
    cause: "The kernel refused to remove what an earlier configuration or version made.",
    remedy: "Mend what the sentence gives as the kernel's reason; each pass tries again.",
  },
  ...DEGRADED_OF_PROCESS,
  ...DEGRADED_OF_PATH,
  "family-missing": {
    cause: "One of the two families can't be used as the configuration asks; the other goes on without it.",
    remedy:
      "Give the underlay's link an address of that family, or a larger MTU; while the sentence says that it is being made, wait.",
  },
  "underlay-doubtful": {
    cause: "Another address would carry the overlay by the flags, or the one in use has a drawback.",
    remedy:
      "Do what the sentence says, or let peers answer at the address that it names; until then nothing changes.",
  },
  "state-fought": {
    cause:
      "Another program changes routes, neighbours, FDB entries, settings or files of the overlay each time that they are put back.",
    remedy:
      "Find what does that (`ip monitor` shows it as it happens), and end it or have it leave these alone.",
  },
  "lease-not-renewed": {
    cause: "The lease can't be renewed; it is kept as long as the registry allows.",
    remedy:
      "Check that the registry runs and that this host reaches it before the lease ends, a day after its last renewal.",
  },
  "registry-mixed": {
    cause:
      "The registry answers by turns as two clusters: what hosts write into one is not seen in the other.",
    remedy:
      "Look at -etcd-endpoints, and at the name or the balancer that it names: all must lead to members of one cluster.",
  },
  "registry-not-followed": {
    cause: "The registry does not answer; what was known of the other hosts stays in use.",
    remedy:
      "Check that the registry runs and that this host reaches it; hosts that join meanwhile are not seen.",
  },
  "certificate-unusable": {
    cause:
      "The files of the certificates that the registry is asked with were replaced by what can't be used, or have a part that can't.",
    remedy:
      "Mend the file that the sentence names; it is read again by itself. Until then what was read before stays in use, as long as the registry takes it.",
  },
  "prerequisite-degraded": {
    cause: "A setting of the kernel, or a module that it lacks, keeps a part of the overlay from working.",
    remedy:
      "Run the command of the sentence on the host; a pod may set it with the host's /proc/sys/net mounted at /host/proc/sys/net.",
  },
  "data-path-unanswered": {
    cause: "Hosts that were asked over the overlay have not answered.",
    remedy:
      "Allow the overlay's UDP port between the hosts, in both directions; see whether the hosts named are up.",
  },
  ...DEGRADED_OF_TRUTH,
  "checksum-not-set": {
    cause: "Checksum offload of a VXLAN link is not as chosen: the kernel refuses it.",
    remedy: "Mend what the sentence gives as the reason; each pass tries again.",
  },
  "rules-missing": {
    cause: "Rules of the packet filter that this host may need could not be made.",
    remedy: "Mend what the sentence gives as the reason; the agent tries again by itself.",
  },
  "rules-overruled": {
    cause: "Rules of another program drop or change packets of pods, or take ours away.",
    remedy: "Change the rules that the sentence names.",
  },
  "conflist-shadowed": {
    cause: "Something keeps the container runtime from using the conflist.",
    remedy: "Remove or rename what the sentence names.",
  },
  "contester-silent": {
    cause: "Another host claims what is this host's, and shows no sign of life.",
    remedy: "Remove its lease if it is gone.",
  },
  "own-subnet-partly-taken": {
    cause: "A route that is not Loden's takes a part of the packets for this host's own pods.",
    remedy: "Delete the route, and end what adds it.",
  },
  "bridge-unreadable": {
    cause: "The pods' bridge could not be looked at.",
    remedy: "Mend what the sentence gives as the reason; each pass looks again.",
  },
  "bridge-address-old": {
    cause:
      "The pods' bridge has the gateway of a subnet that this host has no more, and another program puts it there.",
    remedy: "End what puts it there, then run the command that the sentence gives.",
  },
  "pods-of-old-subnet": {
    cause: "Pods have addresses of a subnet that this host has no more: other hosts don't reach them.",
    remedy: "Re-create these pods.",
  },
  "pods-unreadable": {
    cause: "It can't be seen which pods have addresses of earlier subnets, or have vanished.",
    remedy: "Make the folder that the sentence names readable for the agent; mount it if the agent is a pod.",
  },
  "pods-with-large-mtu": {
    cause: "Pods were started with a larger MTU than the overlay carries now.",
    remedy: "Re-create these pods.",
  },
  "network-config-changed": {
    cause: "The network configuration is another one than the agent was started with, or is no longer right.",
    remedy: "Restart the agent to apply it, or correct it.",
  },
  "annotation-wrong": {
    cause: "An annotation of this host's node does not say what it must, and is not heeded.",
    remedy: "Correct the annotation that the sentence names, or remove it.",
  },
  "node-condition-not-cleared": {
    cause:
      "The node's condition NetworkUnavailable can't be cleared: the scheduler may give the node no pods.",
    remedy: "Allow the agent to get nodes and to patch nodes/status, as the manifests do.",
  },
  "claim-doubtful": {
    cause:
      "Another agent on this host would not see this one, or a process that is no agent has an agent's name.",
    remedy: "Mend the file, or end the process, that the sentence names; run one agent only.",
  },
  "ways-unreadable": {
    cause: "The kernel does not say by which ways it reaches the other hosts; what was known stays in use.",
    remedy: "Mend what the sentence gives as the reason; it is asked again each second.",
  },
  "underlay-address-shared": {
    cause: "Two leases publish one underlay address: one of the two hosts gets what is meant for the other.",
    remedy: "Remove the lease of the host that is gone; if both live, give one of them another address.",
  },
  "other-backend": {
    cause: "Hosts have another backend, and are not reached from here.",
    remedy: "Give all hosts one backend, and restart their agents.",
  },
  "peers-remembered": {
    cause:
      "The peers are those that were known before the agent started; the registry has not said more yet.",
    remedy: "Wait some seconds; if it stays, check that the registry runs and that this host reaches it.",
  },
} satisfies Record<string, ReasonWords>;

const INFO = {
  ...INFO_OF_PATH,
  "network-in-use": {
    cause:
      "Addresses that this host reaches by other ways are in the cluster network: no subnet may cover them.",
    remedy: "Nothing, while there are subnets enough; else move what is there, or choose another network.",
  },
  "vanished-pods": {
    cause: "Pods that have vanished, without having been detached, still hold addresses.",
    remedy: "Run `loden cleanup --stale`, or start the agent with -cni-release-stale.",
  },
} satisfies Record<string, ReasonWords>;

/**
 * All that can be wrong with a host, by code, in the order in which one is the cause of the others. A code says what to
 * do; the sentence of a condition says what it is about here.
 */
export const REASONS = {
  ...under("blocking", BLOCKING),
  ...under("degraded", DEGRADED),
  ...under("info", INFO),
};

function under<Code extends string>(
  severity: Severity,
  reasons: Readonly<Record<Code, ReasonWords>>,
): Readonly<Record<Code, Reason>> {
  const entries = Object.entries<ReasonWords>(reasons).map(([code, words]) => [code, { severity, ...words }]);
  return Object.fromEntries(entries);
}
