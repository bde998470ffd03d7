import { assert, assertEquals } from "@std/assert";
import { isChainOfInterest, RuleNews } from "../../src/firewall/rule_news.ts";
import { openRuleWatch } from "../../src/firewall/rule_watch.ts";
import { TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { dumpChains, readGeneration } from "../../src/nftables/dump.ts";
import { NFNLGRP_NFTABLES, NFT_MSG_GETCHAIN } from "../../src/nftables/objects.ts";
import { NftHost, wishes } from "../double/nft_host.ts";
import { pick as pickOf, SEED, seededRandom } from "../double/random.ts";
import { requestsOf } from "../double/refusing.ts";

const OWN = "loden-10.244.0.0-16";

/** A host whose rules are kept by what is heard, and what that has cost. */
async function withNews(
  run: (world: {
    host: NftHost;
    rules: TrafficRules;
    news: RuleNews;
    /** How often all chains were read. */
    dumps: () => number;
    nudges: () => number;
    /** Hears all that was told. */
    hear: () => number;
  }) => Promise<void>,
): Promise<void> {
  await using host = await NftHost.open();
  const groups = { protocol: NETLINK_NETFILTER, groups: [NFNLGRP_NFTABLES] };
  await using notifications = host.netns.openNotifications(host.libc, groups);
  const news = new RuleNews(() => 0);
  let [dumps, nudges] = [0, 0];
  const { transport } = host;
  const client = new NetlinkClient({
    portId: transport.portId,
    send(batch) {
      dumps += requestsOf(batch).filter(({ type }) => type === NFT_MSG_GETCHAIN).length;
      transport.send(batch);
    },
    receive: (buffer) => transport.receive(buffer),
    [Symbol.dispose]: () => {},
  });
  openRuleWatch({ notifications, ownPortId: transport.portId, news, nudge: () => void nudges++ });
  const rules = new TrafficRules(client, { log: host.log, news });
  const hear = () => {
    const generation = readGeneration(client);
    news.chainsAt(generation);
    return generation;
  };
  await run({ host, rules, news, dumps: () => dumps, nudges: () => nudges, hear });
}

Deno.test("chains and rules of kube-proxy that come and go ask for no look, and what is done to ours beside them is mended without reading all chains", async () => {
  await withNews(async ({ host, rules, news, dumps, nudges, hear }) => {
    await host.script(
      "iptables -P FORWARD DROP; iptables -A FORWARD -j ACCEPT; nft add table ip nat; nft add chain ip nat x",
    );
    const wished = wishes();
    assertEquals(rules.keep(wished).failures, []);
    assertEquals(dumps(), 1);
    for (let round = 0; round < 5; round++) {
      await host.script(`nft add rule ip nat x counter; nft add chain ip nat KUBE-SEP-${round}`);
      hear();
    }
    assertEquals(nudges(), 0);
    await host.exec("nft", "flush", "chain", "ip", OWN, "postrouting");
    hear();
    assertEquals([nudges(), news.lastBy?.program], [1, "nft"]);
    const { changed, met, failures } = rules.keep(wished);
    assertEquals([changed, met, failures, dumps()], [1, ["own"], [], 1]);
    await host.exec("iptables", "-I", "FORWARD", "-j", "DROP");
    hear();
    assertEquals(nudges(), 2);
    assertEquals([rules.keep(wished).changed, rules.keep(wished).changed, dumps()], [1, 0, 1]);
  });
});

Deno.test("a look that comes before its news reads what was told of up to then", async () => {
  await withNews(async ({ host, rules, dumps }) => {
    const wished = wishes();
    rules.keep(wished);
    await host.script(`nft add chain ip ${OWN} extra; nft add table ip other; nft add chain ip other x`);
    assertEquals(rules.keep(wished).changed, 1);
    assert(!(await host.list("table", "ip", OWN)).includes("extra"));
    assertEquals(dumps(), 1);
  });
});

Deno.test("what is known of chains after changes of all kinds is what a look at all of them finds", async () => {
  const random = seededRandom(SEED);
  await withNews(async ({ host, rules, news, dumps, hear }) => {
    rules.keep(wishes());
    const tables = ["filter", "nat", OWN, "flannel-ipv4", "other"];
    const chains = ["FORWARD", "FLANNEL-FWD", "POSTROUTING", "a", "b"];
    const pick = <T>(choices: readonly T[]): T => pickOf(random, choices);
    for (let step = 0; step < 80; step++) {
      const [table, chain] = [pick(tables), pick(chains)];
      const change = pick([
        `add table ip ${table}; add chain ip ${table} ${chain}`,
        `add table ip ${table}; add chain ip ${table} ${chain} { type filter hook forward priority 0; policy accept; }`,
        `chain ip ${table} ${chain} { policy ${pick(["drop", "accept"])}; }`,
        `delete chain ip ${table} ${chain}`,
        `rename chain ip ${table} ${chain} ${pick(chains)}`,
        `delete table ip ${table}`,
        `add rule ip ${table} ${chain} counter`,
      ]);
      // What the kernel refuses changes nothing.
      await host.netns.run("nft", change);
      if (random() < 0.5) continue;
      const generation = hear();
      const key = (chain: unknown) => JSON.stringify(chain);
      const found = [...dumpChains(host.client, isChainOfInterest).values()].map(key).sort();
      assertEquals(news.chainsAt(generation)?.map(key).sort(), found, `${change}, seed ${SEED}`);
    }
    assertEquals(dumps(), 1);
    assertEquals(rules.keep(wishes()).failures, []);
  });
});

Deno.test("a table that falls asleep, or is woken, is noticed, and what is in it judged anew; ours is woken", async () => {
  await withNews(async ({ host, rules, dumps, nudges, hear }) => {
    const wished = wishes();
    await host.script(`nft add table inet wall
      nft 'add chain inet wall f { type filter hook forward priority 0; policy drop; }'
      nft 'add table inet other { flags dormant; }'`);
    assertEquals(rules.keep(wished).doubted?.length, 1);
    await host.script("nft 'add table inet other2 { flags dormant; }'; nft add table inet other");
    hear();
    assertEquals(nudges(), 0);
    for (const [at, [flags, doubted]] of ([["{ flags dormant; }", 0], ["", 1]] as const).entries()) {
      await host.exec("nft", `add table inet wall ${flags}`);
      hear();
      assertEquals([nudges(), rules.keep(wished).doubted?.length], [at + 1, doubted]);
    }
    await host.exec("nft", `add table ip ${OWN} { flags dormant; }`);
    hear();
    assertEquals([nudges(), rules.keep(wished).met], [3, ["own"]]);
    assert(!(await host.list("table", "ip", OWN)).includes("dormant"));
    assertEquals(dumps(), 1);
  });
});
