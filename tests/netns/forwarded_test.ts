import { assertEquals } from "@std/assert";
import { forwardFate } from "../../src/firewall/forwarded.ts";
import { lazyBook } from "../../src/firewall/lazy_book.ts";
import { observeRules } from "../../src/firewall/rule_set.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { NftHost } from "../double/nft_host.ts";
import { FIREWALLS } from "../double/firewalls.ts";

const BRIDGE = { name: "cni0", linkIndex: 7, kind: "bridge" };
const VTEP = { name: "flannel.1", linkIndex: 8, kind: "vxlan" };
const carriedBy = {
  port: 8472,
  local: parseAddress("192.0.2.1"),
  link: { name: "eth0", linkIndex: 2 },
};
const END = {
  4: {
    own: { prefix: parsePrefix("10.244.1.0/24"), link: BRIDGE, isBridge: true },
    all: { prefix: parsePrefix("10.244.0.0/16"), link: VTEP, carriedBy },
    two: { prefix: parsePrefix("10.244.2.0/24"), link: VTEP, carriedBy },
    three: { prefix: parsePrefix("10.244.3.0/24"), link: VTEP, carriedBy },
  },
  6: {
    own: { prefix: parsePrefix("fd00:10:244:1::/64"), link: BRIDGE, isBridge: true },
    all: { prefix: parsePrefix("fd00:10:244::/56"), link: VTEP, carriedBy },
    two: { prefix: parsePrefix("fd00:10:244:2::/64"), link: VTEP, carriedBy },
    three: { prefix: parsePrefix("fd00:10:244:3::/64"), link: VTEP, carriedBy },
  },
};

/** What is refused, in a line a pair of ends: `>` what pods send, `<` what comes for them; `?` where that is doubted. */
function said({ client }: NftHost, version: 4 | 6): string {
  const book = lazyBook(client, observeRules(client).awake, new Set());
  const { own, ...others } = END[version];
  return Object.entries(others).flatMap(([name, other]) =>
    ([[">", own, other], ["<", other, own]] as const).flatMap(([sign, from, to]) => {
      const { refusal, isDoubted } = forwardFate(book, from, to);
      if (refusal === undefined) return isDoubted ? [`${sign}${name}?`] : [];
      const { by, does, isOfAnswers } = refusal;
      if (!("chain" in by)) return [];
      const { table, chain } = by;
      return [`${sign}${name} ${does} ${isOfAnswers ? "answers " : ""}(${table} ${chain})`];
    })
  ).join(", ");
}

const NFT = `nft add table ip f
  nft 'add chain ip f forward { type filter hook forward priority 0; }'
  nft 'add chain ip f other'`;
const rule = (...texts: string[]) =>
  [NFT, ...texts.map((text) => `nft 'add rule ip f forward ${text}'`)].join("\n");
const all = (what: string) =>
  ["all", "two", "three"].flatMap((one) => [`>${one} ${what}`, `<${one} ${what}`]).join(", ");
const out = (what: string) => ["all", "two", "three"].map((one) => `>${one} ${what}`).join(", ");
const IPTABLES = "(filter FORWARD)";

