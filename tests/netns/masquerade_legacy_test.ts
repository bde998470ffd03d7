import { assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { findProgram } from "../../src/linux/program.ts";
import { nothingWished, type RuleWishes } from "../../src/firewall/rules.ts";
import { AF_INET, AF_INET6, parsePrefix } from "../../src/model/address.ts";
import { readLegacyFilter } from "../../src/linux/legacy_tables.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { NftHost, wishes } from "../double/nft_host.ts";
import { legacyOf } from "../double/nft_legacy.ts";

const WISHES = wishes();
const JUMP = '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD';

/** What keeps a host's legacy rules, and looks until there is nothing more to do. */
function keeperOf(host: NftHost, find?: (name: string) => string | undefined) {
  const { legacy, runs } = legacyOf(host, find);
  const settle = async (wished: RuleWishes = WISHES) => {
    for (let look = 0; look < 2; look++) {
      assertEquals(await legacy.keep(wished), { failures: [], warnings: [] });
    }
    runs.length = 0;
    await legacy.keep(wished);
    assertEquals(runs, [], "a look at what nobody has changed starts no program");
  };
  return { legacy, runs, settle };
}

/** Rules that are there before, as arguments of iptables, and what FORWARD is then. */
const hosts: readonly { name: string; rules: string; forward: string }[] = [
  { name: "policy DROP alone", rules: "-P FORWARD DROP", forward: "-P FORWARD DROP\nJUMP" },
  {
    name: "a final REJECT, behind what another program drops for a reason",
    rules: `
      -A FORWARD -i eth7 -m comment --comment "a policy" -j DROP
      -A FORWARD -m comment --comment "the end" -j REJECT
      -A FORWARD -i lo -j ACCEPT`,
    forward: `-P FORWARD ACCEPT
-A FORWARD -i eth7 -m comment --comment "a policy" -j DROP
JUMP
-A FORWARD -m comment --comment "the end" -j REJECT
-A FORWARD -i lo -j ACCEPT`,
  },
  {
    name: "another program's chain that drops all that comes to its end, and one that returns",
    rules: `
      -N USER
      -N END
      -A USER -j RETURN
      -A USER -j DROP
      -A END -p tcp -j ACCEPT
      -A END -j DROP
      -A FORWARD -j USER
      -A FORWARD -j END`,
    forward: "-P FORWARD ACCEPT\n-A FORWARD -j USER\nJUMP\n-A FORWARD -j END",
  },
];

for (
  const [program, network] of [["iptables", "10.244.0.0/16"], ["ip6tables", "fd00:10:244::/56"]] as const
) {
  for (const { name, rules, forward } of hosts) {
    Deno.test(`forwarded packets of pods are accepted where ${program}-legacy has: ${name}`, async () => {
      await using host = await NftHost.open();
      const command = `${program}-legacy --wait`;
      await host.script(rules.trim().split("\n").map((rule) => `${command} ${rule.trim()}`).join("\n"));
      const before = await host.script(`${program}-legacy-save | grep -v '^#'`);
      const { settle } = keeperOf(host);
      await settle();
      const shown = await host.exec(`${program}-legacy`, "-S", "FORWARD");
      assertEquals(
        shown.replaceAll(/ --reject-with icmp6?-port-unreachable/g, ""),
        forward.replace("JUMP", JUMP) + "\n",
      );
      await host.script(`
        ${command} -C FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
        ${command} -C FLANNEL-FWD -s ${network} -m comment --comment "flanneld forward" -j ACCEPT
        ${command} -C FLANNEL-FWD -d ${network} -m comment --comment "flanneld forward" -j ACCEPT`);
      await settle(nothingWished);
      assertEquals(await host.script(`${program}-legacy-save | grep -v '^#'`), before);
    });
  }
}

const troubles: [name: string, script: string][] = [
  ["flushed", "iptables-legacy -F FORWARD"],
  ["emptied of all chains", "iptables-legacy -F; iptables-legacy -X"],
  ["given a refusal in front", "iptables-legacy -I FORWARD 1 -j DROP"],
  ["given a second jump", "iptables-legacy -A FORWARD -j FLANNEL-FWD"],
  ["robbed of one rule of the chain", "iptables-legacy -D FLANNEL-FWD 1"],
  ["given other rules of ours in the chain", "iptables-legacy -R FLANNEL-FWD 1 -d 10.244.0.0/16 -j ACCEPT"],
];

for (const [name, script] of troubles) {
  Deno.test(`legacy FORWARD is mended when it was ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i lo -j ACCEPT");
    const { settle } = keeperOf(host);
    await settle();
    const chain = await host.exec("iptables-legacy", "-S", "FLANNEL-FWD");
    await host.script(script);
    await settle();
    assertEquals(await host.exec("iptables-legacy", "-S", "FLANNEL-FWD"), chain);
    const lines = (await host.exec("iptables-legacy", "-S", "FORWARD")).trim().split("\n").slice(1);
    assertEquals(lines.filter((line) => line.includes("FLANNEL-FWD")), [JUMP]);
    const refusal = lines.indexOf("-A FORWARD -j DROP");
    assertEquals(refusal < 0 || lines.indexOf(JUMP) < refusal, true);
  });
}

Deno.test("legacy rules that another program takes away again and again are made once a second, and that is told", async () => {
  await using host = await NftHost.open();
  await host.script("iptables-legacy -P FORWARD DROP");
  let nowMs = 0;
  const { legacy, runs } = legacyOf(host, findProgram, () => nowMs);
  const look = async () => {
    runs.length = 0;
    const { failures, warnings } = await legacy.keep(WISHES);
    assertEquals(failures, []);
    return warnings;
  };
  await look();
  let times = 0;
  for (; times < 40; times++) {
    // Not always before it is seen that all is as wished.
    if (times % 2 === 0) await look();
    await host.script("iptables-legacy -F FORWARD");
    assertEquals((await look()).length, times < 6 ? 0 : 1);
    if (!runs.some((run) => run.includes("-restore"))) break;
  }
  assertEquals(times, 20);
  const [told] = await look();
  assertStringIncludes(
    told!,
    "another program has changed Loden's rules in iptables-legacy 21 times within a minute",
  );
  assertEquals(runs, [], "meanwhile no program is started");
  nowMs += 1000;
  assertEquals(await look(), [told!]);
  assertStringIncludes(await host.exec("iptables-legacy", "-S", "FORWARD"), JUMP);
  nowMs += 60_000;
  assertEquals(await look(), []);
});

const MASQ = '-m comment --comment "flanneld masq"';
const LEFTOVERS = `
  iptables-legacy -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
  iptables-legacy -t nat -N FLANNEL-POSTRTG
  iptables-legacy -t nat -A POSTROUTING ${MASQ} -j FLANNEL-POSTRTG
  iptables-legacy -t nat -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 ${MASQ} -j MASQUERADE
  iptables-legacy -t nat -A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN
  iptables-legacy -t nat -A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
  iptables-legacy -t nat -A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN
  iptables-legacy -t nat -A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE
  iptables-legacy -t nat -A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE
  iptables-legacy -P FORWARD DROP
  iptables-legacy -N FLANNEL-FWD
  iptables-legacy -A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
  iptables-legacy -A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT`;

Deno.test("flanneld's rules in legacy iptables are replaced, those of others stay", async () => {
  await using host = await NftHost.open();
  await host.script(LEFTOVERS);
  await keeperOf(host).settle();
  assertEquals(
    await host.script("iptables-legacy -t nat -S POSTROUTING; iptables-legacy -S FLANNEL-FWD"),
    `-P POSTROUTING ACCEPT
-A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
-A POSTROUTING -s 198.51.100.0/24 -j MASQUERADE
-N FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
`,
  );
});

Deno.test("two agents with two networks share a host with legacy iptables", async () => {
  await using host = await NftHost.open();
  await host.script("iptables-legacy -P FORWARD DROP; ip6tables-legacy -P FORWARD DROP");
  const other = wishes({
    families: [
      { network: parsePrefix("10.1.0.0/16"), subnet: parsePrefix("10.1.7.0/24") },
      { network: parsePrefix("fd01::/48"), subnet: parsePrefix("fd01:0:0:7::/64") },
    ],
  });
  const [first, second] = [keeperOf(host), keeperOf(host)];
  const text = async () =>
    (await host.script("iptables-legacy -S FLANNEL-FWD; ip6tables-legacy -S FLANNEL-FWD")).match(
      /-[sd] \S+/g,
    );
  await first.settle();
  await second.settle(other);
  await first.settle();
  const whole = ["10.244.0.0/16", "10.1.0.0/16", "fd00:10:244::/56", "fd01::/48"]
    .flatMap((network) => [`-s ${network}`, `-d ${network}`]);
  assertEquals(await text(), whole);
  // A flanneld of the other network beside us.
  const rules = [["iptables", "10.1.0.0/16"], ["ip6tables", "fd01::/48"]].map(([program, network]) => `
    ${program}-legacy -t nat -N FLANNEL-POSTRTG
    ${program}-legacy -t nat -A FLANNEL-POSTRTG -s ${network} ! -d ${network} ${MASQ} -j MASQUERADE
    ${program}-legacy -t nat -A POSTROUTING ${MASQ} -j FLANNEL-POSTRTG`).join("");
  await host.script(rules);
  const nat = () => host.script("iptables-legacy -t nat -S; ip6tables-legacy -t nat -S");
  const before = await nat();
  await first.settle(wishes({ isForwarding: false }));
  assertEquals(await nat(), before);
  assertEquals(await text(), ["-s 10.1.0.0/16", "-d 10.1.0.0/16", "-s fd01::/48", "-d fd01::/48"]);
  // A former network goes, once: what comes back of it is another program's.
  const wanted = wishes({ former: other.families.map(({ network }) => network) });
  await first.settle(wanted);
  assertEquals(await text(), whole.filter((rule) => !/10\.1\.|fd01/.test(rule)));
  await second.settle(other);
  await first.settle(wanted);
  assertEquals((await text())?.sort(), whole.sort());
  await first.settle(nothingWished);
  assertEquals(
    (await host.script("iptables-legacy-save; ip6tables-legacy-save")).match(/.*FLANNEL.*/g),
    null,
  );
});

const quiet: [name: string, script: string][] = [
  ["has never had legacy rules", "true"],
  ["has a legacy table without rules", "iptables-legacy -L FORWARD >/dev/null"],
  ["has only iptables of nf_tables", "iptables-nft -P FORWARD DROP"],
];

for (const [name, script] of quiet) {
  Deno.test(`no legacy rule is made on a host that ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(script);
    const names = () => host.script("cat /proc/net/ip_tables_names /proc/net/ip6_tables_names");
    const before = await names();
    const { legacy, runs } = keeperOf(host);
    assertEquals(await legacy.keep(WISHES), { failures: [], warnings: [] });
    assertEquals(runs.filter((run) => run.includes("-restore")), []);
    assertEquals(await names(), before);
  });
}

