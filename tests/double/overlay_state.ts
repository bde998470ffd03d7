import {
  type Family,
  familyOf,
  formatAddress,
  formatMac,
  formatPrefix,
  parsePrefix,
  type Prefix,
} from "../../src/model/address.ts";
import type { ObservedAddress, ObservedLink, StateTables, VxlanLink } from "../../src/model/state.ts";
import type { Table } from "../../src/model/table.ts";
import type { NetlinkClient } from "../../src/netlink/client.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import { describeRow } from "../../src/reconcile/apply.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import type { TableName } from "../../src/reconcile/plan.ts";

/** `RT_SCOPE_LINK`: the kernel makes fe80:: addresses by itself. */
export const RT_SCOPE_LINK = 253;

/** The tables of what is ours. */
export const TABLES: readonly TableName[] = ["neighbours", "fdb", "routes"];

/** All that a host's kernel holds of the overlay, at one moment. Valid until the next look. */
export interface KernelLook {
  readonly links: readonly (ObservedLink | undefined)[];
  readonly addresses: readonly ObservedAddress[];
  readonly tables: StateTables;
}

/** Looks at the VTEPs of a host and at what hangs on them, as they are named and placed when this is made. */
export class KernelView {
  readonly #observer: Observer;
  readonly vteps: readonly VxlanLink[];

  constructor(client: NetlinkClient, vni = 1) {
    this.#observer = new Observer(client);
    this.vteps = vtepsOf(client, vni).map(({ link }) => link);
  }

  /** The kernel's index of the first VTEP; 0 while it is not there. */
  linkIndex(): number {
    return this.#observer.links(this.vteps.slice(0, 1))[0]?.linkIndex ?? 0;
  }

  look(): KernelLook {
    const links = this.#observer.links(this.vteps);
    return {
      links,
      addresses: this.#observer.addresses(links).filter(({ scope }) => scope !== RT_SCOPE_LINK),
      tables: this.#observer.tables(
        { links: this.vteps, networks: this.vteps.map(({ local }) => everything(familyOf(local))) },
        links.map((link) => link?.linkIndex ?? 0),
      ),
    };
  }

  /** All of it as text, one entry a line, sorted. Kernel link indexes are left out: a new link has another. */
  lines({ links, addresses, tables }: KernelLook = this.look()): string[] {
    const lines: string[] = links.map(linkText);
    for (const { linkIndex, ...prefix } of addresses) {
      const { name } = links.find((link) => link?.linkIndex === linkIndex)!;
      lines.push(`address ${formatPrefix(prefix)} dev ${name}`);
    }
    for (const name of TABLES) {
      const { words, layout } = tables[name];
      for (let at = 0; at < words.length; at += layout.words) {
        const row = [...words.subarray(at, at + layout.words)].map((word) => word.toString(16)).join(" ");
        lines.push(`${describeRow(name, words, at, this.vteps)} (${row})`);
      }
    }
    return lines.sort();
  }

  /** A short text that differs, as good as always, where `lines()` does; many times faster. */
  fingerprint({ links, addresses, tables }: KernelLook): string {
    const parts = links.map(linkText);
    parts.push(...addresses.map(({ address, length }) => `${address}/${length}`).sort());
    for (const name of TABLES) parts.push(rowsHash(tables[name]));
    return parts.join("\n");
  }
}

/** A short text that differs, as good as always, where the rows of a table do; their order means nothing. */
export function rowsHash({ words, layout, count }: Table): string {
  let sum = 0;
  for (let at = 0; at < words.length; at += layout.words) {
    let hash = 0x811c9dc5;
    for (let word = at; word < at + layout.words; word++) {
      hash = Math.imul(hash ^ words[word]!, 0x01000193);
      hash ^= hash >>> 15;
    }
    sum = sum + hash >>> 0;
  }
  return `${count} ${sum}`;
}

/** The whole address space of a family. */
export function everything(family: Family): Prefix {
  return parsePrefix(family === 2 ? "0.0.0.0/0" : "::/0");
}

/** A link of the overlay as text, without its index. */
export function linkText(link: ObservedLink | undefined): string {
  if (link === undefined) return "no link";
  const { name, isUp, mtuBytes, mac, vxlan } = link;
  const lladdr = mac === undefined ? "none" : formatMac(mac);
  if (vxlan === undefined) return `link ${name} ${link.kind}`;
  const local = vxlan.local === undefined ? "none" : formatAddress(vxlan.local);
  return `link ${name} ${
    isUp ? "up" : "down"
  } mtu ${mtuBytes} lladdr ${lladdr} vxlan id ${vxlan.vni} local ` +
    `${local} dev ${vxlan.underlayLinkIndex} dstport ${vxlan.port}${vxlan.learning ? " learning" : ""}` +
    `${vxlan.gbp ? " gbp" : ""}${vxlan.isForeign ? " foreign" : ""}`;
}

/** A VTEP as it was found. */
export interface FoundVtep {
  readonly linkIndex: number;
  readonly link: VxlanLink;
}

/** The VTEPs of a host, IPv4 first. */
export function vtepsOf(
  client: NetlinkClient,
  vni = 1,
): FoundVtep[] {
  return [`flannel.${vni}`, `flannel-v6.${vni}`].flatMap((name) => {
    const found = queryLink(client, name);
    if (found?.vxlan?.local === undefined || found.mac === undefined) return [];
    const { isForeign: _, ...vxlan } = found.vxlan;
    const { linkIndex, mtuBytes, mac } = found;
    const link = { kind: "vxlan", name, mtuBytes, mac, ...vxlan, local: found.vxlan.local } as const;
    return [{ linkIndex, link }];
  });
}

/** The VTEP of one family. */
export function vtepOf(client: NetlinkClient, family: Family, vni = 1): FoundVtep {
  const vtep = vtepsOf(client, vni).find(({ link }) => familyOf(link.local) === family);
  if (vtep === undefined) throw new Error(`Cannot find the VTEP of address family ${family}`);
  return vtep;
}
