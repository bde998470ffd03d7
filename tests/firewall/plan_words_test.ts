import { assertEquals } from "@std/assert";
import { listRules, ruleText } from "../../src/firewall/plan_words.ts";
import { plansOf } from "../../src/firewall/plan.ts";
import type { RuleSet } from "../../src/firewall/rule_set.ts";
import {
  FORWARD_JUMP,
  forwardRules,
  masqueradeRules,
  ownChain,
  type RuleWishes,
} from "../../src/firewall/rules.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { ChangeList, changeText } from "../../src/model/host_plan.ts";
import { HOOK, type NftChain, type NftRule, type NftRuleText, POLICY } from "../../src/nftables/objects.ts";

const network = parsePrefix("10.244.0.0/16");
const subnet = parsePrefix("10.244.1.0/24");
const wishes: RuleWishes = {
  families: [{ network, subnet }],
  isMasquerading: true,
  isFullyRandom: true,
  isForwarding: true,
  excluded: [],
};
const own = ownChain(network);
const forward: NftChain = {
  family: 2,
  table: "filter",
  chain: "FORWARD",
  base: { type: "filter", hook: HOOK.forward, priority: 0, policy: POLICY.drop },
};
const flannel: NftChain = { family: 2, table: "filter", chain: "FLANNEL-FWD", base: undefined };
const DROP: NftRuleText = { expressions: [{ kind: "verdict", verdict: "drop" }] };

/** What a kernel holds, with handles in its order. */
function setOf(
  content: readonly (readonly [NftChain, readonly NftRuleText[]])[],
  dormant: readonly string[] = [],
): RuleSet {
  let handle = 0n;
  const rules = new Map(content.map(([chain, texts]) => [
    chain,
    texts.map((text): NftRule => ({ ...chain, ...text, handle: ++handle })),
  ]));
  const chains = content.map(([chain]) => chain);
  return {
    tables: [...new Set(chains.map(({ table }) => table))]
      .map((table) => ({ family: 2, table, isDormant: dormant.includes(table) })),
    chains,
    awake: chains.filter(({ table }) => !dormant.includes(table)),
    rulesOf: (wanted) =>
      rules.get(chains.find(({ table, chain }) => table === wanted.table && chain === wanted.chain)!) ?? [],
  };
}

function planned(set: RuleSet): string[] {
  const list = new ChangeList(Infinity);
  listRules(plansOf(wishes, set), set, list);
  return list.changes.map(changeText);
}

const all = masqueradeRules({ network, subnet }, wishes);
const accepted = forwardRules(network);
const settled = [[own, all], [forward, [FORWARD_JUMP]], [flannel, accepted]] as const;

const cases: [what: string, set: RuleSet, lines: string[]][] = [
  ["all is as wished", setOf(settled), []],
  ["one rule of the own table is gone", setOf([[own, all.toSpliced(4, 1)], ...settled.slice(1)]), [
    '+ rule ip loden-10.244.0.0-16 postrouting ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random comment "pods to the outside"',
  ]],
  ["another program's rule is in the own table", setOf([[own, [...all, DROP]], ...settled.slice(1)]), [
    "- rule ip loden-10.244.0.0-16 postrouting drop",
  ]],
  [
    "two rules have changed places",
    setOf([[own, [all[1]!, all[0]!, ...all.slice(2)]], ...settled.slice(1)]),
    [
      '~ rule ip loden-10.244.0.0-16 postrouting ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return comment "own pods to pods" at place 1 -> at place 2',
    ],
  ],
  ["iptables -F has emptied the chains", setOf([settled[0], [forward, []], [flannel, []]]), [
    ...accepted.map((rule) => `+ rule ip filter FLANNEL-FWD ${ruleText(rule)}`),
    "+ rule ip filter FORWARD /* flanneld forward */ counter jump FLANNEL-FWD",
  ]],
  ["the own table is dormant", setOf(settled, [own.table]), ["- table ip loden-10.244.0.0-16 flags dormant"]],
  ["the own table is gone", setOf(settled.slice(1)), [
    "+ table ip loden-10.244.0.0-16",
    "+ chain ip loden-10.244.0.0-16 postrouting",
    ...all.map((rule) => `+ rule ip loden-10.244.0.0-16 postrouting ${ruleText(rule)}`),
  ]],
];

for (const [what, set, lines] of cases) {
  Deno.test(`listRules() says what is other, and nothing else, when ${what}`, () => {
    assertEquals(planned(set), lines);
  });
}
