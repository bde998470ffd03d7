import { assert, assertEquals } from "@std/assert";
import { causeOf, explanationJson, explanationLines } from "../../src/command/explain/explanation.ts";
import type { RegistryWord } from "../../src/command/explain/facts.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ExplainHost, registrySays, verdictOf } from "../command/explain/explain_host.ts";

/** A prepared situation. */
interface Situation {
  /** What is so. */
  readonly when: string;
  /** Lines of a shell that make it so. */
  readonly made?: string;
  readonly to?: string;
  readonly from?: string;
  readonly registry?: RegistryWord;
  readonly env?: string;
  /** The code of the link that breaks the chain, or `ok` and the codes of notes. */
  readonly says: string;
  /** What its sentence has to name. */
  readonly names?: string;
}

const POD = "10.244.2.5";
const ENV_HOST_GW =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1430\nFLANNEL_BACKEND=host-gw\n";

/** Rules as kube-proxy makes them in its nftables mode, for a Service with one port. */
function kubeProxy(family: 4 | 6, service: string): string {
  const [ip, type] = family === 4 ? ["ip", "ipv4_addr"] : ["ip6", "ipv6_addr"];
  return `nft -f - <<'END'
table ${ip} kube-proxy {
  set cluster-ips { type ${type}; elements = { ${service} }; }
  chain http { accept; }
  map service-ips { type ${type} . inet_proto . inet_service : verdict; elements = { ${service} . tcp . 80 : goto http }; }
  chain services { ${ip} daddr . meta l4proto . th dport vmap @service-ips; }
  chain nat-prerouting { type nat hook prerouting priority -100; jump services; }
}
END`;
}

