import { assertEquals, assertRejects } from "@std/assert";
import { RuleNews } from "../../src/firewall/rule_news.ts";
import { openRuleWatch } from "../../src/firewall/rule_watch.ts";
import { NFT_MSG_NEWRULE } from "../../src/nftables/objects.ts";
import { type Datagram, LOST, scripted } from "../double/scripted_notifications.ts";
import { aboutRule, newGeneration } from "./rule_messages.ts";

const OWN_PORT_ID = 4711;

function watch(datagrams: Datagram[]) {
  const controller = new AbortController();
  const news = new RuleNews(() => 0);
  let nudges = 0;
  const run = openRuleWatch({
    notifications: scripted(datagrams, controller),
    ownPortId: OWN_PORT_ID,
    news,
    nudge: () => void nudges++,
  });
  return { news, nudges: () => nudges, run: () => run({ signal: controller.signal }) };
}

const rule = aboutRule(NFT_MSG_NEWRULE, "filter", "FORWARD");
const cases: [what: string, datagrams: Datagram[], nudges: number][] = [
  ["others have changed rules", [rule, newGeneration(7)], 1],
  ["notifications were lost", [LOST], 1],
  ["there is no new generation", [rule], 0],
  ["the change was our own", [rule, newGeneration(7, OWN_PORT_ID)], 0],
];

for (const [what, datagrams, nudges] of cases) {
  Deno.test(`a watch of rules nudges ${nudges} times before the first look when ${what}`, async () => {
    const watched = watch(datagrams);
    await watched.run();
    assertEquals(watched.nudges(), nudges);
  });
}

Deno.test("a look hears at once what was told up to then, and asks for no other one", () => {
  const watched = watch([newGeneration(7, OWN_PORT_ID), newGeneration(8)]);
  watched.news.readAll(6, new Map());
  assertEquals(watched.news.chainsAt(8), []);
  assertEquals(watched.nudges(), 0);
});

Deno.test("a look reads all chains where what was told does not lead to the generation that there is", () => {
  const watched = watch([newGeneration(7)]);
  watched.news.readAll(6, new Map());
  assertEquals(watched.news.chainsAt(8), undefined);
});

Deno.test("a flood of others' rules is heard some at a time, so that all else has its turn", async () => {
  const endless = aboutRule(NFT_MSG_NEWRULE, "nat", "KUBE-SEP-1");
  let [turns, reads] = [0, 0];
  const run = openRuleWatch({
    notifications: {
      wait: () => turns++ < 2 ? Promise.resolve() : Promise.reject(new Error("enough")),
      receive(buffer) {
        reads++;
        buffer.set(endless);
        return endless.length;
      },
    },
    ownPortId: OWN_PORT_ID,
    news: new RuleNews(() => 0),
    nudge: () => {},
  });
  await assertRejects(() => run({ signal: new AbortController().signal }), Error, "enough");
  assertEquals(reads, 1000);
});
