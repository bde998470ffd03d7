import { assertEquals } from "@std/assert";
import { incomingDropped } from "../../src/firewall/incoming.ts";
import { observeRules } from "../../src/firewall/rule_set.ts";
import type { IncomingVxlan } from "../../src/firewall/rules.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { incomingVxlan } from "../../src/reconcile/incoming_vxlan.ts";
import { Table } from "../../src/model/table.ts";
import { FDB } from "../../src/model/rows.ts";
import type { Wanted } from "../../src/reconcile/wanted.ts";
import { NftHost } from "../double/nft_host.ts";

const INCOMING: IncomingVxlan = {
  port: 8472,
  inputLink: "eth0",
  addresses: [parseAddress("192.0.2.1"), parseAddress("2001:db8::1")],
};
const FILTER = `nft add table inet f
  nft 'add chain inet f in { type filter hook input priority 0; policy drop; }'`;
const IPTABLES = "chain INPUT of table ip filter";
const NFT = "chain in of table inet f";

/** What a firewall says, as lines of a shell, and which chain drops all of the others' packets; none if absent. */
const CASES: readonly (readonly [name: string, rules: string, dropping?: string])[] = [
  ["a rule of iptables for the port", "iptables -A INPUT -p udp --dport 8472 -j DROP", IPTABLES],
  [
    "the same of ip6tables",
    "ip6tables -A INPUT -p udp --dport 8472 -j DROP",
    "chain INPUT of table ip6 filter",
  ],
  ["a rule that rejects", "iptables -A INPUT -p udp --dport 8472 -j REJECT", IPTABLES],
  ["a rule for UDP on the underlay's link", "iptables -A INPUT -i eth0 -p udp -j DROP", IPTABLES],
  ["a rule for another link", "iptables -A INPUT -i eth1 -p udp --dport 8472 -j DROP"],
  ["a rule for links that begin so", "iptables -A INPUT -i eth+ -p udp -j DROP", IPTABLES],
  ["a rule for another port", "iptables -A INPUT -p udp --dport 4789 -j DROP"],
  ["a rule for TCP", "iptables -A INPUT -p tcp --dport 8472 -j DROP"],
  ["a rule for this host's address", "iptables -A INPUT -d 192.0.2.1 -p udp -j DROP", IPTABLES],
  ["a rule for another address", "iptables -A INPUT -d 192.0.2.7 -p udp -j DROP"],
  ["a rule for one peer", "iptables -A INPUT -s 192.0.2.9 -p udp --dport 8472 -j DROP"],
  ["a rule for some packets a second", "iptables -A INPUT -p udp --dport 8472 -m limit --limit 1/s -j DROP"],
  [
    "peers accepted before",
    `iptables -A INPUT -s 192.0.2.0/24 -p udp --dport 8472 -j ACCEPT
     iptables -A INPUT -p udp --dport 8472 -j DROP`,
  ],
  [
    "all accepted before",
    `iptables -A INPUT -p udp -j ACCEPT
     iptables -A INPUT -p udp --dport 8472 -j DROP`,
  ],
  [
    "a policy, with what iptables' own matches accept",
    `
     iptables -P INPUT DROP
     iptables -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
     iptables -A INPUT -p tcp --dport 22 -j ACCEPT`,
  ],
  [
    "a policy with TCP alone accepted",
    `
     iptables -P INPUT DROP
     iptables -A INPUT -i lo -j ACCEPT
     iptables -A INPUT -p icmp -j ACCEPT
     iptables -A INPUT -p tcp -m multiport --dports 22,80 -j ACCEPT`,
    IPTABLES,
  ],
  [
    "a chain that is jumped to",
    `
     iptables -N DENY
     iptables -A DENY -j LOG
     iptables -A DENY -j DROP
     iptables -A INPUT -p udp --dport 8000 -j ACCEPT
     iptables -A INPUT -p udp -j DENY`,
    IPTABLES,
  ],
  [
    "a chain that comes back",
    `
     iptables -N SOME
     iptables -A SOME -s 192.0.2.9 -j DROP
     iptables -A SOME -j RETURN
     iptables -A SOME -j DROP
     iptables -A INPUT -j SOME`,
  ],
  [
    "a chain of which some come back",
    `
     iptables -N SOME
     iptables -A SOME -s 192.0.2.9 -j RETURN
     iptables -A SOME -j DROP
     iptables -A INPUT -j SOME`,
  ],
  [
    "the table mangle",
    "iptables -t mangle -A PREROUTING -p udp --dport 8472 -j DROP",
    "chain PREROUTING of table ip mangle",
  ],
  ["forwarded packets alone", "iptables -P FORWARD DROP"],
  [
    "a policy of nft, established connections accepted",
    `${FILTER}
     nft add rule inet f in ct state established,related accept
     nft add rule inet f in iifname lo accept
     nft add rule inet f in iif lo accept
     nft add rule inet f in ct state invalid drop
     nft add rule inet f in tcp dport 22 accept`,
    NFT,
  ],
  [
    "a policy of nft in a dormant table",
    `${FILTER}
     nft 'add table inet f { flags dormant; }'`,
  ],
  [
    "a policy of nft in a table that was dormant",
    `${FILTER}
     nft 'add table inet f { flags dormant; }'
     nft add table inet f`,
    NFT,
  ],
  [
    "a policy of nft, new connections accepted",
    `${FILTER}
     nft add rule inet f in ct state new accept`,
  ],
  [
    "a policy of nft, with the port among others",
    `${FILTER}
     nft add rule inet f in 'udp dport { 53, 8472 } accept'`,
  ],
  [
    "a policy of nft, with a map of verdicts",
    `${FILTER}
     nft add rule inet f in 'ct state vmap { established : accept, new : accept }'`,
  ],
  [
    "a policy of nft, with a range",
    `${FILTER}
     nft add rule inet f in udp dport 8000-9000 accept`,
  ],
  [
    "a policy of nft, with addresses accepted",
    `${FILTER}
     nft add rule inet f in ip saddr 192.0.2.0/24 accept
     nft add rule inet f in ip6 saddr 2001:db8::/64 accept`,
  ],
  [
    "a policy of nft, with addresses of one family accepted",
    `${FILTER}
     nft add rule inet f in ip saddr 192.0.2.0/24 accept`,
    NFT,
  ],
  [
    "a policy of nft, with a mark accepted",
    `${FILTER}
     nft add rule inet f in meta mark 7 accept`,
  ],
  [
    "a rule of nft for the port",
    `nft add table ip g
     nft 'add chain ip g in { type filter hook prerouting priority -300; }'
     nft add rule ip g in udp dport 8472 counter drop`,
    "chain in of table ip g",
  ],
];