const SITUATIONS: readonly Situation[] = [
  { when: "all is well", says: "ok" },
  { when: "all is well, in IPv6", to: "fd00:10:244:2::5", says: "ok" },
  { when: "all is well, from this host", from: "10.244.1.0", says: "ok" },
  { when: "no agent answers", registry: { kind: "silent", reason: "no agent answers" }, says: "ok" },
  {
    when: "nobody holds the address",
    to: "10.244.9.5",
    registry: { kind: "said", lease: undefined },
    says: "no-lease",
    names: "10.244.9.5",
  },
  {
    when: "the peer is said to be partly led elsewhere, and this address is not",
    registry: registrySays(POD, { leftOut: "a route takes a part of it" }),
    says: "ok peer-noted",
  },
  {
    when: "the peer is left out",
    made: "ip route delete 10.244.2.0/24",
    registry: registrySays(POD, { leftOut: "its MAC is another host's" }),
    says: "peer-left-out",
    names: "its MAC is another host's",
  },
  {
    when: "the host forwards nothing",
    made: "echo 0 >/proc/sys/net/ipv4/ip_forward",
    says: "host-forwards-nothing",
    names: "net.ipv4.ip_forward",
  },
  { when: "the bridge is down", made: "ip link set cni0 down", says: "bridge-down", names: "cni0" },
  {
    when: "the bridge has lost its address",
    made: "ip address flush dev cni0",
    says: "gateway-missing",
    names: "cni0",
  },
  {
    when: "the bridge forwards nothing",
    made: "echo 0 >/proc/sys/net/ipv4/conf/cni0/forwarding",
    says: "bridge-forwards-nothing",
    names: "net.ipv4.conf.cni0.forwarding",
  },
  {
    when: "the VTEP forwards nothing",
    made: "echo 0 >/proc/sys/net/ipv4/conf/flannel.1/forwarding",
    says: "link-forwards-nothing",
    names: "net.ipv4.conf.flannel.1.forwarding",
  },
  {
    when: "a rule leads into another table",
    made:
      "ip route add 10.244.0.0/16 via 192.0.2.254 table 7; ip rule add to 10.244.2.0/24 lookup 7 priority 50",
    says: "rule-elsewhere",
    names: "50: from all to 10.244.2.0/24 lookup 7",
  },
  {
    when: "a rule refuses it",
    made: "ip rule add to 10.244.2.0/24 unreachable priority 60",
    says: "rule-refuses",
    names: "60: from all to 10.244.2.0/24 unreachable",
  },
  {
    when: "a rule refuses its protocol, beside a link that is strict about sources",
    made:
      "ip rule add ipproto udp to 10.244.2.5 blackhole priority 93; echo 1 >/proc/sys/net/ipv4/conf/cni0/rp_filter",
    says: "rule-refuses",
    names: "93: from all to 10.244.2.5/32 ipproto udp blackhole",
  },
  {
    when: "a rule refuses its port",
    made: "ip rule add ipproto udp dport 33000-34000 unreachable priority 93",
    says: "rule-refuses",
    names: "ipproto udp dport 33000-34000 unreachable",
  },
  {
    when: "a rule refuses the user whose packets are forwarded",
    made: "ip rule add uidrange 0-0 to 10.244.2.5 prohibit priority 93",
    says: "rule-refuses",
    names: "uidrange 0-0 prohibit",
  },
  {
    when: "rules refuse another protocol, port and user",
    made:
      "ip rule add ipproto tcp blackhole priority 93; ip rule add ipproto udp dport 53 blackhole priority 94; ip rule add uidrange 1000-2000 blackhole priority 95",
    says: "ok",
  },
  {
    when: "a rule refuses its protocol, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 rule add ipproto udp dport 33434 blackhole priority 93",
    says: "rule-refuses",
    names: "dport 33434",
  },
  {
    when: "a rule refuses VXLAN packets",
    made: "ip rule add ipproto udp dport 8472 blackhole priority 93",
    says: "underlay-unreachable",
    names: "93: from all ipproto udp dport 8472 blackhole",
  },
  {
    when: "the bridge takes less than pods send",
    made: "ip link set cni0 mtu 600",
    says: "ok mtu-bridge",
  },
  {
    when: "legacy iptables has a rule, which is not read",
    made: "iptables-legacy -A FORWARD -i eth7 -j DROP",
    says: "ok rules-legacy",
  },
  {
    when: "legacy iptables has a policy that drops",
    made: "iptables-legacy -P FORWARD DROP",
    says: "ok rules-legacy",
  },
  {
    when: "legacy iptables has tables without rules",
    made: "iptables-legacy -L; iptables-legacy -t nat -L; ip6tables-legacy -A FORWARD -j DROP",
    says: "ok",
  },
  {
    when: "a rule of others is for other packets",
    made:
      "ip rule add fwmark 0x80000/0xff0000 lookup 52 priority 5210; ip rule add to 10.9.0.0/16 lookup 52 priority 5270",
    says: "ok",
  },
  {
    when: "a VPN has a part of the subnet",
    made: "ip route add 10.244.2.0/25 via 192.0.2.254",
    says: "route-foreign",
    names: "10.244.2.0/25 via 192.0.2.254 dev eth0",
  },
  {
    when: "a route of others stands in front",
    made: "ip route add 10.244.2.0/24 dev eth0 metric 1",
    says: "route-foreign",
    names: "10.244.2.0/24 dev eth0",
  },
  {
    when: "a route refuses it",
    made: "ip route add unreachable 10.244.2.0/24 metric 1",
    says: "route-refuses",
    names: "unreachable 10.244.2.0/24",
  },
  {
    when: "a blackhole takes it",
    made: "ip route add blackhole 10.244.2.5",
    says: "route-refuses",
    names: "blackhole 10.244.2.5/32",
  },
  {
    when: "the route is gone, and the default route takes it",
    made: "ip route delete 10.244.2.0/24",
    says: "route-default",
    names: "default via 192.0.2.254",
  },
  {
    when: "there is no route at all",
    made: "ip route delete 10.244.2.0/24; ip route delete default",
    says: "route-missing",
    names: POD,
  },
  { when: "the VTEP is down", made: "ip link set flannel.1 down", says: "link-down", names: "flannel.1" },
  {
    when: "the VTEP is set protodown",
    made: "ip link set flannel.1 protodown on",
    says: "link-protodown",
    names: "flannel.1",
  },
  { when: "there is no VTEP", made: "ip link delete flannel.1", says: "vtep-missing", names: "no VTEP" },
  {
    when: "the neighbour is gone",
    made: "ip neigh delete 10.244.2.0 dev flannel.1",
    says: "neighbour-missing",
    names: "10.244.2.0 on flannel.1",
  },
  {
    when: "the neighbour has another MAC",
    made: "ip neigh replace 10.244.2.0 dev flannel.1 lladdr 0e:2a:00:00:00:99 nud permanent",
    says: "neighbour-elsewhere",
    names: "0e:2a:00:00:00:99",
  },
  {
    when: "the FDB entry is gone",
    made: "bridge fdb delete 0e:2a:00:00:00:02 dev flannel.1",
    says: "fdb-missing",
    names: "0e:2a:00:00:00:02",
  },
  {
    when: "the FDB entry leads elsewhere",
    made: "bridge fdb replace 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.9",
    says: "fdb-elsewhere",
    names: "192.0.2.9",
  },
  {
    when: "the VTEP's address is gone",
    made:
      "ip address add 192.0.2.11/24 dev eth0; ip address delete 192.0.2.1/24 dev eth0; ip route replace 192.0.2.0/24 dev eth0",
    says: "vtep-address-gone",
    names: "192.0.2.1",
  },
  {
    when: "there is no way to the other host",
    made: "ip route add unreachable 192.0.2.2",
    says: "underlay-unreachable",
    names: "192.0.2.2",
  },
  {
    when: "the other host is led to through the overlay",
    made: "ip route add 192.0.2.2 dev flannel.1",
    says: "underlay-through-overlay",
    names: "flannel.1",
  },
  {
    when: "the other host does not answer",
    made: "ip neigh replace 192.0.2.2 dev eth0 nud failed",
    says: "underlay-neighbour-failed",
    names: "192.0.2.2 on eth0",
  },
  {
    when: "the underlay takes less than the overlay needs",
    made: "ip link set eth0 mtu 1400",
    says: "mtu-underlay",
    names: "eth0 takes 1400",
  },
  {
    when: "the VTEP takes less than pods may send",
    made: "ip link set flannel.1 mtu 1300",
    says: "mtu-pods",
    names: "flannel.1 takes 1300",
  },
  {
    when: "the route itself takes less than pods may send",
    made: "ip route replace 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink proto 76 metric 2 mtu 1200",
    says: "mtu-pods",
    names: "1430 bytes",
  },
  {
    when: "nft drops what is forwarded",
    made:
      "nft add table inet fw; nft add chain inet fw fwd2 '{ type filter hook forward priority 0; }'; nft add rule inet fw fwd2 ip daddr 10.244.2.0/24 drop",
    says: "packet-refused",
    names: "chain fwd2 of table inet fw",
  },
  {
    when: "iptables drops by its policy",
    made: "iptables-nft -P FORWARD DROP",
    says: "packet-refused",
    names: "policy drop of chain FORWARD of table ip filter",
  },
  {
    when: "iptables drops answers alone",
    made: "iptables-nft -A FORWARD -i flannel.1 -j DROP",
    says: "answer-refused",
    names: 'iifname "flannel.1"',
  },
  {
    when: "VXLAN of the other host is dropped",
    made: "iptables-nft -A INPUT -p udp --dport 8472 -j DROP",
    says: "outer-answer-refused",
    names: "dport 8472",
  },
  {
    when: "VXLAN to the other host is dropped",
    made:
      "nft add table ip o; nft add chain ip o out '{ type filter hook output priority 0; }'; nft add rule ip o out udp dport 8472 ip daddr 192.0.2.2 reject",
    says: "outer-packet-refused",
    names: "rejects it",
  },
  {
    when: "a rule may drop it",
    made:
      "nft add table ip l; nft add chain ip l f '{ type filter hook forward priority 0; }'; nft add rule ip l f limit rate over 10/second drop",
    says: "ok packet-doubted answer-doubted",
  },
  {
    when: "the packet comes in by a link that is strict about sources",
    made: "echo 1 >/proc/sys/net/ipv4/conf/cni0/rp_filter; ip route add 10.244.1.2 dev eth0",
    says: "rp-filter",
    names: "cni0",
  },
  {
    when: "answers are led away from the bridge",
    made: "ip route add 10.244.1.0/30 via 192.0.2.254",
    says: "back-elsewhere",
    names: "10.244.1.0/30",
  },
  {
    when: "it is asked for a pod here that answers",
    made: "ip neigh add 10.244.1.7 dev cni0 lladdr 02:00:00:00:00:07",
    to: "10.244.1.7",
    says: "ok",
  },
  {
    when: "it is asked for a pod here that is gone",
    made: "ip neigh replace 10.244.1.7 dev cni0 nud failed",
    to: "10.244.1.7",
    says: "pod-silent",
    names: "10.244.1.7 on cni0",
  },
  {
    when: "the own subnet is led elsewhere",
    made: "ip route add 10.244.1.0/25 via 192.0.2.254",
    to: "10.244.1.7",
    says: "own-subnet-elsewhere",
    names: "10.244.1.0/25",
  },
  { when: "it is asked for this host's own address", to: "192.0.2.1", says: "ok" },
  { when: "it is asked for the other host's own address", to: "192.0.2.2", says: "ok" },
  {
    when: "it is asked for the outside, and nobody masquerades",
    to: "203.0.113.9",
    says: "ok not-masqueraded",
  },
  {
    when: "it is asked for the outside, and somebody masquerades",
    to: "203.0.113.9",
    made: "iptables-nft -t nat -A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE",
    says: "ok",
  },
  {
    when: "it is asked for the outside, and there is no default route",
    to: "203.0.113.9",
    made: "ip route delete default",
    says: "route-missing",
    names: "203.0.113.9",
  },
  {
    when: "it is asked for a Service",
    to: "10.96.0.10",
    made:
      "iptables-nft -t nat -N KUBE-SERVICES; iptables-nft -t nat -A KUBE-SERVICES -d 10.96.0.10/32 -p udp --dport 53 -j ACCEPT; iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES",
    says: "ok service-address",
  },
  {
    when: "it is asked for a Service of kube-proxy's nftables mode",
    to: "10.96.0.10",
    made: kubeProxy(4, "10.96.0.10"),
    says: "ok service-address",
  },
  {
    when: "it is asked for a Service of kube-proxy's nftables mode, in IPv6",
    to: "fd00:96::10",
    made: kubeProxy(6, "fd00:96::10"),
    says: "ok service-address",
  },
  {
    when: "it is asked for another address beside those of kube-proxy's nftables mode",
    to: "203.0.113.9",
    made: kubeProxy(4, "10.96.0.10"),
    says: "ok not-masqueraded",
  },
  { when: "there is no subnet file", env: "", says: "ok", registry: registrySays(POD) },
  {
    when: "the other host answers over the underlay alone",
    registry: registrySays(POD, {
      probes: [
        { network: "underlay", target: "192.0.2.2", packetBytes: 1500, roundTripMs: 0.4, hears: null },
        { network: "overlay", target: "10.244.2.0", packetBytes: 1450, roundTripMs: null, hears: null },
      ],
    }),
    says: "peer-silent",
    names: "over the overlay: no answer",
  },
  {
    when: "a route refuses it, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 route add unreachable fd00:10:244:2::5",
    says: "route-refuses",
    names: "unreachable fd00:10:244:2::5/128",
  },
  {
    when: "a blackhole takes it, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 route add blackhole fd00:10:244:2::5",
    says: "route-refuses",
    names: "blackhole fd00:10:244:2::5/128",
  },
  {
    when: "a rule refuses it, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 rule add to fd00:10:244:2::/64 prohibit priority 60",
    says: "rule-refuses",
    names: "prohibit",
  },
  {
    when: "there is no route, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 route delete fd00:10:244:2::/64",
    says: "route-missing",
  },
  {
    when: "the neighbour is gone, in IPv6",
    to: "fd00:10:244:2::5",
    made: "ip -6 neigh delete fd00:10:244:2:: dev flannel-v6.1",
    says: "neighbour-missing",
    names: "flannel-v6.1",
  },
  {
    when: "the FDB entry is gone, in IPv6",
    to: "fd00:10:244:2::5",
    made: "bridge fdb delete 0e:2a:00:00:06:02 dev flannel-v6.1",
    says: "fdb-missing",
  },
  {
    when: "nothing is forwarded, in IPv6",
    to: "fd00:10:244:2::5",
    made: "echo 0 >/proc/sys/net/ipv6/conf/all/forwarding",
    says: "host-forwards-nothing",
  },
  {
    when: "a rule of ip6tables drops it",
    to: "fd00:10:244:2::5",
    made: "ip6tables-nft -A FORWARD -d fd00:10:244:2::/64 -j DROP",
    says: "packet-refused",
    names: "table ip6 filter",
  },
  {
    when: "packets go directly to the other host",
    made: "ip route replace 10.244.2.0/24 via 192.0.2.2 dev eth0 proto 76 metric 2; ip link delete flannel.1",
    env: ENV_HOST_GW,
    says: "ok",
  },
  {
    when: "the other host does not answer on its segment",
    made:
      "ip route replace 10.244.2.0/24 via 192.0.2.2 dev eth0 proto 76 metric 2; ip link delete flannel.1; ip neigh replace 192.0.2.2 dev eth0 nud failed",
    env: ENV_HOST_GW,
    says: "neighbour-failed",
    names: "192.0.2.2 on eth0",
  },
  {
    when: "a route of others has several next hops",
    made: "ip route add 10.244.2.5 nexthop via 192.0.2.254 dev eth0 nexthop via 192.0.2.253 dev eth0",
    says: "route-foreign",
    names: "one of 2 next hops",
  },
  {
    when: "the own address is on a link that is down",
    to: "10.244.1.1",
    made: "ip link set cni0 down",
    says: "ok",
  },
  {
    when: "rules drop what comes in for this host",
    to: "192.0.2.1",
    made: "iptables-nft -A INPUT -p udp -j DROP",
    says: "packet-refused",
    names: "chain INPUT",
  },
  {
    when: "firewalld's way of asking accepts it, and refuses the answer",
    made:
      "nft add table inet fw; nft add chain inet fw fwd2 '{ type filter hook forward priority 10; }'; nft add rule inet fw fwd2 iifname vmap { cni0 : accept }; nft add rule inet fw fwd2 reject",
    says: "answer-refused",
    names: "chain fwd2 of table inet fw",
  },
  {
    when: "a map of verdicts drops it",
    made:
      "nft add table ip f; nft add chain ip f f '{ type filter hook forward priority 0; }'; nft add rule ip f f ip daddr vmap { 10.244.2.5 : drop }",
    says: "packet-refused",
    names: "ip daddr vmap",
  },
  {
    when: "a map of verdicts drops it, in IPv6",
    to: "fd00:10:244:2::5",
    made:
      "nft add table ip6 f; nft add chain ip6 f f '{ type filter hook forward priority 0; }'; nft add rule ip6 f f ip6 daddr vmap { fd00:10:244:2::5 : drop }",
    says: "packet-refused",
    names: "ip6 daddr vmap",
  },
  {
    when: "a map of verdicts may drop it",
    made:
      "nft add table ip f; nft add chain ip f f '{ type filter hook forward priority 0; }'; nft add rule ip f f meta length vmap { 100-2000 : drop }",
    says: "ok packet-doubted answer-doubted",
  },
  {
    when: "a rule sets its TTL to 1",
    made:
      "nft add table ip f; nft add chain ip f f '{ type filter hook prerouting priority -150; }'; nft add rule ip f f ip ttl set 1",
    says: "packet-hops-end",
    names: "a TTL of 1",
  },
  {
    when: "what bypasses connection tracking is dropped",
    made:
      "nft add table ip f; nft add chain ip f p '{ type filter hook prerouting priority -300; }'; nft add rule ip f p iifname cni0 notrack; nft add chain ip f f '{ type filter hook forward priority 0; }'; nft add rule ip f f ct state untracked drop",
    says: "packet-refused",
    names: "ct state untracked",
  },
  {
    when: "iptables has it bypass connection tracking",
    made: "iptables-nft -t raw -A PREROUTING -i cni0 -j CT --notrack",
    says: "ok packet-untracked",
  },
  {
    when: "a rule of iptables drops it",
    made: "iptables-nft -A FORWARD -p tcp -j DROP; iptables-nft -A FORWARD -p udp -j DROP",
    says: "packet-refused",
    names: ", line 2, of chain FORWARD of table ip filter",
  },
  {
    when: "Docker's, kube-proxy's and the agent's rules stand beside each other",
    made: `
      iptables-nft -P FORWARD DROP
      for c in DOCKER-USER DOCKER-ISOLATION-STAGE-1 KUBE-FORWARD FLANNEL-FWD; do iptables-nft -N $c; done
      iptables-nft -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
      iptables-nft -A FORWARD -j DOCKER-USER
      iptables-nft -A FORWARD -j DOCKER-ISOLATION-STAGE-1
      iptables-nft -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables-nft -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
      iptables-nft -A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
      iptables-nft -A DOCKER-USER -j RETURN
      iptables-nft -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DROP
      iptables-nft -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
      iptables-nft -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
      iptables-nft -A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT
      iptables-nft -A FLANNEL-FWD -d 10.244.0.0/16 -j ACCEPT
      iptables-nft -P INPUT DROP
      iptables-nft -A INPUT -p udp --dport 8472 -j ACCEPT`,
    says: "ok",
  },
];

