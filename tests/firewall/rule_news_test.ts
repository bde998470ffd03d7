import { assertEquals } from "@std/assert";
import { chainKey, RuleNews } from "../../src/firewall/rule_news.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import {
  HOOK,
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWTABLE,
  type NftChain,
  POLICY,
} from "../../src/nftables/objects.ts";
import { aboutChain, aboutRule, aboutTable, newGeneration } from "./rule_messages.ts";

const plain = (table: string, chain: string): NftChain => ({ family: 2, table, chain, base: undefined });
const FORWARDING: NftChain = {
  ...plain("firewall", "forward"),
  base: { type: "filter", hook: HOOK.forward, priority: 0, policy: POLICY.drop },
};
const FORWARD: NftChain = { ...FORWARDING, table: "filter", chain: "FORWARD" };

/** What a look has found at generation 6, which has read the rules of `FORWARD` and of a chain that it leads to. */
function known(elapsedMs = () => 0): RuleNews {
  const news = new RuleNews(elapsedMs);
  news.look();
  news.readAll(6, new Map([["2 filter 1", FORWARD]]));
  for (const chain of ["FORWARD", "KUBE-FORWARD"]) news.read(chainKey(plain("filter", chain)));
  return news;
}

/** Hears one message after the other; answers which ended a transaction that asks for a look. */
function hear(news: RuleNews, messages: readonly Uint8Array[], isOwn = false): boolean[] {
  return messages.map((bytes) => {
    const reader = new MessageReader(bytes.slice());
    reader.reset(bytes.length);
    return reader.next() && news.heard(reader, isOwn);
  });
}

const noise: [what: string, message: Uint8Array][] = [
  ["a rule of kube-proxy's is new", aboutRule(NFT_MSG_NEWRULE, "nat", "KUBE-SEP-1")],
  ["a rule of kube-proxy's has gone", aboutRule(NFT_MSG_DELRULE, "nat", "KUBE-SVC-1")],
  ["a chain of kube-proxy's is new", aboutChain(NFT_MSG_NEWCHAIN, plain("nat", "KUBE-SEP-2"), 9n)],
  ["a chain of kube-proxy's has gone", aboutChain(NFT_MSG_DELCHAIN, plain("nat", "KUBE-SEP-2"), 9n)],
  ["a table is new", aboutTable(NFT_MSG_NEWTABLE, "kube-proxy")],
  ["a table has gone", aboutTable(NFT_MSG_DELTABLE, "kube-proxy")],
];
const news: [what: string, message: Uint8Array][] = [
  ["a rule of FORWARD's is new", aboutRule(NFT_MSG_NEWRULE, "filter", "FORWARD")],
  ["a rule is new in a chain that was read", aboutRule(NFT_MSG_NEWRULE, "filter", "KUBE-FORWARD")],
  ["a rule of flannel's is new", aboutRule(NFT_MSG_NEWRULE, "nat", "FLANNEL-POSTRTG")],
  ["a rule of ours has gone", aboutRule(NFT_MSG_DELRULE, "loden-10.244.0.0-16", "postrouting")],
  ["a chain is new in our table", aboutChain(NFT_MSG_NEWCHAIN, plain("loden-10.244.0.0-16", "x"), 3n)],
  ["our table has gone", aboutTable(NFT_MSG_DELTABLE, "loden-10.244.0.0-16")],
  ["flannel's table is new", aboutTable(NFT_MSG_NEWTABLE, "flannel-ipv4")],
  ["a table that FORWARD is in has other flags", aboutTable(NFT_MSG_NEWTABLE, "filter")],
  ["another chain is hooked where packets are forwarded", aboutChain(NFT_MSG_NEWCHAIN, FORWARDING, 4n)],
  ["FORWARD has gone", aboutChain(NFT_MSG_DELCHAIN, FORWARD, 1n)],
  ["FORWARD has another name", aboutChain(NFT_MSG_NEWCHAIN, plain("filter", "other"), 1n)],
];