/** Rules, as lines of a shell, and what is said of them: nothing if absent. */
const CASES: readonly (readonly [name: string, rules: string, says?: string])[] = [
  ["there are none", "true"],
  ["one peer is dropped", "iptables -I FORWARD 1 -d 10.244.2.0/24 -j DROP", `>all?, >two drops ${IPTABLES}`],
  [
    "what one peer sends is rejected",
    "iptables -I FORWARD -s 10.244.2.0/24 -j REJECT",
    `<all?, <two rejects ${IPTABLES}`,
  ],
  [
    "the cluster network is dropped",
    "iptables -I FORWARD -d 10.244.0.0/16 -j DROP",
    all(`drops ${IPTABLES}`),
  ],
  [
    "what is new is rejected",
    "iptables -I FORWARD -d 10.244.0.0/16 -m conntrack --ctstate NEW -j REJECT",
    all(`rejects ${IPTABLES}`),
  ],
  [
    "answers are dropped",
    "iptables -I FORWARD -d 10.244.0.0/16 -m conntrack --ctstate ESTABLISHED -j DROP",
    all(`drops answers ${IPTABLES}`),
  ],
  [
    "what leaves by the VTEP is dropped",
    "iptables -I FORWARD -o flannel.1 -j DROP",
    out(`drops ${IPTABLES}`),
  ],
  ["what comes in by another link is dropped", "iptables -I FORWARD -i eth0 -j DROP"],
  ["another network is dropped", "iptables -I FORWARD -d 10.96.0.0/12 -j DROP"],
  ["TCP is dropped", "iptables -I FORWARD -d 10.244.2.0/24 -p tcp -j DROP", ">all?"],
  [
    "TCP and UDP are dropped, each by a rule",
    `iptables -A FORWARD -d 10.244.2.0/24 -p tcp -j DROP
    iptables -A FORWARD -d 10.244.2.0/24 -p udp -j DROP`,
    `>all?, >two drops ${IPTABLES}`,
  ],
  [
    "a port of UDP is dropped",
    "iptables -I FORWARD -d 10.244.2.0/24 -p udp --dport 53 -j DROP",
    ">all?, >two?",
  ],
  ["ICMP is dropped", "iptables -I FORWARD -p icmp -j DROP"],
  ["one pod of a peer is dropped", "iptables -I FORWARD -d 10.244.2.7 -j DROP", ">all?, >two?"],
  [
    "one pod of this host is dropped",
    "iptables -I FORWARD -s 10.244.1.7 -j DROP",
    ">all?, <all?, >two?, >three?",
  ],
  [
    "one pod is accepted and the rest dropped",
    `iptables -A FORWARD -d 10.244.2.7 -j ACCEPT
    iptables -A FORWARD -d 10.244.2.0/24 -j DROP`,
    ">all?, >two?",
  ],
  [
    "one port is accepted and the rest dropped",
    `iptables -A FORWARD -p tcp --dport 443 -j ACCEPT
    iptables -A FORWARD -o flannel.1 -j DROP`,
    ">all?, >two?, >three?",
  ],
  ["a policy drops", "iptables -P FORWARD DROP", all(`drops ${IPTABLES}`)],
  [
    "a policy drops behind what accepts",
    "iptables -P FORWARD DROP; iptables -A FORWARD -s 10.244.0.0/16 -j ACCEPT",
  ],
  ["a mark is asked for, which nothing gives", "iptables -I FORWARD -m mark --mark 0x7 -j DROP"],
  [
    "a mark is given to some, and dropped",
    `iptables -t mangle -A PREROUTING -p tcp --dport 80 -j MARK --set-mark 7
    iptables -A FORWARD -m mark --mark 0x7 -j DROP`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "raw PREROUTING drops what pods send",
    "iptables -t raw -A PREROUTING -i cni0 -j DROP",
    out("drops (raw PREROUTING)"),
  ],
  [
    "raw PREROUTING drops what is new, before it is known",
    "iptables -t raw -A PREROUTING -m conntrack --ctstate NEW -j DROP",
  ],
  [
    "mangle PREROUTING drops a peer",
    "iptables -t mangle -A PREROUTING -s 10.244.3.0/24 -j DROP",
    "<all?, <three drops (mangle PREROUTING)",
  ],
  [
    "mangle POSTROUTING drops",
    "iptables -t mangle -A POSTROUTING -o flannel.1 -j DROP",
    out("drops (mangle POSTROUTING)"),
  ],
  [
    "a chain of nftables drops a peer",
    rule("ip daddr 10.244.3.0/24 drop"),
    ">all?, >three drops (f forward)",
  ],
  [
    "some packets a second are dropped",
    rule("limit rate over 10/second drop"),
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "a set with the peer is dropped",
    rule("ip daddr { 10.244.2.0/24, 10.9.0.0/16 } drop"),
    ">all?, >two drops (f forward)",
  ],
  ["a set with some pods is dropped", rule("ip daddr { 10.244.2.4, 10.244.2.5 } drop"), ">all?, >two?"],
  ["a set of others is dropped", rule("ip daddr { 10.96.0.1, 192.0.2.0/24 } drop")],
  [
    "all but a set is dropped, and it has the network",
    rule("ip daddr != { 10.244.0.0/16, 192.0.2.0/24 } drop"),
  ],
  ["all but a set is dropped", rule("ip daddr != { 10.245.0.0/16 } drop"), all("drops (f forward)")],
  [
    "a pair of networks is dropped",
    rule("ip saddr . ip daddr { 10.244.1.0/24 . 10.244.2.0/24 } drop"),
    ">all?, >two drops (f forward)",
  ],
  ["a pair of other networks is dropped", rule("ip saddr . ip daddr { 10.244.1.0/24 . 10.9.2.0/24 } drop")],
  [
    "a map of verdicts drops a peer",
    rule("ip daddr vmap { 10.244.2.0/24 : drop, 10.9.0.0/16 : accept }"),
    ">all?, >two drops (f forward)",
  ],
  ["a range without the network is dropped", rule("ip daddr 10.245.0.0-10.246.0.7 drop")],
  [
    "a range with a peer is dropped",
    rule("ip daddr 10.244.1.200-10.244.3.7 drop"),
    ">all?, <all?, >two drops (f forward), <two?, >three?, <three?",
  ],
  [
    "a chain that all are led to drops",
    `${rule("counter goto other")}; nft add rule ip f other counter drop`,
    all("drops (f other)"),
  ],
  [
    "a chain that some may be led to ends their way",
    `${rule("meta length > 9 goto other", "drop")}`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "what another chain may accept is dropped in a later one",
    `${rule("meta length > 9 accept")}
    nft 'add chain ip f late { type filter hook forward priority 10; }'; nft add rule ip f late drop`,
    all("drops (f late)"),
  ],
  [
    "what some may be accepted by is before",
    rule("meta length > 9 accept", "drop"),
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "some may bypass connection tracking, and answers are accepted",
    `nft add table ip f
    nft 'add chain ip f raw { type filter hook prerouting priority -300; }'; nft add rule ip f raw meta length 60 notrack
    nft 'add chain ip f forward { type filter hook forward priority 0; policy drop; }'
    nft add rule ip f forward ct state new,established accept`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "a peer is translated",
    "iptables -t nat -A PREROUTING -d 10.244.2.0/24 -j DNAT --to-destination 192.0.2.9",
    ">all?, >two leads elsewhere (nat PREROUTING)",
  ],
  [
    "a port of a peer is translated",
    "iptables -t nat -A PREROUTING -d 10.244.2.0/24 -p tcp --dport 80 -j DNAT --to-destination 192.0.2.9",
    ">all?, >two?",
  ],
  [
    "another address is written into packets before",
    `nft add table ip f
     nft 'add chain ip f pre { type filter hook prerouting priority -150; }'
     nft add rule ip f pre ip daddr 10.244.2.0/24 ip daddr set 10.244.3.9
     iptables -A FORWARD -d 10.244.2.0/24 -j DROP`,
    ">all?, >two?",
  ],
  [
    "a bridge drops what pods send to a peer",
    `nft add table bridge f
     nft 'add chain bridge f pre { type filter hook prerouting priority 0; }'
     nft add rule bridge f pre ip daddr 10.244.2.0/24 drop`,
    ">all?, >two drops (f pre)",
  ],
  [
    "a bridge drops what comes for pods",
    `nft add table bridge f
     nft 'add chain bridge f post { type filter hook postrouting priority 0; }'
     nft add rule bridge f post ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 drop`,
    "<all drops (f post), <two drops (f post), <three drops (f post)",
  ],
  [
    "a bridge drops what goes from pod to pod",
    `nft add table bridge f
     nft 'add chain bridge f forward { type filter hook forward priority 0; policy drop; }'`,
  ],
  [
    "a bridge drops what one port sends",
    `nft add table bridge f
     nft 'add chain bridge f pre { type filter hook prerouting priority 0; }'
     nft add rule bridge f pre ether type ip iifname veth1 drop`,
    ">all?, >two?, >three?",
  ],
  [
    "a link drops what comes in by it",
    `ip link add flannel.1 type bridge; ip link add eth7 type bridge
     nft add table netdev f
     nft 'add chain netdev f in { type filter hook ingress device flannel.1 priority 0; }'
     nft 'add chain netdev f other { type filter hook ingress device eth7 priority 0; }'
     nft add rule netdev f in ip saddr 10.244.2.0/24 drop; nft add rule netdev f other drop`,
    "<all?, <two drops (f in)",
  ],
  [
    "packets that carry others get a mark, by which these are dropped",
    `iptables -t mangle -A PREROUTING -i eth0 -j MARK --set-mark 3
    iptables -A FORWARD -m mark --mark 3 -j DROP`,
    "<all?, <two?, <three?",
  ],
  [
    "packets that carry others get a mark as they are for this host, and these are let through by it",
    `nft add table inet f
    nft 'add chain inet f in { type filter hook input priority 0; }'
    nft add rule inet f in iifname eth0 udp dport 8472 meta mark set 7
    nft 'add chain inet f forward { type filter hook forward priority 0; policy drop; }'
    nft add rule inet f forward meta nfproto ipv6 accept
    nft add rule inet f forward iifname cni0 accept
    nft add rule inet f forward meta mark 7 accept`,
    "<all?, <two?, <three?",
  ],
  [
    "the link that packets which carry others come in by gives them a mark",
    `ip link add eth0 type bridge
    nft add table netdev f
    nft 'add chain netdev f in { type filter hook ingress device eth0 priority 0; }'
    nft add rule netdev f in meta mark set 3
    iptables -A FORWARD -m mark --mark 3 -j DROP`,
    "<all?, <two?, <three?",
  ],
  [
    "other packets get a mark, and none that carries others does",
    `iptables -t mangle -A PREROUTING -i eth7 -j MARK --set-mark 3
    iptables -t mangle -A PREROUTING -i eth0 -p udp --dport 53 -j MARK --set-mark 3
    iptables -A FORWARD -m mark ! --mark 3 -d 10.244.0.0/16 -j DROP`,
    all(`drops ${IPTABLES}`),
  ],
  [
    "a queue may give packets a mark",
    `iptables -t mangle -A PREROUTING -j NFQUEUE --queue-num 3
    iptables -A FORWARD -m mark --mark 3 -j DROP`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "packets are dropped where their source would be translated",
    `nft add table ip f
    nft 'add chain ip f post { type nat hook postrouting priority 100; }'
    nft add rule ip f post ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 counter drop
    nft 'add chain ip f out { type nat hook output priority 100; }'
    nft add rule ip f out ip daddr 203.0.113.1 dnat to 203.0.113.2`,
    all("drops (f post)"),
  ],
  [
    "a chain that is called only for connections drops, and nothing asks for these",
    `nft add table ip f
    nft 'add chain ip f pre { type nat hook prerouting priority -100; policy drop; }'
    nft 'add chain ip f post { type nat hook postrouting priority 100; policy drop; }'`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "a chain that is called only for connections drops, and these are asked for in the other family",
    `nft add table inet f
    nft 'add chain inet f post { type nat hook postrouting priority 100; }'
    nft add rule inet f post ip daddr 10.244.0.0/16 drop
    nft 'add chain inet f out { type nat hook output priority 100; }'
    nft add rule inet f out ip6 daddr 2001:db8::1 dnat ip6 to 2001:db8::2`,
    ">all?, <all?, >two?, <two?, >three?, <three?",
  ],
  [
    "answers are dropped by their direction",
    rule("ct direction reply drop"),
    all("drops answers (f forward)"),
  ],
  ["what comes in by links of another kind is dropped", rule('meta iifkind "wireguard" drop')],
  [
    "what comes in by a VTEP is dropped by its kind",
    rule('meta iifkind "vxlan" drop'),
    ["all", "two", "three"].map((one) => `<${one} drops (f forward)`).join(", "),
  ],
  [
    "the pods' bridge sends what comes in by it out by another link",
    `ip link add cni0 type bridge
     nft add table netdev f
     nft 'add chain netdev f in { type filter hook ingress device cni0 priority 0; }'
     nft add rule netdev f in meta protocol ip fwd to lo`,
    out("drops (f in)"),
  ],
  ["a dormant table drops all", `${rule("drop")}; nft 'add table ip f { flags dormant; }'`],
];

