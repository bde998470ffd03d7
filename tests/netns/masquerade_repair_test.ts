import { assertEquals, assertStringIncludes } from "@std/assert";
import { RuleNews } from "../../src/firewall/rule_news.ts";
import { openRuleWatch } from "../../src/firewall/rule_watch.ts";
import { TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EINTR, EINVAL, ENOBUFS, EPERM } from "../../src/linux/errno.ts";
import { addTable, changeRules, NFNLGRP_NFTABLES } from "../../src/nftables/objects.ts";
import { readGeneration } from "../../src/nftables/dump.ts";
import { NETLINK_NETFILTER, type NetlinkTransport } from "../../src/netlink/socket.ts";
import { NftHost, wishes } from "../double/nft_host.ts";
import { meddling, refusingSend } from "../double/nft_transport.ts";
import { counting, losing } from "../double/refusing.ts";

const EBUSY = 16;
const ENOMEM = 12;

/** What others have on a host. */
const OTHERS = `
  iptables -P FORWARD DROP
  iptables -A FORWARD -i lo -j ACCEPT
  iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
  ip6tables -A FORWARD -j REJECT
  nft add table inet other
  nft add chain inet other input '{ type filter hook input priority 0; }'
  nft add rule inet other input counter packets 7 bytes 700 accept comment '"counted"'`;

/** All tables, whatever the order in which they were made. */
async function tables(host: NftHost): Promise<string[]> {
  return (await host.list()).split(/^(?=table)/m).sort();
}

const damages: [name: string, script: string][] = [
  [
    "our tables are deleted",
    "nft delete table ip loden-10.244.0.0-16; nft delete table ip6 loden-fd00_10_244__-56",
  ],
  ["our table is dormant", "nft 'add table ip loden-10.244.0.0-16 { flags dormant; }'"],
  ["our chain is flushed", "nft flush chain ip loden-10.244.0.0-16 postrouting"],
  ["one rule is deleted", "nft delete rule ip loden-10.244.0.0-16 postrouting handle 4"],
  [
    "one rule is there twice",
    `nft add rule ip loden-10.244.0.0-16 postrouting ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade fully-random \
       comment '"this host and others to pods elsewhere"'`,
  ],
  [
    "two rules have changed places",
    `nft delete rule ip loden-10.244.0.0-16 postrouting handle 3
     nft insert rule ip loden-10.244.0.0-16 postrouting position 5 ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return \
       comment '"own pods to pods"'`,
  ],
  [
    "a foreign rule is among ours",
    "nft insert rule ip6 loden-fd00_10_244__-56 postrouting ip6 daddr ::1 drop",
  ],
  [
    "a rule says something else",
    "nft replace rule ip loden-10.244.0.0-16 postrouting handle 7 ip saddr 10.0.0.0/8 masquerade",
  ],
  ["a foreign chain is in our table", "nft add chain ip loden-10.244.0.0-16 extra"],
  ["our chain drops what has no rule", "nft chain ip loden-10.244.0.0-16 postrouting '{ policy drop; }'"],
  [
    "our chain has another priority",
    `nft -f - <<'END'
       delete table ip loden-10.244.0.0-16
       table ip loden-10.244.0.0-16 {
         chain postrouting {
           type nat hook postrouting priority 90; policy accept;
         }
       }
END`,
  ],
];

