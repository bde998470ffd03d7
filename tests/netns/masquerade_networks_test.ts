import { assertEquals } from "@std/assert";
import type { RuleWishes } from "../../src/firewall/rules.ts";
import { removeRules, TrafficRules } from "../../src/firewall/traffic_rules.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { readGeneration } from "../../src/nftables/dump.ts";
import { NETLINK_NETFILTER } from "../../src/netlink/socket.ts";
import { FLANNELD_RULES, flanneldRules } from "../double/flanneld_rules.ts";
import { NftHost, wishes } from "../double/nft_host.ts";

// Several networks on one host, each with an agent of its own.

const OTHER: RuleWishes = wishes({
  families: [
    { network: parsePrefix("10.1.0.0/16"), subnet: parsePrefix("10.1.7.0/24") },
    { network: parsePrefix("fd01::/48"), subnet: parsePrefix("fd01:0:0:7::/64") },
  ],
  // What the operator of two networks writes.
  excluded: ["10.244.0.0/16", "fd00:10:244::/56"].map(parsePrefix),
});
const TABLES = ["table ip loden-10.244.0.0-16", "table ip6 loden-fd00_10_244__-56"];
const OTHER_TABLES = ["table ip loden-10.1.0.0-16", "table ip6 loden-fd01__-48"];
const FILTERED = "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP";

const tablesOf = async (host: NftHost) =>
  (await host.exec("nft", "list", "tables")).trim().split("\n").sort();