for (const [name, rules, says = ""] of CASES) {
  Deno.test(`forwardFate() tells what all forwarded packets meet where ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(rules);
    assertEquals(said(host, 4), says);
    assertEquals(said(host, 6), "", "the other family");
  });
}

for (const { name, script } of FIREWALLS) {
  Deno.test(`forwardFate() refuses nothing where ${name} is`, async () => {
    await using host = await NftHost.open();
    await host.script(script);
    host.keep();
    for (const version of [4, 6] as const) {
      assertEquals(said(host, version).split(", ").filter((one) => !/^([<>]\w+\?)?$/.test(one)), []);
    }
  });
}

Deno.test("forwardFate() says of IPv6 what ip6tables drops", async () => {
  await using host = await NftHost.open();
  await host.script("ip6tables -I FORWARD -d fd00:10:244:2::/64 -j DROP");
  assertEquals(said(host, 4), "");
  assertEquals(said(host, 6), `>all?, >two drops ${IPTABLES}`);
});

Deno.test("lazyBook() reads no chain that no packet comes to, and none that is too large", async () => {
  await using host = await NftHost.open();
  const many = Array.from({ length: 2500 }, (_, at) => `-A large -d 198.51.${at >> 8}.${at & 255} -j DROP`);
  await host.script(
    `iptables -N large; iptables -N unused; iptables -A FORWARD -j large; iptables -A FORWARD -d 10.244.0.0/16 -j DROP
    iptables -A FORWARD -s 192.0.2.1 -j unused
    printf '%s\n' '*filter' '${many.join("' '")}' COMMIT | iptables-restore --noflush`,
  );
  const large = new Set<string>();
  const book = lazyBook(host.client, observeRules(host.client).awake, large);
  assertEquals(forwardFate(book, END[4].own, END[4].all), {
    isDoubted: true,
    isOfParts: false,
    isOpen: true,
  });
  assertEquals([...book.read].sort(), ["2 filter FORWARD"]);
  assertEquals([...large], ["2 filter large"]);
});
