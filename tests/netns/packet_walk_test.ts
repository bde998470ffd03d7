import { assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { parseAddress } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import type { Packet } from "../../src/nftables/packet.ts";
import { PACKET_HOOK, walkHook } from "../../src/nftables/packet_walk.ts";
import { readRuleBook } from "../../src/nftables/rule_book.ts";
import { TestNetns } from "../double/netns.ts";

const PACKET: Packet = {
  source: parseAddress("10.244.1.5"),
  destination: parseAddress("10.244.2.5"),
  sourcePort: 40000,
  destinationPort: 33434,
  inputLink: { name: "cni0", linkIndex: 7 },
  outputLink: { name: "flannel.1", linkIndex: 8 },
  state: "new",
};

/** What is said of the forwarded packet, in short: the verdict, `?` if not for certain, and the rule. */
interface Case {
  readonly why: string;
  /** Lines of a shell. */
  readonly rules: string;
  readonly says: string;
  readonly packet?: Partial<Packet>;
}

const CHAIN = "nft add table ip f; nft add chain ip f forward '{ type filter hook forward priority 0; }'";
const rule = (text: string) => `${CHAIN}; nft add rule ip f forward ${text}`;

const cases: readonly Case[] = [
  { why: "there are no rules", rules: "true", says: "accept" },
  {
    why: "a rule drops its destination",
    rules: rule("ip daddr 10.244.2.0/24 drop"),
    says: "drop: ip daddr 10.244.2.0/24 drop",
  },
  { why: "a rule drops another destination", rules: rule("ip daddr 10.244.3.0/24 drop"), says: "accept" },
  { why: "a rule drops all but its source", rules: rule("ip saddr != 10.244.1.0/24 drop"), says: "accept" },
  {
    why: "a rule rejects what leaves by its link",
    rules: rule("oifname flannel.1 reject"),
    says: 'reject: oifname "flannel.1" reject',
  },
  {
    why: "a rule drops what comes in by links of another prefix",
    rules: rule("iifname 'eth*' drop"),
    says: "accept",
  },
  {
    why: "a rule drops what comes in by links of its prefix",
    rules: rule("iifname 'cni*' drop"),
    says: 'drop: iifname "cni*" drop',
  },
  { why: "a rule drops UDP", rules: rule("meta l4proto udp drop"), says: "drop: l4proto udp drop" },
  { why: "a rule drops TCP", rules: rule("tcp dport 80 drop"), says: "accept" },
  {
    why: "a rule drops a range of ports",
    rules: rule("udp dport 33000-34000 drop"),
    says: "drop: l4proto udp dport >= 33000 dport <= 34000 drop",
  },
  {
    why: "answers are accepted, the rest is dropped",
    rules: rule("ct state established,related accept; nft add rule ip f forward drop"),
    says: "drop: drop",
  },
  {
    why: "it is an answer, which is accepted",
    rules: rule("ct state established,related accept; nft add rule ip f forward drop"),
    packet: { state: "established" },
    says: "accept",
  },
  {
    why: "a rule that limits may drop it",
    rules: rule("limit rate over 1/second drop"),
    says: "accept?limit drop",
  },
  {
    why: "a set holds it before all is dropped",
    rules: rule("ip daddr { 10.244.2.5, 10.1.1.1 } accept; nft add rule ip f forward drop"),
    says: "accept",
  },
  {
    why: "all but a set is dropped, and it is in another range",
    rules: rule("ip daddr != { 10.244.0.0/24, 10.244.3.0-10.244.9.7 } drop"),
    says: "drop: ip daddr != set __set0 drop",
  },
  {
    why: "all but a set is dropped, and it is in one of its ranges",
    rules: rule("ip daddr != { 10.244.0.0/24, 10.244.2.0/24, 10.244.3.0-10.244.9.7 } drop"),
    says: "accept",
  },
  {
    why: "a named set with ranges is dropped",
    rules:
      `${CHAIN}; nft add set ip f s '{ type ipv4_addr; flags interval; elements = { 10.244.2.4/31 } }'; nft add rule ip f forward ip daddr @s drop`,
    says: "drop: ip daddr in set s drop",
  },
  {
    why: "a pair of its addresses is dropped",
    rules: rule("ip saddr . ip daddr { 10.244.1.5 . 10.244.2.5 } drop"),
    says: "drop: ip saddr in set __set0 drop",
  },
  {
    why: "ranges of an address and a port are dropped",
    rules:
      `${CHAIN}; nft add set ip f s '{ type ipv4_addr . inet_service; flags interval; elements = { 10.244.2.0/24 . 33000-34000 } }'; nft add rule ip f forward ip daddr . udp dport @s drop`,
    says: "drop: l4proto udp ip daddr in set s drop",
  },
  {
    why: "ranges of an address and other ports are dropped",
    rules:
      `${CHAIN}; nft add set ip f s '{ type ipv4_addr . inet_service; flags interval; elements = { 10.244.2.0/24 . 34000-35000 } }'; nft add rule ip f forward ip daddr . udp dport @s drop`,
    says: "accept",
  },
  {
    why: "a map of verdicts drops its destination",
    rules: rule("ip daddr vmap { 10.244.2.5 : drop }"),
    says: "drop: ip daddr vmap __map0 drop",
  },
  {
    why: "a map of verdicts drops another destination",
    rules: rule("ip daddr vmap { 10.244.2.6 : drop }"),
    says: "accept",
  },
  {
    why: "a map of verdicts drops all that it does not name",
    rules: rule("ip daddr vmap { 10.244.2.6 : accept, '*' : drop }"),
    says: "drop: ip daddr vmap __map0 drop",
  },
  {
    why: "a map of verdicts leads to a chain that drops",
    rules: `${CHAIN}; nft add chain ip f d; nft add rule ip f d drop; ` +
      "nft add rule ip f forward iifname vmap { cni0 : jump d }",
    says: "drop: drop",
  },
  {
    why: "a map of verdicts asks for the state",
    rules: rule("ct state vmap { established : accept, new : drop }"),
    says: "drop: ct state vmap __map0 drop",
  },
  {
    why: "a map of verdicts asks for what is not known",
    rules: rule("meta length vmap { 300-400 : drop, 500 : accept }"),
    says: "accept???meta 0 vmap __map0",
  },
  {
    why: "a map of verdicts asks for a mark that it may have",
    rules: rule("meta mark set 0x7; nft add rule ip f forward meta mark vmap { 0x7 : drop }"),
    says: "accept?mark vmap __map0 drop",
  },
  {
    why: "a rule has it bypass connection tracking, and another drops what does",
    rules:
      `${CHAIN}; nft add chain ip f r '{ type filter hook forward priority -300; }'; nft add rule ip f r notrack; nft add rule ip f forward ct state untracked drop`,
    says: "drop: ct state untracked drop",
  },
  {
    why: "a rule drops what is new",
    rules: rule("ct state new drop"),
    says: "drop: ct state new drop",
  },
  {
    why: "another chain is led to",
    rules:
      `${CHAIN}; nft add chain ip f other; nft add rule ip f other counter drop; nft add rule ip f forward iifname cni0 jump other`,
    says: "drop: drop",
  },
  {
    why: "a chain returns before the end",
    rules:
      `${CHAIN}; nft add chain ip f other; nft add rule ip f other return; nft add rule ip f other drop; nft add rule ip f forward jump other`,
    says: "accept",
  },
  {
    why: "a map of verdicts accepts it before all is refused",
    rules: rule("iifname vmap { cni0 : accept, eth9 : drop }; nft add rule ip f forward reject"),
    says: "accept",
  },
  {
    why: "a rule gives it a mark, by which another drops",
    rules: rule("meta mark set 0x7; nft add rule ip f forward meta mark 0x7 drop"),
    says: "accept?mark 0x00000007 drop",
  },
  {
    why: "a rule of others' marks drops",
    rules: rule("meta mark 0x7 drop"),
    says: "accept",
  },
  {
    why: "the policy drops",
    rules:
      "nft add table inet g; nft add chain inet g forward '{ type filter hook forward priority 10; policy drop; }'",
    says: "drop: policy drop",
  },
  {
    why: "the table whose policy drops is dormant",
    rules:
      "nft add table inet g; nft add chain inet g forward '{ type filter hook forward priority 10; policy drop; }'; nft add table inet g '{ flags dormant; }'",
    says: "accept",
  },
  {
    why: "iptables drops its ports",
    rules: "iptables-nft -A FORWARD -p udp --dport 33434 -j DROP",
    says: "drop: l4proto udp dport 33434 drop",
  },
  {
    why: "iptables accepts answers alone",
    rules:
      "iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    says: "drop: policy drop",
  },
  {
    why: "iptables takes in answers",
    rules:
      "iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    packet: { state: "established" },
    says: "accept",
  },
  {
    why: "iptables marks are not on it",
    rules: "iptables-nft -A FORWARD -m mark --mark 0x4000/0x4000 -j DROP",
    says: "accept",
  },
];

for (const { why, rules, says, packet } of cases) {
  Deno.test(`walkHook() tells what the kernel's rules do with a packet: ${why}`, async () => {
    using libc = new Libc();
    await using netns = await TestNetns.create();
    const { code, stderr } = await netns.run("sh", "-ec", rules);
    assertEquals(code, 0, stderr);
    using transport = netns.openTransport(libc, { protocol: NETLINK_NETFILTER });
    const book = readRuleBook(new NetlinkClient(transport));
    const { verdict, isCertain, by, doubts } = walkHook(book, PACKET_HOOK.forward, { ...PACKET, ...packet });
    const said = `${verdict}${isCertain ? "" : "??"}${by === undefined ? "" : `: ${by.text}`}` +
      doubts.map(({ text }) => `?${text}`).join("");
    assertEquals(said, says);
  });
}

Deno.test("walkHook() finds the rule that gives a packet another source", async () => {
  using libc = new Libc();
  await using netns = await TestNetns.create();
  await netns.run("sh", "-ec", "iptables-nft -t nat -A POSTROUTING -s 10.244.0.0/16 -j MASQUERADE");
  using transport = netns.openTransport(libc, { protocol: NETLINK_NETFILTER });
  const book = readRuleBook(new NetlinkClient(transport));
  const { translation } = walkHook(book, PACKET_HOOK.postrouting, PACKET);
  assertEquals([translation?.action.kind, translation?.chain, translation?.isCertain], [
    "masquerade",
    "POSTROUTING",
    true,
  ]);
  const answer = walkHook(book, PACKET_HOOK.postrouting, { ...PACKET, state: "established" });
  assertEquals(answer.translation, undefined);
});
