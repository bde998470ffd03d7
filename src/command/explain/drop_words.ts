import type { DroppedPacket } from "../../linux/drop_trace.ts";

/** What a reason of the kernel's means to a person. */
export interface DropWords {
  /** Names the finding; never renamed. */
  readonly code: string;
  readonly text: string;
  readonly remedy: string;
  /** Codes of links of the chain that speak of the same. */
  readonly alike: readonly string[];
}

const REFUSED = ["packet-refused", "outer-packet-refused", "packet-doubted", "outer-packet-doubted"];
const ROUTES = [
  "route-refuses",
  "rule-refuses",
  "route-missing",
  "route-default",
  "link-down",
  "vtep-missing",
];
const NEIGHBOURS = [
  "neighbour-missing",
  "neighbour-failed",
  "pod-silent",
  "pod-gateway-unanswered",
  "pod-gateway-elsewhere",
  "underlay-neighbour-failed",
  // A host that takes nothing from a pod does not answer its questions for the gateway either.
  "rp-filter",
  "bridge-down",
  "gateway-missing",
  "port-detached",
  "port-down",
  "port-blocked",
  "pod-link-down",
  "pod-neighbour-elsewhere",
  "pod-fdb-elsewhere",
];
const NO_FORWARDING = ["host-forwards-nothing", "bridge-forwards-nothing", "link-forwards-nothing"];

const words = (code: string, text: string, remedy: string, alike: readonly string[] = []): DropWords => ({
  code,
  text,
  remedy,
  alike,
});

const QUEUE = words(
  "dropped-by-queue",
  "the queue of a link had no room for it",
  "tc -s qdisc show",
  // One that has no carrier has no queue.
  ["link-down", "link-protodown", "link-no-carrier", "queue-blackhole"],
);
const NEIGHBOUR = words(
  "dropped-neighbour",
  "who takes it next did not answer",
  "ip neigh show; look at that host, and at what is between",
  NEIGHBOURS,
);
const ROUTE = words("dropped-no-route", "there is no route for it", "ip route get; ip rule, ip -6 rule", [
  ...ROUTES,
  "underlay-unreachable",
]);