Deno.test("a host whose legacy rules nobody can change is told so, for as long as they filter", async () => {
  await using host = await NftHost.open();
  await host.script("ip6tables-legacy -P FORWARD DROP; iptables-legacy -A INPUT -i lo -j ACCEPT");
  const { legacy } = keeperOf(host, () => undefined);
  for (let look = 0; look < 2; look++) {
    assertEquals(await legacy.keep(WISHES), {
      failures: [],
      warnings: [
        "legacy iptables filters forwarded packets on this host, and there is no ip6tables-legacy-restore to have " +
        "those of pods accepted: install iptables here, or have its FORWARD chain accept them",
      ],
    });
  }
  await host.script("ip6tables-legacy -P FORWARD ACCEPT");
  assertEquals((await legacy.keep(WISHES)).warnings, []);
});

Deno.test("an agent that was started without legacy tables says that it can't change them, and does when it is started anew", async () => {
  await withOverlay({ hosts: 1 }, async (lab, libc) => {
    const [h1] = lab.hosts as [LabHost];
    await untilReady(libc, h1);
    await h1.netns.mustExec("iptables-legacy", "-P", "FORWARD", "DROP");
    await until(
      "hear what to do",
      async () =>
        (await h1.logLines()).some((line) =>
          line.includes("can start no iptables-legacy-restore") && line.includes("start the agent anew")
        ) || undefined,
    );
    await h1.stopAgent();
    await h1.startAgent();
    await until(
      "see the rule",
      async () =>
        (await h1.netns.mustExec("iptables-legacy", "-S", "FORWARD")).includes("FLANNEL-FWD") || undefined,
    );
  });
});

