import { assertEquals, assertMatch } from "@std/assert";
import { type FlannelMode, handBackRules, planHandBack } from "../../src/firewall/hand_back.ts";
import { planLegacyHandBack } from "../../src/firewall/legacy_hand_back.ts";
import { parseLegacyListing } from "../../src/firewall/legacy_rules.ts";
import { observeRules } from "../../src/firewall/rule_set.ts";
import type { RuleWishes } from "../../src/firewall/rules.ts";
import { AF_INET, AF_INET6, parsePrefix } from "../../src/model/address.ts";
import { changeRules } from "../../src/nftables/objects.ts";
import { readGeneration } from "../../src/nftables/dump.ts";
import { flanneldLeaves, ruleLines, type Run } from "../double/flanneld_leaves.ts";
import { flanneldRules } from "../double/flanneld_rules.ts";
import { HALVES, NftHost, wishes } from "../double/nft_host.ts";

const runOn = (host: NftHost): Run => (command, ...args) => host.exec(command, ...args);
const IPV4_ALONE: Partial<RuleWishes> = { families: [HALVES.ip] };

const cases: readonly { readonly name: string; readonly mode: FlannelMode; readonly wished: RuleWishes }[] = [
  { name: "dual", mode: "iptables", wished: wishes() },
  { name: "ipv4", mode: "iptables", wished: wishes(IPV4_ALONE) },
  { name: "dual", mode: "nftables", wished: wishes() },
  { name: "ipv4", mode: "nftables", wished: wishes(IPV4_ALONE) },
];

for (const { name, mode, wished } of cases) {
  Deno.test(`handBackRules() leaves what flanneld itself leaves: ${mode}, ${name}`, async () => {
    await using host = await NftHost.open();
    host.keep(wished);
    handBackRules(host.client, wished, mode);
    assertEquals(await ruleLines(runOn(host), mode), await flanneldLeaves(`${mode}-${name}`));
    const before = readGeneration(host.client);
    handBackRules(host.client, wished, mode);
    assertEquals(readGeneration(host.client), before, "what stands is not written again");
  });

  Deno.test(`a hand-back of rules that is ended after any transaction goes on: ${mode}, ${name}`, async () => {
    const last = await planCount(wished, mode);
    for (let done = 1; done < last; done++) {
      await using host = await NftHost.open();
      host.keep(wished);
      for (const { changes } of planHandBack(wished, mode, observeRules(host.client)).plans.slice(0, done)) {
        changeRules(host.client, "a part", readGeneration(host.client), changes);
      }
      handBackRules(host.client, wished, mode);
      const sorted = (lines: readonly string[]) => [...lines].sort();
      assertEquals(
        sorted(await ruleLines(runOn(host), mode)),
        sorted(await flanneldLeaves(`${mode}-${name}`)),
        `after ${done}`,
      );
    }
  });
}

async function planCount(wished: RuleWishes, mode: FlannelMode): Promise<number> {
  await using host = await NftHost.open();
  host.keep(wished);
  return planHandBack(wished, mode, observeRules(host.client)).plans.length;
}

Deno.test("no transaction takes our masquerading away before flanneld's stands in the same", async () => {
  await using host = await NftHost.open();
  host.keep();
  for (const mode of ["iptables", "nftables"] as const) {
    const { plans } = planHandBack(wishes(), mode, observeRules(host.client));
    const removing = plans.filter(({ actions }) =>
      actions.some((action) => action.startsWith("delete table"))
    );
    assertEquals(removing.length, 2, mode);
    for (const { actions } of removing) {
      assertMatch(actions.join(), /write chain.*(FLANNEL-POSTRTG|postrtg).*delete/);
    }
  }
});

const OTHERS = `
  iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
  ip6tables -t nat -A POSTROUTING -s 2001:db8::/64 -j MASQUERADE
  iptables -A FORWARD -i lo -j ACCEPT
  nft add table ip loden-10.9.0.0-16
  nft add table inet mine`;

for (const mode of ["iptables", "nftables"] as const) {
  Deno.test(`handBackRules() leaves the rules of others and of another network's agent: ${mode}`, async () => {
    await using host = await NftHost.open();
    await host.script(OTHERS);
    const before = await host.list();
    host.keep();
    handBackRules(host.client, wishes(), mode);
    const after = (await host.list()).split("\n");
    assertEquals(before.split("\n").filter((line) => line.trim() !== "}" && !after.includes(line)), []);
    assertEquals(after.filter((line) => line.includes("loden")), ["table ip loden-10.9.0.0-16 {"]);
  });
}

