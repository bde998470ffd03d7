import { assertEquals } from "@std/assert";
import { LegacyIptables } from "../../src/firewall/legacy_iptables.ts";
import { dryRestore } from "../../src/firewall/legacy_words.ts";
import { findProgram, runProgram } from "../../src/linux/program.ts";
import { legacyTableNames, readLegacyFilter } from "../../src/linux/legacy_tables.ts";
import { SILENT } from "../../src/log/log.ts";
import { ChangeList, changeText } from "../../src/model/host_plan.ts";
import { NftHost, wishes } from "../double/nft_host.ts";

const SAVE = "iptables-legacy-save -t filter | grep '^-A\\|^:'";

/** Rules of legacy iptables on a host. */
function legacyOn({ libc, netns }: NftHost, list?: ChangeList): LegacyIptables {
  const run: typeof runProgram = (path, args, input) =>
    runProgram("/usr/sbin/ip", ["netns", "exec", netns.name, path, ...args], input);
  const there = <T>(look: () => T) => libc.inNetns(netns.path, look);
  return new LegacyIptables({
    tables: (family) => there(() => legacyTableNames(libc, family)),
    filter: (family) => there(() => readLegacyFilter(libc, family)),
    find: findProgram,
    mayRun: () => true,
    run: list === undefined ? run : dryRestore(run, list),
    elapsedMs: () => performance.now(),
    log: SILENT,
  });
}

const troubles: [name: string, script: string, count: number][] = [
  ["nobody touched", "true", 0],
  ["was flushed", "iptables-legacy -F FORWARD", 1],
  ["was emptied of all chains", "iptables-legacy -F; iptables-legacy -X", 4],
  ["was given a refusal in front", "iptables-legacy -I FORWARD 1 -j DROP", 1],
  ["was given a second jump", "iptables-legacy -A FORWARD -j FLANNEL-FWD", 1],
  ["was robbed of one rule of the chain", "iptables-legacy -D FLANNEL-FWD 1", 1],
  ["was given other rules of ours", "iptables-legacy -R FLANNEL-FWD 1 -d 10.244.0.0/16 -j ACCEPT", 2],
];

for (const [name, script, count] of troubles) {
  Deno.test(`a dry run says what is then done to a legacy FORWARD that ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i lo -j ACCEPT");
    await legacyOn(host).keep(wishes());
    await host.script(script);
    const lines = async () => {
      const text = await host.script(SAVE);
      return text.split("\n").filter((line) => line !== "").map((line) =>
        line.replace(/^:(\S+).*/, "chain iptables-legacy filter $1").replace(
          /^-A /,
          "rule iptables-legacy filter ",
        )
      );
    };
    const before = await lines();
    const list = new ChangeList(Infinity);
    assertEquals(await legacyOn(host, list).keep(wishes()), { failures: [], warnings: [] });
    assertEquals(await lines(), before);
    await legacyOn(host).keep(wishes());
    const after = await lines();
    const [gone, come] = [without(before, after), without(after, before)];
    const planned = list.changes.map(changeText);
    assertEquals(planned.length, count, planned.join("\n"));
    // One that stands elsewhere is in neither list.
    assertEquals(
      planned.filter((line) => !line.startsWith("~")).sort(),
      [...gone.map((line) => `- ${line}`), ...come.map((line) => `+ ${line}`)].sort(),
    );
  });
}

/** The entries of a list that are not in another one, as often as they are. */
function without(list: readonly string[], other: readonly string[]): string[] {
  const left = [...other];
  return list.filter((line) => {
    const at = left.indexOf(line);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}
