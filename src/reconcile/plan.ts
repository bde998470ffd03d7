import { diffTables } from "../core/table.ts";
import {
  AF_INET6,
  familyOf,
  formatAddress,
  formatMac,
  formatPrefix,
  type Prefix,
  prefixEquals,
} from "../model/address.ts";
import type {
  DesiredState,
  ObservedAddress,
  ObservedLink,
  ObservedTables,
  StateTables,
  UnderlayLink,
  VxlanLink,
} from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { type ForeignHit, withoutLinks } from "./foreign_routes.ts";
import type { LinkChange } from "../rtnetlink/link.ts";
import type { RowOperation } from "../rtnetlink/row_codec.ts";

/** A change to a link or one of its addresses. */
export type LinkStep =
  | { readonly kind: "create link"; readonly link: VxlanLink }
  | { readonly kind: "delete link"; readonly linkIndex: number; readonly name: string; readonly why: string }
  | {
    readonly kind: "repair vxlan";
    readonly linkIndex: number;
    readonly link: VxlanLink;
    readonly why: string;
  }
  | {
    readonly kind: "change link";
    readonly linkIndex: number;
    readonly name: string;
    readonly change: LinkChange;
    readonly why: string;
  }
  | { readonly kind: "need link"; readonly name: string; readonly why: string }
  | { readonly kind: "add address"; readonly name: string; readonly prefix: Prefix }
  | { readonly kind: "delete address"; readonly name: string; readonly prefix: Prefix };

export type TableName = keyof StateTables;

/** Changes to one table: rows of `table`, chosen by `indices`. */
export interface TableStep {
  readonly table: TableName;
  readonly operation: RowOperation;
  readonly rows: Table;
  readonly indices: Uint32Array;
}

/** `RT_SCOPE_LINK` of rtnetlink(7), as that of fe80:: addresses. */
const RT_SCOPE_LINK = 253;

/** The order of additions: what a route needs stands before it. Deletions go the other way. */
const TABLE_ORDER: readonly TableName[] = ["neighbours", "fdb", "routes"];

/** Plans what makes the links of the desired state, in the order in which it must be applied. */
export function planLinks(
  desired: DesiredState,
  links: readonly (ObservedLink | undefined)[],
  addresses: readonly ObservedAddress[],
): LinkStep[] {
  return desired.links.flatMap((link, slot) => {
    if (link.kind === "underlay") return needLink(link, links[slot]);
    const wanted = desired.addresses.filter((address) => address.slot === slot).map(({ prefix }) => prefix);
    return planLink(link, links[slot], addresses, wanted);
  });
}

/** The underlay's link is not ours to make or to set up; without it no route over it can be made. */
function needLink({ name }: UnderlayLink, found: ObservedLink | undefined): LinkStep[] {
  if (found?.isUp) return [];
  return [{ kind: "need link", name, why: found === undefined ? "it does not exist" : "it is down" }];
}

function planLink(
  link: VxlanLink,
  found: ObservedLink | undefined,
  addresses: readonly ObservedAddress[],
  wanted: readonly Prefix[],
): LinkStep[] {
  const { name } = link;
  const add = (prefix: Prefix): LinkStep => ({ kind: "add address", name, prefix });
  const conflict = found && identityConflict(link, found);
  if (found === undefined || conflict !== undefined) {
    const steps: LinkStep[] = conflict === undefined
      ? []
      : [{ kind: "delete link", linkIndex: found!.linkIndex, name, why: conflict }];
    return [...steps, { kind: "create link", link }, ...wanted.map(add)];
  }
  const { linkIndex } = found;
  const steps: LinkStep[] = [];
  const vxlanDrift = describeVxlanDrift(link, found);
  if (vxlanDrift !== undefined) steps.push({ kind: "repair vxlan", linkIndex, link, why: vxlanDrift });
  const [change, why] = linkDrift(link, found);
  // The address comes before the link is up, so that no packet leaves with another source.
  const present = addresses.filter((address) => address.linkIndex === linkIndex);
  for (const prefix of wanted) {
    if (!present.some((address) => prefixEquals(address, prefix))) steps.push(add(prefix));
  }
  if (why !== "") steps.push({ kind: "change link", linkIndex, name, change, why });
  for (const address of present) {
    if (isForeignAddress(address, wanted)) {
      steps.push({ kind: "delete address", name, prefix: address });
    }
  }
  return steps;
}

/** Why a link of the right name cannot be made ours in place; `undefined` if it can. */
function identityConflict(link: VxlanLink, found: ObservedLink): string | undefined {
  const { vxlan } = found;
  if (vxlan === undefined) return `it is a ${found.kind ?? "hardware"} link, not vxlan`;
  if (vxlan.vni !== link.vni) return `its VNI is ${vxlan.vni}, not ${link.vni}`;
  if (vxlan.port !== link.port) return `its port is ${vxlan.port}, not ${link.port}`;
  if (vxlan.gbp !== link.gbp) return `its group policy extension is ${vxlan.gbp ? "on" : "off"}`;
  if (vxlan.isForeign) return "it has a multicast group, a default remote or a miss handler";
  if (vxlan.local !== undefined && familyOf(vxlan.local) !== familyOf(link.local)) {
    return `its local address ${formatAddress(vxlan.local)} is of the other family`;
  }
  return undefined;
}

function describeVxlanDrift(link: VxlanLink, { vxlan }: ObservedLink): string | undefined {
  const drift: string[] = [];
  if (vxlan?.local !== link.local) {
    drift.push(`local address ${vxlan?.local === undefined ? "none" : formatAddress(vxlan.local)}`);
  }
  if (vxlan?.underlayLinkIndex !== link.underlayLinkIndex) {
    drift.push(`underlay link index ${vxlan?.underlayLinkIndex}`);
  }
  if (vxlan?.learning !== link.learning) drift.push(`learning ${vxlan?.learning}`);
  return drift.length === 0 ? undefined : drift.join(", ");
}

