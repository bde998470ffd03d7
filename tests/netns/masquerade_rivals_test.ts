import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { RuleFights } from "../../src/agent/rule_fights.ts";
import type { RuleWishes } from "../../src/firewall/rules.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { FLANNELD_LOOK } from "../double/flanneld_rules.ts";
import { NftHost, wishes } from "../double/nft_host.ts";

// Others on the host that undo what Loden does, with a clock of the test's own.

const SECOND = 1000;

/** Looks of Loden's, at times that a test says. */
function looking(
  host: NftHost,
  { wished = wishes(), changedBy }: { wished?: RuleWishes; changedBy?: string } = {},
) {
  let nowMs = 0;
  const fights = new RuleFights(() => nowMs, () => changedBy);
  const look = () => {
    const { spared } = fights;
    const report = host.rules.keep(wished, spared);
    fights.see(wished, report, spared);
    return report;
  };
  /** Lets time go by, with a look at the end. */
  const after = (ms: number) => {
    nowMs += ms;
    return look();
  };
  return { fights, look, after };
}

const flannels = async (host: NftHost) =>
  (await host.exec("sh", "-c", "iptables-save -t nat; ip6tables-save -t nat")).match(/-A FLANNEL-POSTRTG/g)
    ?.length ?? 0;

Deno.test("a flanneld on the same host is told of, and its rules are left alone until it is gone", async () => {
  await using host = await NftHost.open();
  const { fights, look, after } = looking(host);
  await host.script(FLANNELD_LOOK);
  look();
  assertEquals(await flannels(host), 0, "what was there before is taken over");
  for (let returns = 1; returns <= 6; returns++) {
    await host.script(FLANNELD_LOOK);
    after(5 * SECOND);
    assertEquals([await flannels(host), fights.warnings], [0, []], `after ${returns} returns`);
  }
  await host.script(FLANNELD_LOOK);
  after(5 * SECOND);
  const [warning] = fights.warnings;
  assertEquals(
    warning,
    "flanneld runs on this host too: its rules for 10.244.0.0/16 and fd00:10:244::/56 came back 7 times within a " +
      "minute, and are left alone now (both say the same); stop one of the two",
  );
  await host.script(FLANNELD_LOOK);
  const both = await flannels(host);
  assertEquals(both, 12);
  let changes = 0;
  for (let looks = 0; looks < 60; looks++) {
    await host.script(FLANNELD_LOOK);
    changes += after(5 * SECOND).changed;
    assertEquals(fights.warnings, [warning], "the same sentence as long as it lasts");
  }
  assertEquals(changes <= 2 * 9, true, `${changes} transactions in five minutes`);
  // It is stopped: its rules stay, are removed the next time, and nothing is said any more.
  for (let looks = 0; looks < 7; looks++) after(5 * SECOND);
  assertEquals(await flannels(host), 0);
  for (let looks = 0; looks < 12; looks++) after(5 * SECOND);
  assertEquals(fights.warnings, []);
  await host.script(FLANNELD_LOOK);
  after(5 * SECOND);
  assertEquals(await flannels(host), 0, "it is taken over anew");
});

/** Has rules come back until it is a fight. */
async function provoke(host: NftHost, wished: RuleWishes): Promise<readonly string[]> {
  const { fights, look, after } = looking(host, { wished });
  look();
  for (let returns = 0; returns < 7; returns++) {
    await host.script(FLANNELD_LOOK);
    after(SECOND);
  }
  return fights.warnings;
}

Deno.test("where flanneld's rules do not say what is wished, that is told", async () => {
  await using host = await NftHost.open();
  const [excluding] = await provoke(host, wishes({ excluded: [parsePrefix("192.0.2.0/24")] }));
  assertStringIncludes(excluding!, "(MasqueradeExclude does not hold)");
  const [off] = await provoke(host, wishes({ isMasquerading: false }));
  assertStringIncludes(off!, "(packets of pods take this host's address although -ip-masq is off)");
});

Deno.test("an earlier version of Loden on the same host is told of, and its table left alone", async () => {
  await using host = await NftHost.open();
  const { fights, look, after } = looking(host);
  look();
  const earlier = (await host.list()).replaceAll(/^table (ip6?) loden\S*/gm, "table $1 loden");
  const comeBack = () => host.script(`nft -f - <<'END'\n${earlier}\nEND`);
  for (let returns = 0; returns < 7; returns++) {
    await comeBack();
    after(20);
  }
  assertMatch(
    fights.warnings[0]!,
    /^an earlier version of Loden runs on this host too: .* 7 times .*both say the same/,
  );
  await comeBack();
  assertEquals(after(20).changed, 0);
  assertEquals(fights.warnings.length, 1);
});

Deno.test("who changes our table again and again is told of by its program, and mended once a second", async () => {
  await using host = await NftHost.open();
  const { fights, look, after } = looking(host, { changedBy: "nft" });
  look();
  const tables = async () => (await host.list()).split(/^(?=table)/m).sort();
  const whole = await tables();
  const meddle = () => host.exec("nft", "add chain ip loden-10.244.0.0-16 extra");
  for (let times = 0; times < 21; times++) {
    assertEquals(fights.warnings, []);
    await meddle();
    assertEquals(after(20).changed, 1);
  }
  assertMatch(
    fights.warnings[0]!,
    /^the program nft changes Loden's rules for .* 21 times within a minute/,
  );
  await meddle();
  assertEquals(after(20).changed, 0);
  assertEquals((fights.waitMs ?? 0) > 900, true, "a look is due when it may be mended");
  assertEquals(after(fights.waitMs!).changed, 1);
  assertEquals(await tables(), whole);
  after(61 * SECOND);
  assertEquals([fights.warnings, fights.waitMs], [[], undefined]);
});

Deno.test("what is written anew because something else is wished is nobody's doing", async () => {
  await using host = await NftHost.open();
  const fights = new RuleFights(() => 0);
  for (let times = 0; times < 30; times++) {
    const wished = wishes({ isFullyRandom: times % 2 === 0 });
    const report = host.rules.keep(wished, fights.spared);
    assertEquals(report.changed, 2);
    fights.see(wished, report, fights.spared);
  }
  assertEquals(fights.warnings, []);
});
