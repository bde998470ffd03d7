import { assertEquals } from "@std/assert";
import type { RuleWishes } from "../../src/firewall/rules.ts";
import { removeRules, TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { HALVES, NftHost, wishes } from "../double/nft_host.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { counting } from "../double/refusing.ts";

/** A table of ours, with these rules in its one chain. */
function table(family: "ip" | "ip6", ...rules: string[]): string {
  return [
    `table ${family} ${family === "ip" ? "loden-10.244.0.0-16" : "loden-fd00_10_244__-56"} {`,
    "\tchain postrouting {",
    "\t\ttype nat hook postrouting priority srcnat; policy accept;",
    ...rules.map((rule) => `\t\t${rule}`),
    "\t}",
    "}",
    "",
  ].join("\n");
}

const MARK = 'meta mark & 0x00004000 == 0x00004000 return comment "kube-proxy sees to it"';

/** What is wanted of IPv4, with what is `excluded`, and `how` it is masqueraded. */
function ipv4(excluded: readonly string[] = [], how = "masquerade fully-random"): string {
  return table(
    "ip",
    MARK,
    'ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return comment "own pods to pods"',
    'ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return comment "pods to own pods"',
    'ip saddr != 10.244.0.0/16 ip daddr 10.244.1.0/24 return comment "others to own pods"',
    ...excluded.map((cidr) => `ip saddr 10.244.0.0/16 ip daddr ${cidr} return comment "MasqueradeExclude"`),
    `ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 ${how} comment "pods to the outside"`,
    `ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 ${how} comment "this host and others to pods elsewhere"`,
  );
}

/** The same of IPv6. */
function ipv6(excluded: readonly string[] = [], how = "masquerade fully-random"): string {
  const [network, subnet] = ["fd00:10:244::/56", "fd00:10:244:1::/64"];
  return table(
    "ip6",
    MARK,
    `ip6 saddr ${subnet} ip6 daddr ${network} return comment "own pods to pods"`,
    `ip6 saddr ${network} ip6 daddr ${subnet} return comment "pods to own pods"`,
    `ip6 saddr != ${network} ip6 daddr ${subnet} return comment "others to own pods"`,
    ...excluded.map((cidr) => `ip6 saddr ${network} ip6 daddr ${cidr} return comment "MasqueradeExclude"`),
    `ip6 saddr ${network} ip6 daddr != ff00::/8 ${how} comment "pods to the outside"`,
    `ip6 saddr != ${network} ip6 daddr ${network} ${how} comment "this host and others to pods elsewhere"`,
  );
}

/** All tables, `ip` before `ip6`. */
async function listed(host: NftHost): Promise<string> {
  return (await host.list()).split(/^(?=table)/m).sort().join("");
}

const cases: [name: string, wished: Partial<RuleWishes>, tables: string][] = [
  ["both families", {}, ipv4() + ipv6()],
  ["IPv4 alone", { families: [HALVES.ip] }, ipv4()],
  ["IPv6 alone", { families: [HALVES.ip6] }, ipv6()],
  ["without fully random ports", { isFullyRandom: false }, ipv4([], "masquerade") + ipv6([], "masquerade")],
  [
    "with exclusions, each in its family and in their order",
    { excluded: ["192.0.2.0/25", "2001:db8::/32", "10.0.0.0/8", "198.51.100.7/32"].map(parsePrefix) },
    ipv4(["192.0.2.0/25", "10.0.0.0/8", "198.51.100.7"]) + ipv6(["2001:db8::/32"]),
  ],
  [
    "with an exclusion of everything",
    { excluded: [parsePrefix("0.0.0.0/0")], families: [HALVES.ip] },
    ipv4(["0.0.0.0/0"]),
  ],
  ["not masqueraded", { isMasquerading: false }, ""],
];

for (const [name, wished, tables] of cases) {
  Deno.test(`TrafficRules makes what nft lists, and then rests: ${name}`, async () => {
    await using host = await NftHost.open();
    const wanted = wishes(wished);
    host.keep(wanted);
    assertEquals(await listed(host), tables);
    assertEquals(host.keep(wanted).changed, 0);
    // A process that has just started knows nothing of what was made.
    const other = new TrafficRules(host.client, { log: new RecordedLog() });
    assertEquals(other.keep(wanted), { ...host.keep(wanted), changed: 0 });
    assertEquals(await listed(host), tables);
  });
}

Deno.test("any wish leads to any other in one look, one transaction a family", async () => {
  await using host = await NftHost.open();
  const former = [HALVES.ip.network, HALVES.ip6.network];
  for (const [, from] of cases) {
    for (const [name, to, tables] of cases) {
      host.keep(wishes(from));
      const { changed } = host.keep(wishes({ ...to, former }));
      assertEquals(await listed(host), tables, name);
      assertEquals(changed <= 2, true, `${name}: ${changed} transactions`);
    }
  }
});

Deno.test("rules of an earlier network and subnet are gone when those are others", async () => {
  await using host = await NftHost.open();
  const earlier = { network: parsePrefix("172.16.0.0/12"), subnet: parsePrefix("172.17.3.0/26") };
  host.keep(wishes({ families: [earlier, HALVES.ip6] }));
  host.keep(wishes({ former: [earlier.network] }));
  assertEquals(await listed(host), ipv4() + ipv6());
});

Deno.test("a look at rules that nobody has changed is one question", async () => {
  await using host = await NftHost.open();
  const transport = counting(host.transport);
  const rules = new TrafficRules(new NetlinkClient(transport), { log: host.log });
  const wanted = wishes();
  const first = rules.keep(wanted);
  transport.reset();
  assertEquals(rules.keep(wanted), { ...first, changed: 0, met: [] });
  assertEquals(transport.sends, 1);
  await host.exec("nft", "add", "table", "ip", "other");
  rules.keep(wanted);
  transport.reset();
  rules.keep(wanted);
  assertEquals(transport.sends, 1, "what others have changed is looked at once");
});

Deno.test("the report says in words what holds", async () => {
  await using host = await NftHost.open();
  const { effective } = host.keep(wishes({ excluded: ["192.0.2.0/25", "10.0.0.0/8"].map(parsePrefix) }));
  assertEquals(effective, [
    "IPv4: what pods send out of 10.244.0.0/16 has this host's address, but not to 192.0.2.0/25, 10.0.0.0/8",
    "IPv4: forwarded packets of 10.244.0.0/16 are accepted",
    "IPv6: what pods send out of fd00:10:244::/56 has this host's address",
    "IPv6: forwarded packets of fd00:10:244::/56 are accepted",
  ]);
  assertEquals(host.keep(wishes({ isMasquerading: false, isForwarding: false })).effective, []);
});

Deno.test("removeRules() leaves nothing of ours, and all of others", async () => {
  await using host = await NftHost.open();
  await host.script(`
    iptables -P FORWARD DROP
    ip6tables -A FORWARD -j REJECT
    nft add table inet other
  `);
  const before = await host.list();
  host.keep();
  assertEquals(await host.list() === before, false);
  removeRules(host.client);
  assertEquals(await host.list(), before);
  removeRules(host.client);
});