/** Whose probes came back: `null` is none. */
const probed = (...probes: [network: string, target: string, roundTripMs: number | null][]) => ({
  probes: probes.map(([network, target, roundTripMs]) => ({
    network,
    target,
    packetBytes: 1450,
    roundTripMs,
    hears: null,
  })),
});
const POD_IPV6 = "fd00:10:244:2::5";

const WAYS: readonly Situation[] = [
  {
    when: "the other host's port of probes is closed in the underlay alone",
    registry: registrySays(POD, probed(["underlay", "192.0.2.2", null], ["overlay", "10.244.2.0", 1])),
    says: "ok peer-partly-silent",
  },
  {
    when: "the other host answers nothing in the other family",
    registry: registrySays(
      POD,
      probed(
        ["underlay", "192.0.2.2", 1],
        ["overlay", "10.244.2.0", 1],
        ["underlay", "2001:db8::2", null],
        ["overlay", "fd00:10:244:2::", null],
      ),
    ),
    says: "ok peer-partly-silent",
  },
  {
    when: "the other host answers nothing in this family, which is IPv6",
    to: POD_IPV6,
    registry: registrySays(
      POD_IPV6,
      probed(
        ["underlay", "192.0.2.2", 1],
        ["overlay", "10.244.2.0", 1],
        ["underlay", "2001:db8::2", 1],
        ["overlay", "fd00:10:244:2::", null],
      ),
    ),
    says: "peer-silent",
    names: "over the overlay in IPv6: no answer",
  },
  {
    when: "it is asked for another host's own address, and the overlay is silent",
    to: "192.0.2.2",
    registry: registrySays(
      "192.0.2.2",
      probed(["underlay", "192.0.2.2", 1], ["overlay", "10.244.2.0", null]),
    ),
    says: "ok peer-partly-silent",
  },
  {
    when: "halves of the own subnet are led out by the underlay, a veth as in a container",
    made: "ip route add 10.244.1.0/25 dev eth0; ip route add 10.244.1.128/25 dev eth0",
    says: "back-elsewhere",
    names: "10.244.1.0/25 dev eth0",
  },
  {
    when: "the pod's address is led out by the underlay, in IPv6",
    made: "ip -6 route add fd00:10:244:1::2 dev eth0 metric 1",
    to: POD_IPV6,
    says: "back-elsewhere",
    names: "fd00:10:244:1::2/128 dev eth0",
  },
  {
    when: "a pod of this host is led out by the underlay",
    made: "ip route add 10.244.1.7 dev eth0",
    to: "10.244.1.7",
    says: "own-subnet-elsewhere",
    names: "10.244.1.7/32 dev eth0",
  },
  {
    when: "a pod of this host is led to over a link of its own",
    made: "ip link set pod0 nomaster; ip route add 10.244.1.7 dev pod0",
    to: "10.244.1.7",
    says: "ok neighbour-unasked",
  },
  {
    when: "the bridge asks for no neighbour",
    made: "ip link set cni0 arp off",
    says: "bridge-resolves-nothing",
    names: "cni0",
  },
  {
    when: "a rule refuses it in IPv6, beside one of the same priority for IPv4, and another for IPv6",
    to: POD_IPV6,
    made:
      "ip rule add to 203.0.113.0/24 lookup main priority 60; ip -6 rule add to 2001:db8:9::/48 lookup main priority 60; ip -6 rule add to fd00:10:244:2::/64 prohibit priority 60",
    says: "rule-refuses",
    names: "prohibit",
  },
  {
    when: "a rule refuses VXLAN packets in IPv6, beside one of the same priority for IPv4",
    to: POD_IPV6,
    made:
      "ip rule add ipproto tcp lookup main priority 93; ip -6 rule add ipproto udp dport 8472 blackhole priority 93",
    says: "underlay-unreachable",
    names: "dport 8472",
  },
  {
    when: "a rule leads into another table, in IPv6",
    to: POD_IPV6,
    made:
      "ip -6 route add fd00:10:244::/48 via 2001:db8::fe dev eth0 table 7; ip -6 rule add to fd00:10:244:2::/64 lookup 7 priority 50",
    says: "rule-elsewhere",
    names: "lookup 7",
  },
  {
    when: "a route of another table refuses it",
    made: "ip route add unreachable 10.244.2.0/24 table 7; ip rule add to 10.244.2.0/24 lookup 7 priority 50",
    says: "route-refuses",
  },
  {
    when: "a default route of IPv6 refuses it",
    to: POD_IPV6,
    made: "ip -6 route delete fd00:10:244:2::/64; ip -6 route add unreachable default",
    says: "route-refuses",
  },
];

