import { assert, assertEquals } from "@std/assert";
import { causeOf, explanationLines } from "../../src/command/explain/explanation.ts";
import { Libc } from "../../src/linux/libc.ts";
import { ExplainPair, verdictOf } from "../command/explain/explain_host.ts";

/** Rules that do something else with packets than to accept or to drop them. */
interface Situation {
  readonly when: string;
  /** A rule set of nft(8), or lines of a shell where they begin with a program of iptables. */
  readonly rules: string;
  readonly to?: string;
  readonly says: string;
  /** What the sentence of the cause has to name. */
  readonly names?: string;
}

const POD_IPV6 = "fd00:10:244:2::5";
const chain = (family: string, hook: string, priority: number, ...rules: string[]) =>
  `table ${family} x { chain c { type filter hook ${hook} priority ${priority}; ${rules.join("; ")}; } }`;
const nat = (hook: string, ...rules: string[]) =>
  `table ip x { chain c { type nat hook ${hook} priority -100; ${rules.join("; ")}; } }`;
const INPUT_CLOSED = (...rules: string[]) =>
  `table ip y { chain i { type filter hook input priority 0; policy drop; iif lo accept; ct state established accept; ${
    rules.join("; ")
  }; } }`;

const SITUATIONS: readonly Situation[] = [
  {
    when: "a chain of the bridge's link sends it out by another",
    rules: `table netdev x { chain p { type filter hook ingress device "cni0" priority 0; fwd to "lo"; } }`,
    says: "packet-refused",
    names: "sends it out by another link",
  },
  {
    when: "a chain of a link sends what it is not for out by another",
    rules:
      `table netdev x { chain p { type filter hook ingress device "cni0" priority 0; ip daddr 203.0.113.1 fwd to "lo"; } }`,
    says: "ok",
  },
  {
    when: "a chain of the underlay sends VXLAN of the other host out by another",
    rules:
      `table netdev x { chain p { type filter hook ingress device "eth0" priority 0; udp dport 8472 fwd to "lo"; } }`,
    says: "outer-answer-refused",
    names: "sends it out by another link",
  },
  {
    when: "the bridge has frames of pods taken for another host's",
    rules: chain("bridge", "prerouting", 0, "meta pkttype set other accept"),
    says: "packet-refused",
    names: "another host's",
  },
  {
    when: "the bridge says of frames that they are this host's",
    rules: chain("bridge", "prerouting", 0, "meta pkttype set host"),
    says: "ok",
  },
  {
    when: "the pod's port says that frames are another host's, and the bridge says again whose they are",
    rules:
      `table netdev x { chain p { type filter hook ingress device "pod0" priority 0; meta pkttype set other; } }`,
    says: "ok packet-doubted",
  },
  {
    when: "all traffic of pods is translated to another address",
    rules: nat("prerouting", "ip saddr 10.244.0.0/16 dnat to 192.0.2.77"),
    says: "packet-led-elsewhere",
    names: "sends it to 192.0.2.77",
  },
  {
    when: "iptables translates all traffic of pods to another address",
    rules: "iptables-nft -t nat -A PREROUTING -s 10.244.0.0/16 -j DNAT --to-destination 192.0.2.77",
    says: "packet-led-elsewhere",
    names: "sends it to 192.0.2.77",
  },
  {
    when: "ip6tables translates all traffic of pods to another address",
    to: POD_IPV6,
    rules: "ip6tables-nft -t nat -A PREROUTING -s fd00:10:244::/48 -j DNAT --to-destination 2001:db8::77",
    says: "packet-led-elsewhere",
    names: "sends it to 2001:db8::77",
  },
  {
    when: "it is redirected to this host",
    rules: nat("prerouting", 'iifname "cni0" redirect'),
    says: "packet-led-elsewhere",
    names: '"iifname "cni0" redirect" has this host take it',
  },
  {
    when: "iptables redirects it to this host",
    rules: "iptables-nft -t nat -A PREROUTING -i cni0 -j REDIRECT",
    says: "packet-led-elsewhere",
    names: "has this host take it",
  },
  {
    when: "what goes outside is redirected to a proxy here",
    to: "203.0.113.9",
    rules: nat("prerouting", 'iifname "cni0" redirect'),
    says: "ok destination-translated not-masqueraded",
  },
  {
    when: "it is translated to the address that it has",
    rules: nat("prerouting", "ip daddr 10.244.2.5 dnat to 10.244.2.5"),
    says: "ok",
  },
  {
    when: "its port alone is translated",
    rules: "iptables-nft -t nat -A PREROUTING -i cni0 -p udp -j DNAT --to-destination :53",
    says: "ok destination-translated",
  },
  {
    when: "VXLAN packets are translated to another address",
    rules: nat("output", "udp dport 8472 dnat to 192.0.2.78"),
    says: "packet-led-elsewhere",
    names: "sends VXLAN packets to the other host to 192.0.2.78",
  },
  {
    when: "its TTL becomes 1",
    rules: chain("ip", "prerouting", -150, "ip ttl set 1"),
    says: "packet-hops-end",
    names: "gives it a TTL of 1, and it takes 3 to get there",
  },
  {
    when: "its TTL becomes 1 as it leaves, and the other host can't forward it",
    rules: chain("ip", "postrouting", -150, 'oifname "flannel.1" ip ttl set 1'),
    says: "packet-hops-end",
    names: "it takes 2",
  },
  {
    when: "its TTL becomes 64",
    rules: chain("ip", "prerouting", -150, "ip ttl set 64"),
    says: "ok",
  },
  {
    when: "its hop limit becomes 1",
    to: POD_IPV6,
    rules: chain("ip6", "prerouting", -150, "ip6 hoplimit set 1"),
    says: "packet-hops-end",
    names: "a hop limit of 1",
  },
  {
    when: "iptables sets its TTL to 1",
    rules: "iptables-nft -t mangle -A PREROUTING -i cni0 -j TTL --ttl-set 1",
    says: "packet-hops-end",
    names: "a TTL of 1",
  },
  {
    when: "iptables takes one from its TTL",
    rules: "iptables-nft -t mangle -A PREROUTING -i cni0 -j TTL --ttl-dec 1",
    says: "ok packet-changed",
  },
  {
    when: "the answer's TTL becomes 1",
    rules: chain("ip", "prerouting", -150, 'iifname "flannel.1" ip ttl set 1'),
    says: "packet-hops-end",
    names: "gives the answer a TTL of 1",
  },
  {
    when: "another destination is written into it",
    rules: chain("ip", "prerouting", -150, 'iifname "cni0" ip daddr set 192.0.2.99'),
    says: "packet-led-elsewhere",
    names: "sends it to 192.0.2.99",
  },
  {
    when: "its own destination is written into it",
    rules: chain("ip", "prerouting", -150, 'iifname "cni0" ip daddr set 10.244.2.5'),
    says: "ok",
  },
  {
    when: "another destination may be written into it",
    rules: chain("ip", "prerouting", -150, "limit rate 1/second ip daddr set 192.0.2.99"),
    says: "ok packet-changed packet-changed packet-changed",
  },
  {
    when: "another destination is written into the frame",
    rules:
      `table netdev x { chain p { type filter hook ingress device "cni0" priority 0; ip daddr set 192.0.2.99; } }`,
    says: "packet-led-elsewhere",
    names: "sends it to 192.0.2.99",
  },
  {
    when: "a chain of translation drops by its policy, and nothing has connections tracked",
    rules: `table ip x { chain c { type nat hook prerouting priority -100; policy drop; } }`,
    says: "ok packet-doubted outer-answer-doubted",
  },
  {
    when: "a chain of translation drops by its policy, and connections are tracked",
    rules:
      `table ip x { chain c { type nat hook postrouting priority -100; policy drop; oifname "eth0" accept; }; chain f { type filter hook forward priority 0; ct state invalid drop; } }`,
    says: "packet-refused",
    names: "policy drop",
  },
  {
    when: "VXLAN of the other host has a mark that INPUT accepts",
    rules: `${INPUT_CLOSED("meta mark 5 accept", "udp dport 8475 accept")}
      table ip z { chain r { type filter hook prerouting priority -300; udp dport 8472 meta mark set 5; } }`,
    says: "ok outer-answer-doubted",
  },
  {
    when: "VXLAN of the other host bypasses connection tracking, which INPUT accepts",
    rules: `${INPUT_CLOSED("ct state untracked accept", "udp dport 8475 accept")}
      table ip z { chain r { type filter hook prerouting priority -300; udp dport 8472 notrack; } }`,
    says: "ok",
  },
  {
    when: "VXLAN of the other host meets a closed INPUT",
    rules: INPUT_CLOSED("udp dport 8475 accept"),
    says: "outer-answer-refused",
    names: "policy drop",
  },
  {
    when: "answers are dropped before they are routed",
    rules: "iptables-nft -t mangle -A PREROUTING -i flannel.1 -j DROP",
    says: "answer-refused",
    names: "PREROUTING",
  },
  {
    when: "answers are dropped as they leave for the pod",
    rules: chain("ip", "postrouting", 0, 'oifname "cni0" ct state established drop'),
    says: "answer-refused",
    names: "ct state established",
  },
  {
    when: "answers have a mark that is accepted alone",
    rules: `table ip x {
      chain p { type filter hook prerouting priority -150; iifname "flannel.1" meta mark set 7; }
      chain f { type filter hook forward priority 0; policy drop; iifname "cni0" accept; meta mark 7 accept; } }`,
    says: "ok answer-doubted",
  },
  {
    when: "what has not one bit of a mark is dropped",
    rules: chain("ip", "forward", 0, "meta mark & 0x00010000 != 0x00010000 drop"),
    says: "packet-refused",
    names: '"mark & 0x00010000 != 0x00010000 drop"',
  },
  {
    when: "iptables drops what has not one bit of a mark",
    rules: "iptables-nft -A FORWARD -m mark ! --mark 0x10000/0x10000 -j DROP",
    says: "packet-refused",
    names: '"mark & 0x00010000 != 0x00010000',
  },
  {
    when: "what has no mark is dropped",
    rules: chain("ip", "forward", 0, "meta mark 0 drop"),
    says: "packet-refused",
    names: '"mark 0x00000000 drop"',
  },
  {
    when: "iptables drops what is no answer",
    rules: "iptables-nft -A FORWARD -m conntrack ! --ctstate ESTABLISHED -j DROP",
    says: "packet-refused",
    names: "ct state != established",
  },
  {
    when: "iptables drops all but a port",
    rules: "iptables-nft -A FORWARD -p udp ! --dport 53 -j DROP",
    says: "packet-refused",
    names: "dport != 53",
  },
  {
    when: "iptables drops what comes from a range of ports",
    rules: "iptables-nft -A FORWARD -p udp --sport 40000:50000 -j DROP",
    says: "packet-refused",
    names: "sport 40000-50000",
  },
];

for (const { when, rules, to = "10.244.2.5", says, names } of SITUATIONS) {
  Deno.test(`explain finds what rules make of a packet when ${when}`, async () => {
    using libc = new Libc();
    await using pair = await ExplainPair.create(libc);
    await pair.host.sh(
      rules.startsWith("ip") ? rules : `nft -f - <<'END'\n${rules.replaceAll(" }", "\n}")}\nEND`,
    );
    const explanation = pair.host.explain(to);
    const lines = explanationLines(explanation);
    assertEquals(verdictOf(explanation), says, lines.join("\n"));
    if (names !== undefined) assert(causeOf(explanation)?.text.includes(names), lines.join("\n"));
  });
}
