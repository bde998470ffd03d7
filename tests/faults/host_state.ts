import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { forwardingSysctl } from "../../src/lab/wiring.ts";
import { AF_INET, type Family, familyOf, formatPrefix } from "../../src/model/address.ts";
import type { DesiredLink, ObservedLink, StateTables } from "../../src/model/state.ts";
import { ENOENT, isErrno } from "../../src/linux/errno.ts";
import { describeRow } from "../../src/reconcile/apply.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { everything, linkText, rowsHash, RT_SCOPE_LINK, TABLES, vtepsOf } from "../double/overlay_state.ts";

/** The kernel's tables of a host and the links that they hang on. Valid until the next look. */
export interface TableLook {
  readonly tables: StateTables;
  /** The kernel's index of each slot's link; 0 where there is none. */
  readonly linkIndexes: readonly number[];
}

/**
 * What a host holds for the overlay, whatever its backend: VTEPs, underlay link, addresses, the three tables, the
 * subnet file. Links are named, as one that comes back has another index.
 */
export class HostState {
  readonly #host: LabHost;
  readonly #observer: Observer;
  readonly #families: readonly Family[];
  /** VTEPs first, the underlay last; a link's place is its slot. */
  readonly links: readonly DesiredLink[];

  constructor(host: LabHost) {
    this.#host = host;
    this.#families = host.families;
    this.#observer = new Observer(host.client);
    this.links = [
      ...vtepsOf(host.client).map(({ link }) => link),
      { kind: "underlay", name: UPLINK },
    ];
  }

  /** The slot of the VTEP of a family; `undefined` with a backend that has none. */
  vtepSlot(family: Family): number | undefined {
    const slot = this.links.findIndex((link) => link.kind === "vxlan" && familyOf(link.local) === family);
    return slot < 0 ? undefined : slot;
  }

  tables(): TableLook {
    return this.#tablesOf(this.#observer.links(this.links));
  }

  /** All of it as text, one entry a line, sorted. */
  lines(): string[] {
    const links = this.#observer.links(this.links);
    const { tables } = this.#tablesOf(links);
    const lines = this.#linkLines(links);
    for (const name of TABLES) {
      const { words, layout } = tables[name];
      for (let at = 0; at < words.length; at += layout.words) {
        const row = [...words.subarray(at, at + layout.words)].map((word) => word.toString(16)).join(" ");
        lines.push(`${describeRow(name, words, at, this.links)} (${row})`);
      }
    }
    return lines.sort();
  }

  /** A short text that differs, as good as always, where `lines()` does; many times faster with many peers. */
  fingerprint(): string {
    const links = this.#observer.links(this.links);
    const { tables } = this.#tablesOf(links);
    return [...this.#linkLines(links).sort(), ...TABLES.map((name) => rowsHash(tables[name]))].join("\n");
  }

  #tablesOf(links: readonly (ObservedLink | undefined)[]): TableLook {
    const linkIndexes = links.map((link) => link?.linkIndex ?? 0);
    const networks = this.#families.map(everything);
    return { tables: this.#observer.tables({ links: this.links, networks }, linkIndexes), linkIndexes };
  }

  #linkLines(links: readonly (ObservedLink | undefined)[]): string[] {
    const underlay = links.at(-1);
    const lines = links.map((link, slot) => {
      if (link === undefined) return `no link ${this.links[slot]!.name}`;
      if (link.vxlan === undefined) {
        return `link ${link.name} ${link.isUp ? "up" : "down"} mtu ${link.mtuBytes}`;
      }
      return linkText(link).replace(`dev ${underlay?.linkIndex} `, `dev ${UPLINK} `);
    });
    for (const { linkIndex, scope, ...prefix } of this.#observer.addresses(links)) {
      if (scope === RT_SCOPE_LINK) continue;
      const link = links.find((link) => link?.linkIndex === linkIndex);
      lines.push(`address ${formatPrefix(prefix)} dev ${link?.name}`);
    }
    return [...lines, ...subnetFileLines(this.#host), ...this.#sysctlLines()];
  }

  #sysctlLines(): string[] {
    const lines = this.#families.map((family) => {
      return `${forwardingSysctl(family)} is ${this.#host.netns.readSysctl(forwardingSysctl(family))}`;
    });
    const slot = this.vtepSlot(AF_INET);
    if (slot === undefined) return lines;
    const { name } = this.links[slot]!;
    return [...lines, `rp_filter of ${name} is ${this.#isStrict(name) ? "strict" : "not strict"}`];
  }

  /** Reports whether the kernel drops packets whose answers would leave by another link (ip-sysctl.rst). */
  #isStrict(linkName: string): boolean {
    try {
      return this.#host.netns.readSysctl(reversePathSysctl(linkName)) === "1";
    } catch (error) {
      if (isErrno(error, ENOENT)) return false;
      throw error;
    }
  }
}

/** The sysctl that makes the kernel check where packets come from: 1 is strict. */
export function reversePathSysctl(linkName: string): string {
  return `net/ipv4/conf/${linkName}/rp_filter`;
}

function subnetFileLines({ subnetFilePath }: LabHost): string[] {
  try {
    return Deno.readTextFileSync(subnetFilePath).trim().split("\n").map((line) => `subnet file ${line}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return ["no subnet file"];
    throw error;
  }
}

/** The rules of the packet filter as nft(8) lists them without counters, one table an entry, sorted. */
export async function rulesOf(host: LabHost): Promise<string[]> {
  const { code, stdout, stderr } = await host.exec("nft", "-s", "list", "ruleset");
  if (code !== 0) throw new Error(`Cannot list the rules of ${host.name}: ${stderr.trim()}`);
  return stdout.split(/^(?=table )/m).map((table) => table.trim()).sort();
}