/** The remedies that are commands, as far as tests can run them. */
const COMMAND = /^(ip( -6)? (rule|route|link|neigh) (delete|add|set)|nft delete rule)[^,(]*(?=$|,|\()/;
/** Rules and routes of both families. */
const REST = "ip rule; ip -6 rule; ip -o route show table all; ip -o -6 route show table all";

for (const { when, made, to = POD, says, names, ...options } of [...SITUATIONS, ...WAYS]) {
  Deno.test(`explain finds what becomes of a packet when ${when}`, async () => {
    using libc = new Libc();
    await using host = await ExplainHost.create(libc);
    if (made !== undefined) await host.sh(made);
    const explanation = host.explain(to, options);
    const lines = explanationLines(explanation);
    assertEquals(verdictOf(explanation), says, lines.join("\n"));
    const cause = causeOf(explanation);
    if (names !== undefined) assert(cause?.text.includes(names), lines.join("\n"));
    assert(lines[0]!.startsWith(says.startsWith("ok") ? "OK: " : "BROKEN at "), lines[0]);
    const { broken } = explanationJson(explanation) as { broken: boolean };
    assertEquals(broken, !says.startsWith("ok"));
    const remedy = COMMAND.exec(cause?.remedy ?? "")?.[0];
    if (remedy === undefined) return;
    // What is to be done can be done, touches nothing else, and does away with the cause.
    const before = await host.sh(REST);
    await host.sh(remedy);
    const after = explanationLines(host.explain(to, options));
    assert(after[0] !== lines[0], [remedy, ...after].join("\n"));
    const rest = (lines: string) => new Set(lines.replaceAll("linkdown ", "").split("\n"));
    const gone = [...rest(before).difference(rest(await host.sh(REST)))];
    assert(gone.length <= 1, [remedy, ...gone].join("\n"));
  });
}

Deno.test("explain has a verdict for addresses that are no host's", async () => {
  using libc = new Libc();
  await using host = await ExplainHost.create(libc);
  const odd = [
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "127.0.0.1",
    "169.254.169.254",
    "10.244.2.255",
    "10.244.1.0",
  ];
  for (const address of [...odd, "::", "::1", "fe80::1", "ff02::1", "fd00:10:244:2::"]) {
    const lines = explanationLines(host.explain(address));
    assert(/^(OK|BROKEN at)/.test(lines[0]!), lines.join("\n"));
  }
});