const own = async (host: NftHost) => (await tablesOf(host)).filter((table) => table.includes("loden"));
/** Rules of iptables without counters and hours. */
const saved = async (host: NftHost, ...programs: string[]) => {
  const texts = await Promise.all(programs.map((program) => host.exec(program)));
  return texts.join("").replaceAll(/^[#:].*\n|^COMMIT\n/gm, "");
};
const forwards = async (host: NftHost) =>
  (await saved(host, "iptables-save", "ip6tables-save")).match(/^-A FLANNEL-FWD \S+ \S+/gm)?.sort();
const ACCEPTED = (...networks: string[]) =>
  networks.flatMap((network) => [`-A FLANNEL-FWD -s ${network}`, `-A FLANNEL-FWD -d ${network}`]).sort();

/** A second agent on the host. */
function second(host: NftHost) {
  const transport = host.netns.openTransport(host.libc, { protocol: NETLINK_NETFILTER });
  const rules = new TrafficRules(new NetlinkClient(transport), { log: host.log });
  return { rules, [Symbol.dispose]: () => transport[Symbol.dispose]() };
}

Deno.test("two agents with two networks live side by side: neither touches what is the other's", async () => {
  await using host = await NftHost.open();
  using other = second(host);
  await host.script(FILTERED);
  const mine = wishes();
  for (const keep of [() => host.keep(mine), () => other.rules.keep(OTHER)]) {
    assertEquals(keep().failures, []);
  }
  const before = await host.list();
  const generation = readGeneration(host.client);
  for (let round = 0; round < 3; round++) {
    assertEquals([host.keep(mine).changed, other.rules.keep(OTHER).changed], [0, 0]);
  }
  assertEquals(readGeneration(host.client), generation);
  assertEquals(await host.list(), before);
  assertEquals(await own(host), [...TABLES, ...OTHER_TABLES].sort());
  const networks = ["10.244.0.0/16", "fd00:10:244::/56", "10.1.0.0/16", "fd01::/48"];
  assertEquals(await forwards(host), ACCEPTED(...networks));

  host.keep(wishes({ isMasquerading: false, isForwarding: false }));
  assertEquals(await own(host), OTHER_TABLES);
  assertEquals(await forwards(host), ACCEPTED("10.1.0.0/16", "fd01::/48"), "one gives up its own alone");
  assertEquals(other.rules.keep(OTHER).changed, 0);
  host.keep(mine);
  removeRules(host.client);
  assertEquals(await own(host), []);
  assertEquals(await forwards(host), undefined);
});

/** What a version before tables were named by network made, of OTHER or of ours. */
async function earlierTables(host: NftHost, wished: RuleWishes): Promise<void> {
  host.keep(wished);
  const text = await host.list();
  await host.script(`nft -f - <<'END'
    flush ruleset
    ${text.replaceAll(/^table (ip6?) loden\S*/gm, "table $1 loden")}
END`);
}

Deno.test("the table of an earlier version is taken over in one transaction with the new one", async () => {
  await using host = await NftHost.open();
  await earlierTables(host, wishes());
  assertEquals(await own(host), ["table ip loden", "table ip6 loden"]);
  const before = readGeneration(host.client);
  assertEquals(host.keep().changed, 2);
  assertEquals(readGeneration(host.client) - before, 2, "one a family");
  assertEquals(await own(host), TABLES);
});

Deno.test("the table of an earlier version that is about another network stays, though it excludes ours", async () => {
  await using host = await NftHost.open();
  await earlierTables(host, OTHER);
  const before = await host.list();
  host.keep();
  assertEquals(await own(host), ["table ip loden", "table ip6 loden", ...TABLES].sort());
  host.keep(wishes({ isMasquerading: false }));
  assertEquals(await host.list(), before);
});

for (const version of ["this", "an earlier"]) {
  Deno.test(`what ${version} version made for a former network goes in one transaction with the new`, async () => {
    await using host = await NftHost.open();
    if (version === "this") host.keep(OTHER);
    else await earlierTables(host, OTHER);
    const before = readGeneration(host.client);
    const former = OTHER.families.map(({ network }) => network);
    assertEquals(host.keep(wishes({ former })).changed, 2);
    assertEquals(readGeneration(host.client) - before, 2);
    assertEquals(await own(host), TABLES);
  });
}

Deno.test("forwarded packets of a former network are no more accepted, those of others are", async () => {
  await using host = await NftHost.open();
  const third = wishes({
    families: [
      { network: parsePrefix("10.2.0.0/16"), subnet: parsePrefix("10.2.7.0/24") },
      { network: parsePrefix("fd02::/48"), subnet: parsePrefix("fd02::/64") },
    ],
  });
  await host.script(FILTERED);
  host.keep(OTHER);
  using other = second(host);
  other.rules.keep(third);
  host.keep(wishes({ former: OTHER.families.map(({ network }) => network) }));
  assertEquals(
    await forwards(host),
    ACCEPTED("10.244.0.0/16", "fd00:10:244::/56", "10.2.0.0/16", "fd02::/48"),
  );
  assertEquals(other.rules.keep(third).changed, 0);
});

Deno.test("a former network that comes back is another program's: its rules stay", async () => {
  await using host = await NftHost.open();
  await host.script(FILTERED);
  const wanted = wishes({ former: OTHER.families.map(({ network }) => network) });
  host.keep(OTHER);
  host.keep(wanted);
  using other = second(host);
  other.rules.keep(OTHER);
  assertEquals([host.keep(wanted).changed, other.rules.keep(OTHER).changed], [0, 0]);
  assertEquals(await own(host), [...TABLES, ...OTHER_TABLES].sort());
});

Deno.test("a network that is wished again is not a former one", async () => {
  await using host = await NftHost.open();
  await host.script(FILTERED);
  const former = wishes().families.map(({ network }) => network);
  host.keep(wishes({ former }));
  assertEquals(await own(host), TABLES);
  assertEquals(await forwards(host), ACCEPTED("10.244.0.0/16", "fd00:10:244::/56"));
});

Deno.test("removeRules() leaves tables that are only called alike", async () => {
  await using host = await NftHost.open();
  await host.script(
    "nft add table ip loden-backup; nft add table ip loden-10.1.0.1-16; nft add table ip6 loden-10.1.0.0-16",
  );
  const before = await tablesOf(host);
  host.keep();
  host.keep(OTHER);
  removeRules(host.client);
  assertEquals(await tablesOf(host), before);
});

// A flanneld of another network beside Loden, and one of Loden's network before it.

const ANOTHERS = flanneldRules("iptables", "10.1.0.0/16", "10.1.7.0/24", "224.0.0.0/4") +
  flanneldRules("ip6tables", "fd01::/48", "fd01:0:0:7::/64", "ff00::/8");
const OURS = Object.values(FLANNELD_RULES).join("");

for (const [name, script] of [["alone", ANOTHERS], ["after ours", OURS + ANOTHERS]] as const) {
  Deno.test(`rules of a flanneld with another network stay, those about ours go: ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(FILTERED);
    await host.script(ANOTHERS);
    const nat = await saved(host, "iptables-save", "ip6tables-save");
    await host.script("nft flush ruleset");
    await host.script(`${FILTERED}\n${script}`);
    const wanted = wishes();
    host.keep(wanted);
    assertEquals(host.keep(wanted).changed, 0);
    const of = (text: string, chain: string) =>
      text.split("\n").filter((line) => line.includes(chain)).sort();
    const after = await saved(host, "iptables-save", "ip6tables-save");
    assertEquals(of(after, "POSTR"), of(nat, "POSTR"));
    assertEquals(
      await forwards(host),
      ACCEPTED("10.1.0.0/16", "fd01::/48", "10.244.0.0/16", "fd00:10:244::/56"),
    );
    removeRules(host.client);
    assertEquals((await saved(host, "iptables-save", "ip6tables-save")).match(/.*FLANNEL.*/g), null);
  });
}

/** flannel's nftables mode with rules of this network. */
function flannelTables(network: string, network6: string): string {
  const table = (family: string, name: string, network: string) => `
    table ${family} ${name} {
      chain postrtg {
        type nat hook postrouting priority srcnat; policy accept;
        meta mark 0x4000 return
        ${network === "" ? "" : `${family} saddr ${network} masquerade fully-random`}
      }
      chain forward {
        type filter hook forward priority filter; policy accept;
        ${network === "" ? "" : `${family} saddr ${network} accept`}
      }
    }`;
  return `nft -f - <<'END'
    ${table("ip", "flannel-ipv4", network)}
    ${table("ip6", "flannel-ipv6", network6)}
END`;
}

for (
  const [name, script] of [
    ["of both families", flannelTables("10.1.0.0/16", "fd01::/48")],
    ["of IPv4 alone", flannelTables("10.1.0.0/16", "")],
    ["without rules yet", "nft add table ip flannel-ipv4; nft add table ip6 flannel-ipv6"],
  ] as const
) {
  Deno.test(`flannel's tables of another network stay: ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(script);
    const before = await host.list();
    const wanted = wishes();
    host.keep(wanted);
    host.keep(wishes({ isMasquerading: false }));
    assertEquals(await host.list(), before);
    removeRules(host.client);
    assertEquals(await host.list(), "");
  });
}

Deno.test("flannel's table of our network goes, with the empty one of the family that it did not use", async () => {
  await using host = await NftHost.open();
  await host.script(flannelTables("", "fd00:10:244::/56"));
  host.keep();
  assertEquals(await tablesOf(host), TABLES);
});