Deno.test("handBackRules() leaves what a flanneld that runs already has made, and another network's beside it", async () => {
  const other = flanneldRules("iptables", "10.9.0.0/16", "10.9.1.0/24", "224.0.0.0/4");
  const ours = flanneldRules("iptables", "10.244.0.0/16", "10.244.1.0/24", "224.0.0.0/4");
  await using host = await NftHost.open();
  await host.script(ours);
  const alone = await host.exec("iptables-save");
  handBackRules(host.client, wishes(IPV4_ALONE), "iptables");
  assertEquals(withoutDates(await host.exec("iptables-save")), withoutDates(alone));

  await using both = await NftHost.open();
  both.keep(wishes(IPV4_ALONE));
  await both.script(other);
  handBackRules(both.client, wishes(IPV4_ALONE), "iptables");
  const rules = await both.exec("iptables-save", "-t", "nat");
  assertEquals(rules.match(/-A FLANNEL-POSTRTG .*10\.9\./g)?.length, 5);
  assertEquals(rules.match(/-A FLANNEL-POSTRTG .*10\.244\./g)?.length, 5);
  assertEquals(rules.match(/--mark 0x4000/g)?.length, 1);
  assertEquals(rules.match(/-j FLANNEL-POSTRTG$/gm)?.length, 1);
});

Deno.test("rules of former networks go, and no network's masquerading is made that was off", async () => {
  const former = parsePrefix("10.1.0.0/16");
  await using host = await NftHost.open();
  const old = { network: former, subnet: parsePrefix("10.1.1.0/24") };
  host.keep(wishes({ families: [old] }));
  const wished = wishes({ ...IPV4_ALONE, isMasquerading: false, former: [former] });
  handBackRules(host.client, wished, "iptables");
  const text = await host.list();
  assertEquals([text.includes("10.1."), text.includes("masquerade"), text.includes("loden")], [
    false,
    false,
    false,
  ]);
});

Deno.test("in nftables mode the chain of accepted packets stays where FORWARD refuses without it, and else goes", async () => {
  for (const policy of ["DROP", "ACCEPT"]) {
    await using host = await NftHost.open();
    await host.script(`iptables -P FORWARD ${policy}`);
    host.keep(wishes(IPV4_ALONE));
    const { kept } = planHandBack(wishes(IPV4_ALONE), "nftables", observeRules(host.client));
    handBackRules(host.client, wishes(IPV4_ALONE), "nftables");
    const chain = (await host.exec("iptables-save", "-t", "filter")).match(/^-A FLANNEL-FWD/gm)?.length ?? 0;
    assertEquals([policy, chain, kept.length], policy === "DROP" ? [policy, 2, 1] : [policy, 0, 0]);
  }
});

Deno.test("planLegacyHandBack() writes what flanneld writes to legacy iptables, and nothing once it stands", async () => {
  await using host = await NftHost.open();
  for (
    const [family, program, name] of [[AF_INET, "iptables", "ip"], [AF_INET6, "ip6tables", "ip6"]] as const
  ) {
    const listing = async (table: string) =>
      parseLegacyListing(await host.exec(`${program}-legacy-save`, "-t", table));
    const plan = async () =>
      planLegacyHandBack({ nat: await listing("nat"), filter: await listing("filter") }, wishes(), family);
    const input = await plan();
    await host.script(`${program}-legacy-restore --noflush --wait <<'END'\n${input}\nEND`);
    assertEquals(await plan(), undefined, name);
    const rules = (await host.exec(`${program}-legacy-save`)).match(/^-A .*$/gm)!.sort();
    const lines = (await flanneldLeaves("iptables-dual")).filter((line) =>
      line.startsWith("-A ") && (name === "ip6" ? !/\d+\.\d+\./.test(line) : !line.includes("fd00"))
    );
    assertEquals(rules, [...new Set(lines)].sort(), name);
    assertEquals(
      planLegacyHandBack(
        { nat: await listing("nat"), filter: await listing("filter") },
        wishes({ families: [] }),
        family,
      ),
      undefined,
    );
  }
});

function withoutDates(text: string): string {
  return text.replaceAll(/^#.*$/gm, "").replaceAll(/\[\d+:\d+\]/g, "");
}