/** The kernel's reasons (include/net/dropreason-core.h, include/uapi/linux/…), those that can hit a packet of the overlay. */
const WORDS: Readonly<Record<string, DropWords>> = {
  NETFILTER_DROP: words(
    "dropped-by-rule",
    "a rule of the packet filter drops it",
    "nft list ruleset",
    REFUSED,
  ),
  IP_RPFILTER: words(
    "dropped-by-rp-filter",
    "the link that it comes in by is strict about sources",
    "sysctl -w net.ipv4.conf.LINK.rp_filter=2, and of all if that is 1",
    ["rp-filter"],
  ),
  IP_INADDRERRORS: words(
    "dropped-not-forwarded",
    "the link that it comes in by forwards nothing",
    "sysctl net.ipv4.ip_forward net.ipv4.conf.LINK.forwarding",
    NO_FORWARDING,
  ),
  IP_INNOROUTES: ROUTE,
  IP_OUTNOROUTES: ROUTE,
  NEIGH_FAILED: NEIGHBOUR,
  NEIGH_DEAD: NEIGHBOUR,
  NEIGH_CREATEFAIL: words(
    "dropped-neighbours-full",
    "the table of neighbours is full",
    "raise net.ipv4.neigh.default.gc_thresh3 (net.ipv6 likewise)",
  ),
  NEIGH_QUEUEFULL: words(
    "dropped-neighbour-queue",
    "too many packets wait for one neighbour, which does not answer",
    "ip neigh show",
    NEIGHBOURS,
  ),
  QUEUE_PURGE: words(
    "dropped-neighbour",
    "what waited for a neighbour was given up, as its entry or its link went",
    "ip neigh show; ip link show",
    [...NEIGHBOURS, "link-down", "link-protodown"],
  ),
  PKT_TOO_BIG: words(
    "dropped-too-big",
    "it is larger than the link that it leaves by takes, and may not be sent in pieces",
    "ip link show; the MTU of the overlay has to fit",
    ["mtu-pods", "mtu-underlay"],
  ),
  NO_TX_TARGET: words(
    "dropped-no-fdb",
    "the VTEP has no FDB entry for its next hop's MAC",
    "bridge fdb show",
    [
      "fdb-missing",
    ],
  ),
  VXLAN_VNI_NOT_FOUND: words(
    "dropped-other-vni",
    "it came in with a VNI that no VTEP here has",
    "all hosts need one VNI: ip -d link show type vxlan",
  ),
  VXLAN_INVALID_HDR: words(
    "dropped-vxlan-header",
    "it came in with a header that is no VXLAN's, or has the group policy bit",
    "look who sends to the port: another overlay, or GBP on one side alone",
  ),
  VXLAN_ENTRY_EXISTS: words(
    "dropped-vxlan-moved",
    "its MAC is a permanent entry of another host",
    "two hosts have one MAC: bridge fdb show",
  ),
  TUNNEL_TXINFO: words("dropped-tunnel", "it has no tunnel information", "ip -d link show type vxlan"),
  LOCAL_MAC: words("dropped-own-mac", "its MAC is this host's own", "two hosts have one MAC"),
  MAC_INVALID_SOURCE: words("dropped-own-mac", "its source is this VTEP's own MAC", "two hosts have one MAC"),
  XFRM_POLICY: words("dropped-by-ipsec", "an IPsec policy blocks it", "ip xfrm policy"),
  SECURITY_HOOK: words(
    "dropped-by-lsm",
    "a security module forbids it",
    "look for SELinux's or AppArmor's log",
  ),
  TC_INGRESS: words(
    "dropped-by-tc",
    "a filter of tc drops it as it comes in",
    "tc filter show dev LINK ingress",
  ),
  TC_EGRESS: words("dropped-by-tc", "a filter of tc drops it as it leaves", "tc filter show dev LINK egress"),
  XDP: words("dropped-by-xdp", "a program of XDP drops it", "ip link show; bpftool net"),
  BPF_CGROUP_EGRESS: words("dropped-by-bpf", "a BPF program of its cgroup drops it", "bpftool cgroup tree"),
  QDISC_DROP: QUEUE,
  QDISC_OVERLIMIT: QUEUE,
  QDISC_CONGESTED: QUEUE,
  FULL_RING: QUEUE,
  CPU_BACKLOG: words(
    "dropped-by-queue",
    "a processor had too much to do",
    "raise net.core.netdev_max_backlog",
  ),
  DEV_READY: words("dropped-link-down", "the link is not up", "ip link show", [
    "link-down",
    "link-protodown",
  ]),
  IPV6DISABLED: words("dropped-no-ipv6", "the link has no IPv6", "sysctl net.ipv6.conf.LINK.disable_ipv6"),
  IP_LOCAL_SOURCE: words("dropped-own-source", "its source is this host's own address", "ip address show"),
  IP_INVALID_SOURCE: words("dropped-source", "its source can't be one", "ip address show"),
  UDP_CSUM: words("dropped-checksum", "its checksum is wrong", "ethtool -K LINK tx off; see 'loden status'"),
  SKB_CSUM: words("dropped-checksum", "its checksum is wrong", "ethtool -K LINK tx off; see 'loden status'"),
  RECURSION_LIMIT: words("dropped-loop", "it goes round and round through links", "ip route get"),
};

/** Reasons that mean something else in other places of the kernel, by how the place begins that they are known of. */
const PLACES: Readonly<Record<string, string>> = { QUEUE_PURGE: "neigh_", NO_TX_TARGET: "vxlan_" };

/** Reasons that say that a packet has arrived: nobody listens where it was sent. */
export const ARRIVED: ReadonlySet<string> = new Set(["NO_SOCKET"]);
/** Reasons that are told of all the time, on a host that is well. */
export const USUAL: readonly string[] = ["OTHERHOST", "UNICAST_IN_L2_MULTICAST", "SOCKET_FILTER"];

/** What a drop means. */
export function dropWords({ reason, place }: Pick<DroppedPacket, "reason" | "place">): DropWords {
  const known = WORDS[reason];
  const begin = PLACES[reason];
  if (known !== undefined && (begin === undefined || place.startsWith(begin))) return known;
  // What a route or rule refuses has no reason of its own.
  if (place === "ip_error" || place === "ip6_pkt_drop" || place === "dst_discard") {
    return words(
      "dropped-by-route",
      "a route or a routing rule refuses it",
      "ip route get; ip rule, ip -6 rule",
      [
        ...ROUTES,
        "underlay-unreachable",
      ],
    );
  }
  const shown = reason === "" || reason === "NOT_SPECIFIED"
    ? "the kernel says no reason"
    : `the kernel says ${reason}`;
  return words(
    "dropped",
    `${shown}, in ${place || "an unknown place"}`,
    "look for that function in the kernel's sources",
  );
}