Deno.test("a program that fails is named with its words, and the other family is kept", async () => {
  await using host = await NftHost.open();
  await host.script("iptables-legacy -P FORWARD DROP; ip6tables-legacy -P FORWARD DROP");
  const { legacy } = keeperOf(
    host,
    (name) => name === "iptables-legacy-restore" ? "/bin/cat" : findProgram(name),
  );
  const { failures } = await legacy.keep(WISHES);
  assertEquals(failures.length, 1);
  assertStringIncludes(failures[0]!, "Cannot run /bin/cat --noflush --wait: it ended with 1");
  assertStringIncludes(await host.exec("ip6tables-legacy", "-S", "FORWARD"), JUMP);
  await keeperOf(host).settle();
});

Deno.test("readLegacyFilter() sees every change of a rule, and no counter", async () => {
  await using host = await NftHost.open();
  for (const [program, family] of [["iptables", AF_INET], ["ip6tables", AF_INET6]] as const) {
    const look = () => host.libc.inNetns(host.netns.path, () => readLegacyFilter(host.libc, family));
    await host.script(
      `${program}-legacy -A INPUT -i lo -j ACCEPT; ${program}-legacy -A FORWARD -i eth7 -j DROP`,
    );
    const first = look();
    assertEquals(first.filtersForward, true);
    const counted = () => host.script(`${program}-legacy-save -c -t filter | grep INPUT`);
    const before = await counted();
    await host.exec("ping", "-c", "1", family === AF_INET ? "127.0.0.1" : "::1");
    assertNotEquals(await counted(), before);
    assertEquals(look(), first);
    await host.script(`${program}-legacy -R FORWARD 1 -i eth8 -j DROP`);
    assertNotEquals(look().shape, first.shape);
    await host.script(`${program}-legacy -D FORWARD 1`);
    assertEquals(look().filtersForward, false);
    await host.script(`${program}-legacy -P FORWARD DROP`);
    assertEquals(look().filtersForward, true);
  }
});
