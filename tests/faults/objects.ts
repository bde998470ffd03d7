import { UPLINK } from "../../src/lab/host.ts";
import { type Address, type Family, familyOf, type Mac } from "../../src/model/address.ts";
import { FDB, NEIGHBOUR, readAddress, ROUTE } from "../../src/model/rows.ts";
import {
  addAddress,
  addDefaultRoute,
  changeLink,
  linkIndexOf,
  type Placement,
} from "../../src/lab/wiring.ts";
import { encodeAddressDeletion } from "../../src/rtnetlink/address.ts";
import { encodeLinkDeletion, type LinkChange } from "../../src/rtnetlink/link.ts";
import { ROW_CODECS } from "../../src/rtnetlink/row_codecs.ts";
import type { TableName } from "../../src/reconcile/plan.ts";
import { plugInto } from "../double/overlay_card.ts";
import type { TableLook } from "./host_state.ts";
import type { FaultSite } from "./site.ts";

/** Deletes the rows of one table that are of the site's family: the peer's, or all. */
export function deleteRows(table: TableName, which: "peer" | "all"): (site: FaultSite) => void {
  return (site) => {
    const look = site.state.tables();
    const { words, layout } = look.tables[table];
    let deleted = 0;
    for (let at = 0; at < words.length; at += layout.words) {
      if (!isMeant(table, words, at, site, which)) continue;
      deleteRow(site.host, look, table, at);
      deleted++;
    }
    if (deleted === 0) throw new Error(`Cannot delete rows of ${table}: none is of the family and the peer`);
  };
}

/** Deletes the row of a table that begins at a word. */
export function deleteRow(
  { client }: FaultSite["host"],
  look: TableLook,
  table: TableName,
  at: number,
): void {
  client.request(`delete a row of ${table}`, (writer, sequence) => {
    ROW_CODECS[table].encode.delete(writer, sequence, look.tables[table].words, at, look.linkIndexes);
  });
}

/** Reports whether a row is of the site's family and, where one peer is meant, the peer's. */
function isMeant(
  table: TableName,
  words: Uint32Array,
  at: number,
  { peer, family, state }: FaultSite,
  which: "peer" | "all",
): boolean {
  const index = peer.families.indexOf(family);
  const subnet = peer.share.subnets[index]!.address;
  const isFor = (offset: number, wanted: Address) =>
    which === "all" || readAddress(words, at + offset, family) === wanted;
  switch (table) {
    case "routes":
      return words[at + ROUTE.family] === family && isFor(ROUTE.destination, subnet);
    case "neighbours":
      return words[at + NEIGHBOUR.family] === family && isFor(NEIGHBOUR.address, subnet);
    case "fdb":
      return words[at + FDB.slot] === state.vtepSlot(family) &&
        isFor(FDB.underlayAddress, peer.underlayAddresses[index]!);
  }
}

/** The VTEP of the site's family, as it is named. */
export function vtepName({ state, family }: FaultSite): string {
  return state.links[state.vtepSlot(family)!]!.name;
}

/** Changes the VTEP of the site's family, once for each of `changes`. */
export function changeVtep(...changes: readonly LinkChange[]): (site: FaultSite) => void {
  return (site) => {
    const linkIndex = linkIndexOf(site.host.client, vtepName(site));
    for (const change of changes) changeLink(site.host.client, linkIndex, change);
  };
}

/** Changes the underlay link. */
export function changeUplink(...changes: readonly LinkChange[]): (site: FaultSite) => void {
  return ({ host }) => {
    const linkIndex = linkIndexOf(host.client, UPLINK);
    for (const change of changes) changeLink(host.client, linkIndex, change);
  };
}

/** Deletes a link by name. */
export function deleteLink({ host }: Pick<FaultSite, "host">, name: string): void {
  const linkIndex = linkIndexOf(host.client, name);
  host.client.request(`delete ${name}`, (writer, sequence) => {
    encodeLinkDeletion(writer, sequence, linkIndex);
  });
}

/** Takes an address off a link. */
export function deleteAddress({ host }: FaultSite, name: string, { address, length }: Placement): void {
  const linkIndex = linkIndexOf(host.client, name);
  host.client.request(`delete an address of ${name}`, (writer, sequence) => {
    encodeAddressDeletion(writer, sequence, { linkIndex, address, length });
  });
}

/** The address of the underlay that is of the site's family. */
export function placementOf({ host, family }: FaultSite): typeof host.placements[number] {
  return host.placements.find(({ address }) => familyOf(address) === family)!;
}

/** Does what a network manager does when a link is up: the addresses of `families`, and the default routes. */
export function configureUplink(host: FaultSite["host"], families: readonly Family[] = host.families): void {
  const linkIndex = linkIndexOf(host.client, UPLINK);
  for (const placement of host.placements) {
    if (!families.includes(familyOf(placement.address))) continue;
    addAddress(host.client, linkIndex, placement);
    addDefaultRoute(host.client, linkIndex, placement.gateway);
  }
}

/** Gives a host's network card a MAC that the next one has too. */
export function pinCardMac(host: FaultSite["host"]): void {
  const mac = 0x020000000000 + Number(host.name.slice(1)) as Mac;
  changeLink(host.client, linkIndexOf(host.client, UPLINK), { mac });
}

/** Brings the network card back, as when its driver is loaded again: another link of the same name and MAC. */
export function insertCard({ lab, libc, host }: Pick<FaultSite, "lab" | "libc" | "host">): void {
  plugInto(lab, libc, host, UPLINK, host.name);
  pinCardMac(host);
  configureUplink(host);
}

/** Runs ip(8) on the host. */
export async function ip({ host }: FaultSite, ...args: string[]): Promise<void> {
  await host.netns.mustExec("ip", ...args);
}