Deno.test("what drops all that comes in VXLAN is told, and nothing that may not", async () => {
  await using host = await NftHost.open();
  for (const [name, rules, dropping] of CASES) {
    await host.script(rules);
    const said = incomingDropped(INCOMING, observeRules(host.client));
    assertEquals(
      said.map((one) => one.split(" drops all ")[0]),
      dropping === undefined ? [] : [dropping],
      name,
    );
    await host.script("nft flush ruleset");
  }
});

Deno.test("the sentence says what to run, as the rules were written", async () => {
  await using host = await NftHost.open();
  await host.script(`iptables -A INPUT -p udp --dport 8472 -j DROP
    ${FILTER}`);
  const said = incomingDropped(INCOMING, observeRules(host.client)).sort();
  for (
    const [at, command] of [
      "iptables -I INPUT -p udp --dport 8472 -j ACCEPT",
      "nft insert rule inet f in udp dport 8472 accept",
    ].entries()
  ) {
    assertEquals(said[at]?.endsWith(`, to UDP port 8472: have it accept that (${command})`), true, said[at]);
    await host.script(command);
  }
  assertEquals(incomingDropped(INCOMING, observeRules(host.client)), []);
});

Deno.test("nobody sends VXLAN to a host that reaches nobody in it", () => {
  const vtep = {
    kind: "vxlan",
    name: "flannel.1",
    port: 8472,
    local: parseAddress("192.0.2.1"),
  };
  const wanted = (peers: number) => {
    const fdb = new Table(FDB);
    for (let n = 0; n < peers; n++) fdb.push();
    return { state: { fdb, links: [vtep], networks: [parsePrefix("10.244.0.0/16")] } } as unknown as Wanted;
  };
  assertEquals(incomingVxlan(undefined, "eth0"), undefined);
  assertEquals(incomingVxlan(wanted(0), "eth0"), undefined);
  assertEquals(incomingVxlan(wanted(1), "eth0"), {
    port: 8472,
    inputLink: "eth0",
    addresses: [parseAddress("192.0.2.1")],
  });
});
