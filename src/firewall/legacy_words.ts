import { basename } from "node:path";
import type { ChangeList } from "../model/host_plan.ts";
import type { LegacyDeps } from "./legacy_iptables.ts";
import { type LegacyListing, parseLegacyListing } from "./legacy_rules.ts";
import { type Content, type Entry, listContent } from "./plan_words.ts";

/**
 * Runs what lists the rules of legacy iptables, and says of what would change them what is other then, in the words of
 * iptables(8).
 */
export function dryRestore(run: LegacyDeps["run"], list: ChangeList): LegacyDeps["run"] {
  const listings = new Map<string, LegacyListing>();
  return async (path, args, input) => {
    const [, program, what] = /^(.*)-(save|restore)$/.exec(basename(path)) ?? [];
    if (what === "save") {
      const end = await run(path, args, input);
      listings.set(`${program} ${args.at(-1)}`, parseLegacyListing(end.stdout));
      return end;
    }
    const table = `${program} ${/^\*(\S+)$/m.exec(input)?.[1]}`;
    const before = contentOf(table, listings.get(table));
    const after: Content = new Map([...before].map(([name, entries]) => [name, [...entries]]));
    for (const line of input.split("\n")) carryOut(table, line, after);
    listContent(before, after, list);
    return { code: 0, stdout: "", stderr: "" };
  };
}

function contentOf(table: string, listing: LegacyListing | undefined): Content {
  let handle = 0n;
  return new Map([...listing?.rules ?? []].map(([chain, rules]) => [
    `chain ${table} ${chain}`,
    rules.map((text): Entry => ({ text, handle: ++handle })),
  ]));
}

/** One line of what iptables-restore reads. Rules are named by their place, from 1, or by what they say. */
function carryOut(table: string, line: string, content: Content): void {
  const [, verb, chain, rest = ""] = /^(-[ADFIX]|:) ?(\S+) ?(.*)$/.exec(line) ?? [];
  if (verb === undefined) return;
  const name = `chain ${table} ${chain}`;
  const entries = content.get(name) ?? [];
  switch (verb) {
    case "-X":
      return void content.delete(name);
    case "-A":
      return void content.set(name, [...entries, { text: rest, handle: undefined }]);
    case "-I": {
      const [, place = "1", text = ""] = /^(\d+) (.*)$/.exec(rest) ?? [];
      return void content.set(name, entries.toSpliced(Number(place) - 1, 0, { text, handle: undefined }));
    }
    case "-D": {
      const at = /^\d+$/.test(rest) ? Number(rest) - 1 : entries.findIndex(({ text }) => text === rest);
      return void content.set(name, at < 0 ? entries : entries.toSpliced(at, 1));
    }
    default:
      // A chain that is declared, or emptied.
      content.set(name, []);
  }
}
