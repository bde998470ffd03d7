import { formatPrefix } from "../../src/model/address.ts";
import type { DesiredState } from "../../src/model/state.ts";
import { describeRow } from "../../src/reconcile/apply.ts";
import type { Observer } from "../../src/reconcile/observe.ts";
import { linkText, RT_SCOPE_LINK, TABLES } from "./overlay_state.ts";

/** What the kernel holds where a desired state looks, as text: one entry a line, its table first, sorted. */
export function linesOf(observer: Observer, { links, networks }: DesiredState): string[] {
  const found = observer.links(links);
  const lines = found.map((link, slot) =>
    link === undefined ? `no link ${links[slot]!.name}` : linkText(link)
  );
  for (const { linkIndex, scope, ...prefix } of observer.addresses(found)) {
    const { name, kind } = found.find((link) => link?.linkIndex === linkIndex)!;
    if (kind === "vxlan" && scope !== RT_SCOPE_LINK) {
      lines.push(`address ${formatPrefix(prefix)} dev ${name}`);
    }
  }
  const tables = observer.tables({ links, networks }, found.map((link) => link?.linkIndex ?? 0));
  for (const name of TABLES) {
    const { words, layout } = tables[name];
    for (let at = 0; at < words.length; at += layout.words) {
      const row = [...words.subarray(at, at + layout.words)].map((word) => word.toString(16)).join(" ");
      lines.push(`${name} ${describeRow(name, words, at, links)} (${row})`);
    }
  }
  return lines.sort();
}