for (const [name, script] of damages) {
  Deno.test(`a look mends what others have done: ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(OTHERS);
    host.keep();
    const whole = await tables(host);
    // With handles and counters: what is another one than before would show.
    const others = () => host.script("nft -a list table inet other; iptables-save -c -t nat | grep -v '^#'");
    const before = await others();
    await host.script(script);
    assertEquals((await tables(host)).join("") === whole.join(""), false, "the damage shows");
    host.keep();
    assertEquals(await tables(host), whole);
    assertEquals(await others(), before);
    assertEquals(host.keep().changed, 0);
  });
}

Deno.test("a look mends a host whose whole ruleset was flushed", async () => {
  await using host = await NftHost.open();
  host.keep();
  const whole = await tables(host);
  await host.exec("nft", "flush", "ruleset");
  assertEquals(host.keep().changed, 2);
  assertEquals(await tables(host), whole);
});

/** A host, and looks at it that begin from nothing, through a transport that misbehaves. */
async function trials(): Promise<{
  host: NftHost;
  whole: readonly string[];
  sends: number;
  begin: () => Promise<void>;
  rules: (transport: NetlinkTransport) => TrafficRules;
}> {
  const host = await NftHost.open();
  const begin = async () => void await host.script(`nft flush ruleset\n${OTHERS}`);
  const rules = (transport: NetlinkTransport) =>
    new TrafficRules(new NetlinkClient(transport), { log: host.log });
  await begin();
  const counted = counting(host.transport);
  assertEquals(rules(counted).keep(wishes()).changed, 4);
  return { host, whole: await tables(host), sends: counted.sends, begin, rules };
}

for (const [name, errno] of Object.entries({ EPERM, ENOBUFS, EBUSY, ENOMEM, EINTR })) {
  Deno.test(`${name} at any send is reported, keeps nothing else from being done, and the next look mends it`, async () => {
    const { host, whole, sends, begin, rules } = await trials();
    await using _ = host;
    const wished = wishes();
    let lost = 0;
    for (let n = 0; n < sends; n++) {
      await begin();
      const kept = rules(refusingSend(host.transport, n, errno));
      const { changed, failures } = kept.keep(wished);
      const isMended = errno === EINTR && changed === 4;
      if (!isMended) assertEquals(failures.length, 1, `send ${n}`);
      for (const failure of failures) assertStringIncludes(failure, name);
      if (changed === 3) lost++;
      const { failures: after } = kept.keep(wished);
      assertEquals(after, [], `send ${n}`);
      assertEquals(await tables(host), whole, `send ${n}`);
      assertEquals(kept.keep(wished).changed, 0, `send ${n}`);
    }
    if (errno !== EINTR) assertEquals(lost, 4, "each of four transactions fails alone");
  });
}

Deno.test("a refusal whose answer was lost is not taken for success", async () => {
  const { host, whole, sends, begin, rules } = await trials();
  await using _ = host;
  const wished = wishes();
  for (let n = 0; n < sends; n++) {
    await begin();
    const kept = rules(losing(refusingSend(host.transport, n, EPERM), n));
    kept.keep(wished);
    kept.keep(wished);
    assertEquals(await tables(host), whole, `send ${n}`);
  }
});

Deno.test("what another program changes during a look is seen in the same look", async () => {
  const { host, whole, sends, begin, rules } = await trials();
  await using _ = host;
  using other = host.netns.openTransport(host.libc, { protocol: NETLINK_NETFILTER });
  const client = new NetlinkClient(other);
  const change = (table: string) =>
    changeRules(client, "meddle", readGeneration(client), [addTable({ family: 2, table })]);
  for (let n = 1; n < sends; n++) {
    await begin();
    const kept = rules(meddling(host.transport, (at) => at === n && change("meddled")));
    assertEquals(kept.keep(wishes()).failures, [], `send ${n}`);
    assertEquals((await tables(host)).filter((table) => !table.includes("meddled")), whole, `send ${n}`);
  }
  await begin();
  const { failures } = rules(meddling(host.transport, (at) => at > 0 && change(`meddled${at}`))).keep(
    wishes(),
  );
  assertEquals(failures.length > 0, true, "one who never rests makes it give up until the next look");
  assertStringIncludes(failures[0]!, "ERESTART");
});

Deno.test("a kernel without nf_tables is named", async () => {
  await using host = await NftHost.open();
  const client = new NetlinkClient(refusingSend(host.transport, 0, EINVAL));
  const { failures, effective } = new TrafficRules(client, { log: host.log }).keep(wishes());
  assertEquals(failures, [
    'Cannot read the generation of the rules: EINVAL, "this kernel has no nf_tables; load the module nf_tables"',
  ]);
  assertEquals(effective, []);
});

Deno.test("a watch of rules nudges for what others do, and not for what we do", async () => {
  await using host = await NftHost.open();
  const groups = { protocol: NETLINK_NETFILTER, groups: [NFNLGRP_NFTABLES] };
  await using notifications = host.netns.openNotifications(host.libc, groups);
  const controller = new AbortController();
  const { signal } = controller;
  let nudges = 0;
  let heard = Promise.withResolvers<void>();
  const nudge = () => {
    nudges++;
    heard.resolve();
  };
  const news = new RuleNews(() => 0);
  const watching = openRuleWatch({ notifications, ownPortId: host.transport.portId, news, nudge })({
    signal,
  });
  host.keep();
  await host.exec("nft", "add", "table", "ip", "other");
  await heard.promise;
  assertEquals(nudges, 1);
  heard = Promise.withResolvers();
  await host.exec("iptables", "-A", "FORWARD", "-i", "lo", "-j", "ACCEPT");
  await heard.promise;
  controller.abort();
  await watching;
});

Deno.test("a watch of rules nudges when notifications were lost", async () => {
  await using host = await NftHost.open();
  await using notifications = host.netns.openNotifications(host.libc, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTABLES],
    bufferBytes: 1,
  });
  // Ours alone: only the loss can make it nudge.
  for (let round = 0; round < 50; round++) {
    host.keep();
    host.keep(wishes({ isMasquerading: false }));
  }
  const controller = new AbortController();
  const { signal } = controller;
  const { portId: ownPortId } = host.transport;
  const news = new RuleNews(() => 0);
  await openRuleWatch({ notifications, ownPortId, news, nudge: () => controller.abort() })({ signal });
  assertEquals(signal.aborted, true);
});
