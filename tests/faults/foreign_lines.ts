import type { LabHost } from "../../src/lab/host.ts";

/** What counts down, or says how long something has been there. */
const FLEETING = / (?:expires \d+sec|valid_lft \S+ preferred_lft \S+|hoplimit \d+)/g;
/** Links of an overlay, and what hangs on them; addresses that the kernel makes of a card's MAC. */
const OF_KERNEL_OR_OVERLAY = /\bflannel[.-]|\bfe80::/;
const LODEN_TABLE = /^table \S+ loden/;

/**
 * All that a host holds that is not Loden's, as ip(8) and nft(8) print it, one line each: links, addresses, routes,
 * rules of routing and of the packet filter.
 */
export async function foreignLines(host: LabHost): Promise<ReadonlySet<string>> {
  const ip = async (...args: string[]) =>
    (await host.netns.mustExec("ip", ...args)).replaceAll(FLEETING, "").split("\n");
  const links = (await ip("-oneline", "link", "show"))
    .map((line) => /^\d+: ([^:@]+)\S* .*\b(mtu \d+)/.exec(line)?.slice(1).join(" ") ?? "");
  const addresses = (await ip("-oneline", "address", "show", "scope", "global"))
    .map((line) => line.replace(/^\d+: /, "").replaceAll(/[\s\\]+/g, " "));
  const routes = [
    ...await ip("-4", "route", "show", "table", "all"),
    ...await ip("-6", "route", "show", "table", "all"),
  ].filter((line) => !line.includes("proto 76"));
  const rules = [...await ip("-4", "rule", "show"), ...await ip("-6", "rule", "show")];
  const tables = (await host.netns.mustExec("nft", "--stateless", "list", "ruleset"))
    .split(/^(?=table )/m).filter((table) => !LODEN_TABLE.test(table))
    .flatMap((table) => {
      const [head = "", ...lines] = table.split("\n");
      return lines.map((line) => `${head.trim()} ${line.trim()}`);
    });
  const lines = [...links, ...addresses, ...routes].filter((line) => !OF_KERNEL_OR_OVERLAY.test(line));
  return new Set([...lines, ...rules, ...tables].map((line) => line.trim()).filter((line) => line !== ""));
}
