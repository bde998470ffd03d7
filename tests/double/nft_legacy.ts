import { findProgram, runProgram } from "../../src/linux/program.ts";
import { LegacyIptables } from "../../src/firewall/legacy_iptables.ts";
import { legacyTableNames, readLegacyFilter } from "../../src/linux/legacy_tables.ts";
import type { NftHost } from "./nft_host.ts";

/** What keeps a host's legacy rules, and which programs it has run. */
export function legacyOf(
  host: NftHost,
  find: (name: string) => string | undefined = findProgram,
  elapsedMs: () => number = () => performance.now(),
  mayRun: () => boolean = () => true,
): { readonly legacy: LegacyIptables; readonly runs: string[] } {
  const runs: string[] = [];
  const there = <T>(look: () => T) => host.libc.inNetns(host.netns.path, look);
  const legacy = new LegacyIptables({
    tables: (family) => there(() => legacyTableNames(host.libc, family)),
    filter: (family) => there(() => readLegacyFilter(host.libc, family)),
    find,
    mayRun,
    run: (path, args, input) => {
      runs.push([path.split("/").at(-1), ...args].join(" "));
      return runProgram("/usr/sbin/ip", ["netns", "exec", host.netns.name, path, ...args], input);
    },
    elapsedMs,
    log: host.log,
  });
  return { legacy, runs };
}
