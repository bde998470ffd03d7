import { assertEquals } from "@std/assert";
import { MessageReader } from "../../src/netlink/message.ts";
import { NFNLGRP_NFTABLES, NFT_MSG_NEWGEN } from "../../src/nftables/objects.ts";
import { decodeChain, decodeRule, readGeneration } from "../../src/nftables/dump.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { FLANNELD_RULES } from "../double/flanneld_rules.ts";
import { NftHost } from "../double/nft_host.ts";

// What flanneld has made before Loden came, by the very commands that it runs.

/** flannel's nftables mode. */
const NFT_MODE = `nft -f - <<'END'
  table ip flannel-ipv4 {
    comment "rules for flannel-ipv4"
    chain postrtg {
      comment "chain to manage traffic masquerading by flannel"
      type nat hook postrouting priority srcnat; policy accept;
      meta mark 0x4000 return
      ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return
      ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade fully-random
    }
    chain forward {
      type filter hook forward priority filter; policy accept;
      ip saddr 10.244.0.0/16 accept
    }
  }
  table ip6 flannel-ipv6 {
    chain postrtg {
      type nat hook postrouting priority srcnat; policy accept;
    }
  }
END`;

const mine = (program: string, table: string, chain: string) =>
  `${program} -t ${table} -A ${chain} -i lo -j ACCEPT`;
const BEFORE = [
  "iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",
  "ip6tables -t nat -A POSTROUTING -s 2001:db8::/64 -j MASQUERADE",
  mine("iptables", "filter", "FORWARD"),
  mine("ip6tables", "filter", "FORWARD"),
].join("\n");

/** flannel 0.8, which knows no IPv6. */
const BARE = `
  iptables -t nat -A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN
  iptables -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
  iptables -t nat -A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN
  iptables -t nat -A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE`;

const IPTABLES_MODE = Object.values(FLANNELD_RULES).join("");
/** What the iptables mode leaves when nftables are switched on: an empty chain, and the jump to it. */
const HALF_GONE = `${IPTABLES_MODE}
  iptables -t nat -F FLANNEL-POSTRTG
  ip6tables -t nat -F FLANNEL-POSTRTG
  ${NFT_MODE}`;

const cases: readonly { name: string; script: string; changed: number }[] = [
  { name: "in its iptables mode", script: IPTABLES_MODE, changed: 2 },
  { name: "in its nftables mode", script: NFT_MODE, changed: 4 },
  { name: "of both modes, one half removed", script: HALF_GONE, changed: 2 },
  { name: "of version 0.8", script: BARE, changed: 4 },
];

for (const { name, script, changed } of cases) {
  Deno.test(`rules of flanneld ${name} are replaced, those of others stay`, async () => {
    await using expected = await NftHost.open();
    await expected.script(BEFORE);
    expected.keep();

    await using host = await NftHost.open();
    await host.script(`${BEFORE}\n${script}`);
    const before = readGeneration(host.client);
    assertEquals(host.keep().changed, changed);
    assertEquals(readGeneration(host.client) - before, changed, "one transaction a purpose and family");
    const tables = async (of: NftHost) => (await of.list()).split(/^(?=table)/m).sort();
    assertEquals(await tables(host), await tables(expected));
    for (const save of ["iptables-save", "ip6tables-save"]) {
      const rules = async (of: NftHost) => (await of.exec(save)).match(/^[-:*].*$/gm)?.sort();
      assertEquals(await rules(host), await rules(expected));
    }
    assertEquals(host.keep().changed, 0);
  });
}

Deno.test("there is no moment without masquerading while flanneld's rules are replaced", async () => {
  await using host = await NftHost.open();
  await host.script(IPTABLES_MODE);
  const notifications = host.netns.openNotifications(host.libc, {
    protocol: NETLINK_NETFILTER,
    groups: [NFNLGRP_NFTABLES],
  });
  await using _ = notifications;
  host.keep();
  // The kernel tells each transaction's changes together, and then its number.
  const buffer = new Uint8Array(64 * 1024);
  const reader = new MessageReader(buffer);
  const transactions: string[][] = [[]];
  for (let length = notifications.receive(buffer); length > 0; length = notifications.receive(buffer)) {
    reader.reset(length);
    while (reader.next()) {
      const chain = decodeChain(reader)?.chain ?? decodeRule(reader)?.chain;
      if (chain !== undefined) transactions.at(-1)!.push(`add ${chain}`);
      else if (reader.type === NFT_MSG_NEWGEN) transactions.push([]);
      else transactions.at(-1)!.push(`message ${reader.type & 0xff}`);
    }
  }
  const [first] = transactions;
  const DELCHAIN = "message 5";
  assertEquals(first!.filter((change) => change === "add postrouting").length, 1 + 6);
  assertEquals(first!.filter((change) => change === DELCHAIN).length, 1);
  assertEquals(transactions.filter((changes) => changes.includes(DELCHAIN)).length, 2, "one a family");
});

Deno.test("rules like flannel 0.8's that are about other networks stay", async () => {
  await using host = await NftHost.open();
  await host.script(BARE.replaceAll("10.244.0.0/16", "10.250.0.0/16"));
  const before = await host.list("table", "ip", "nat");
  host.keep();
  assertEquals(await host.list("table", "ip", "nat"), before);
});