for (const [what, message] of noise) {
  Deno.test(`RuleNews asks for no look when ${what}`, () => {
    const heard = known();
    assertEquals(hear(heard, [message, newGeneration(7)]), [false, false]);
    assertEquals(heard.chainsAt(7), [FORWARD]);
  });
}

for (const [what, message] of news) {
  Deno.test(`RuleNews asks for a look when ${what}, and says who has done it; not when Loden has`, () => {
    const heard = known();
    assertEquals(hear(heard, [message, newGeneration(7)]), [false, true]);
    assertEquals(heard.lastBy, { pid: 4321, program: "nft" });
    assertEquals(hear(known(), [message, newGeneration(7)], true), [false, false]);
  });
}

Deno.test("RuleNews follows chains of interest as they come, change and go, and by their handle as they are renamed", () => {
  const heard = known();
  const accepting = { ...FORWARDING, base: { ...FORWARDING.base!, policy: POLICY.accept } };
  const renamed = plain("filter", "other");
  hear(heard, [aboutChain(NFT_MSG_NEWCHAIN, FORWARDING, 4n), newGeneration(7)]);
  assertEquals(heard.chainsAt(7), [FORWARD, FORWARDING]);
  hear(heard, [aboutChain(NFT_MSG_NEWCHAIN, accepting, 4n), newGeneration(8)]);
  assertEquals(heard.chainsAt(8), [FORWARD, accepting]);
  hear(heard, [aboutChain(NFT_MSG_NEWCHAIN, renamed, 1n), newGeneration(9)]);
  assertEquals(heard.chainsAt(9), [accepting]);
  hear(heard, [aboutChain(NFT_MSG_DELCHAIN, accepting, 4n), newGeneration(10)]);
  assertEquals(heard.chainsAt(10), []);
});

Deno.test("RuleNews takes no transaction twice: what the look has seen already changes nothing", () => {
  const heard = known();
  const old = [aboutChain(NFT_MSG_DELCHAIN, FORWARD, 1n), newGeneration(6)];
  assertEquals(hear(heard, old), [false, false]);
  assertEquals(heard.chainsAt(6), [FORWARD]);
});

Deno.test("RuleNews has all read anew when a generation is missing, when some was lost, and after a minute", () => {
  const missing = known();
  assertEquals(hear(missing, [newGeneration(8)]), [true]);
  assertEquals(missing.chainsAt(8), undefined);
  const lossy = known();
  lossy.lost();
  assertEquals(lossy.chainsAt(6), undefined);
  let nowMs = 0;
  const old = known(() => nowMs);
  assertEquals(old.chainsAt(6), [FORWARD]);
  nowMs = 60_001;
  assertEquals(old.chainsAt(6), undefined);
});

Deno.test("RuleNews goes on behind the last number that a generation can have", () => {
  const heard = known();
  heard.readAll(0xffff_ffff, new Map());
  assertEquals(hear(heard, [newGeneration(1)]), [false]);
  assertEquals(heard.chainsAt(1), []);
});

Deno.test("RuleNews remembers no more of one transaction than it can hold", () => {
  const heard = known();
  const many = Array.from(
    { length: 1001 },
    (_, at) => aboutChain(NFT_MSG_NEWCHAIN, plain("loden-x", `c${at}`), BigInt(at + 10)),
  );
  assertEquals(hear(heard, [...many, newGeneration(7)]).at(-1), true);
  assertEquals(heard.chainsAt(7), undefined);
});

Deno.test("RuleNews asks for a look when a chain has changed that packets were played through, until others are", () => {
  const message = aboutRule(NFT_MSG_NEWRULE, "mangle", "MARKS");
  const heard = known();
  heard.watch(new Set([chainKey(plain("mangle", "MARKS"))]));
  // A look of another kind keeps it.
  heard.look();
  assertEquals(hear(heard, [message, newGeneration(7)]), [false, true]);
  heard.watch(new Set());
  assertEquals(hear(heard, [message, newGeneration(8)]), [false, false]);
});