function linkDrift(link: VxlanLink, found: ObservedLink): [change: LinkChange, why: string] {
  const drift: string[] = [];
  const change: { -readonly [K in keyof LinkChange]: LinkChange[K] } = {};
  if (found.mtuBytes !== link.mtuBytes) {
    change.mtuBytes = link.mtuBytes;
    drift.push(`MTU ${found.mtuBytes}`);
  }
  if (found.mac !== link.mac) {
    change.mac = link.mac;
    drift.push(`MAC ${found.mac === undefined ? "none" : formatMac(found.mac)}`);
  }
  if (!found.isUp) {
    change.isUp = true;
    drift.push("down");
  }
  if (found.isProtoDown) {
    change.isProtoDown = false;
    drift.push("protodown");
  }
  if (found.masterIndex !== undefined) {
    // What comes out of a VTEP would go to the bridge, bond or VRF, and to no pod.
    change.master = 0;
    drift.push(`enslaved to ${found.masterName ?? `link ${found.masterIndex}`}`);
  }
  return [change, drift.join(", ")];
}

/**
 * An address that must not be on a link of ours, as a DHCP client puts one on any link: packets would leave with it as
 * their source, or by the route that it brings. flannel leaves those outside of its network.
 */
function isForeignAddress(address: ObservedAddress, wanted: readonly Prefix[]): boolean {
  if (wanted.some((prefix) => prefixEquals(address, prefix))) return false;
  return address.family !== AF_INET6 || address.scope !== RT_SCOPE_LINK;
}

/**
 * Plans what brings the tables to the desired state: additions, then deletions in the reverse order. Where
 * another program has a route to the same destination with the same metric, ours is not made; unless that is taken over,
 * as flannel does.
 */
export function planTables(
  desired: DesiredState,
  observed: ObservedTables,
  options: { readonly foreign?: readonly ForeignHit[]; readonly taken?: ReadonlySet<ForeignHit> } = {},
): TableStep[] {
  const { foreign = [], taken: takenHits = new Set() } = options;
  const isTaken = (hit: ForeignHit) => takenHits.has(hit);
  const taken = foreign.filter(isTaken);
  const rowsAt = (hits: readonly ForeignHit[]) =>
    new Set(hits.filter(({ kind }) => kind === "same").map(({ row }) => row));
  const [blocked, occupied] = [rowsAt(foreign.filter((hit) => !isTaken(hit))), rowsAt(taken)];
  // Where others have the place of ours, a route that is missing replaces one of theirs.
  let replacing: ReadonlySet<number> = new Set();
  const additions: TableStep[] = [];
  const deletions: TableStep[] = [];
  for (const table of TABLE_ORDER) {
    const diff = diffTables(desired[table], observed[table]);
    let [added, replaced, deleted] = [diff.additions, diff.replacements, diff.deletions];
    if (table === "routes" && foreign.length > 0) {
      const isFree = (row: number) => !blocked.has(row);
      const instead = added.filter((row) => occupied.has(row));
      replacing = new Set(instead);
      added = added.filter((row) => isFree(row) && !occupied.has(row));
      // To replace one where another stands beside it or before it would take that away.
      const stale = rowsOfKeys(observed.routes, desired.routes, replaced.filter((row) => !isFree(row)));
      replaced = Uint32Array.from([...replaced.filter(isFree), ...instead]);
      if (stale.length > 0) deleted = Uint32Array.from([...deleted, ...stale]);
    }
    const step = (operation: TableStep["operation"], rows: Table, indices: Uint32Array) => ({
      table,
      operation,
      rows,
      indices,
    });
    if (added.length > 0) additions.push(step("add", desired[table], added));
    if (replaced.length > 0) additions.push(step("replace", desired[table], replaced));
    if (deleted.length > 0) deletions.unshift(step("delete", observed[table], deleted));
  }
  // A route with the metric of ours can stand before it only where it was put there on purpose.
  const inFront = taken.filter(({ kind, row }) => kind === "before" || !replacing.has(row))
    .map(({ foreignRow }) => foreignRow);
  if (inFront.length > 0) {
    const indices = Uint32Array.from(inFront);
    deletions.push({
      table: "routes",
      operation: "delete",
      rows: withoutLinks(observed.foreignRoutes),
      indices,
    });
  }
  return [...additions, ...deletions];
}

/** The rows of a table that have the keys of some rows of another one. */
function rowsOfKeys(table: Table, keys: Table, rows: Uint32Array): number[] {
  if (rows.length === 0) return [];
  const { words: rowWords, keyWords } = table.layout;
  const keyOf = ({ words }: Table, row: number) =>
    words.subarray(row * rowWords, row * rowWords + keyWords).join();
  const wanted = new Set(Array.from(rows, (row) => keyOf(keys, row)));
  return Array.from({ length: table.count }, (_, row) => row).filter((row) => wanted.has(keyOf(table, row)));
}

/** The link that a step is about. */
export function linkNameOf(step: LinkStep): string {
  return "link" in step ? step.link.name : step.name;
}

/** Says what a step on a link does, as a verb phrase. */
export function describeLinkStep(step: LinkStep): string {
  switch (step.kind) {
    case "create link":
      return `create link ${step.link.name}`;
    case "delete link":
      return `delete link ${step.name}`;
    case "repair vxlan":
      return `repair link ${step.link.name}`;
    case "change link":
      return `change link ${step.name}`;
    case "need link":
      return `route over link ${step.name}`;
    default:
      return `${step.kind} ${formatPrefix(step.prefix)} on ${step.name}`;
  }
}
