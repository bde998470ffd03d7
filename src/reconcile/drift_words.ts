import type { ChangeList, PlannedChange } from "../model/host_plan.ts";
import { type Family, formatAddress, formatMac, formatPrefix } from "../model/address.ts";
import {
  FDB,
  hasGateway,
  NEIGHBOUR,
  NO_SLOT,
  readAddress,
  readMac,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_ONLINK,
  routeDestination,
  routeProtocol,
  routeType,
} from "../model/rows.ts";
import type { ObservedLink, VxlanLink } from "../model/state.ts";
import type { Table } from "../model/table.ts";
import { RTN_BLACKHOLE, RTPROT_BOOT, RTPROT_KERNEL } from "../rtnetlink/route_header.ts";
import type { Drift } from "./drift.ts";
import type { LinkStep, TableName, TableStep } from "./plan.ts";

/** `RTPROT_STATIC` of rtnetlink(7). */
const RTPROT_STATIC = 4;
const PROTOCOLS: Readonly<Record<number, string>> = {
  [RTPROT_KERNEL]: "kernel",
  [RTPROT_BOOT]: "boot",
  [RTPROT_STATIC]: "static",
};
/** `NUD_PERMANENT` of rtnetlink(7). */
const NUD_PERMANENT = 0x80;

/** Finds the name of a link by the kernel's index. */
export type LinkNames = (linkIndex: number) => string | undefined;

/** Says what a drift changes, an object each, in the words of ip(8) and bridge(8); the steps of links before the tables. */
export function listDrift(drift: Drift, nameOf: LinkNames, list: ChangeList): void {
  for (const step of drift.links) {
    for (const change of linkChanges(step, drift, nameOf)) list.add(change);
  }
  for (const step of drift.tables) listRows(step, drift, nameOf, list);
}

function linkChanges(step: LinkStep, { slots, found }: Drift, nameOf: LinkNames): PlannedChange[] {
  const foundAs = (name: string) => found[slots.findIndex((link) => link.name === name)];
  switch (step.kind) {
    case "create link":
      return [{ kind: "link", object: `link ${step.link.name}`, becomes: vxlanText(step.link, nameOf) }];
    case "delete link": {
      const was = `type ${foundAs(step.name)?.kind ?? "hardware"}`;
      return [{ kind: "link", object: `link ${step.name}`, was, why: step.why }];
    }
    case "repair vxlan":
      return repairChanges(step.link, foundAs(step.link.name), nameOf);
    case "change link":
      return attributeChanges(step, foundAs(step.name));
    case "add address":
      return [{ kind: "address", object: addressObject(step), becomes: "" }];
    case "delete address":
      return [{ kind: "address", object: addressObject(step), was: "" }];
    case "need link":
      return [];
  }
}

function addressObject({ name, prefix }: LinkStep & { kind: "add address" | "delete address" }): string {
  return `address ${formatPrefix(prefix)} dev ${name}`;
}

function vxlanText(link: VxlanLink, nameOf: LinkNames): string {
  const { vni, local, underlayLinkIndex, port, learning, gbp, mtuBytes, mac } = link;
  return [
    `type vxlan id ${vni} local ${formatAddress(local)} dev ${
      nameOf(underlayLinkIndex) ?? underlayLinkIndex
    }`,
    `dstport ${port} ${learning ? "learning" : "nolearning"}`,
    ...gbp ? ["gbp"] : [],
    `mtu ${mtuBytes} address ${formatMac(mac)} up`,
  ].join(" ");
}

function attribute(name: string, key: string, was: string, becomes: string): PlannedChange[] {
  return was === becomes ? [] : [{ kind: "link", object: `link ${name} ${key}`, was, becomes }];
}

function repairChanges(
  link: VxlanLink,
  found: ObservedLink | undefined,
  nameOf: LinkNames,
): PlannedChange[] {
  const { name, local, underlayLinkIndex, learning } = link;
  const vxlan = found?.vxlan;
  const localWas = vxlan?.local === undefined ? "none" : formatAddress(vxlan.local);
  const onOff = (value: boolean | undefined) => value ? "on" : "off";
  const linkText = (index: number | undefined) =>
    index === undefined ? "none" : nameOf(index) ?? String(index);
  const names = [linkText(vxlan?.underlayLinkIndex), linkText(underlayLinkIndex)] as const;
  const isOther = vxlan?.underlayLinkIndex !== underlayLinkIndex;
  // A card that was exchanged has the name of the one before.
  const dev: PlannedChange[] = isOther
    ? [{ kind: "link", object: `link ${name} dev`, was: names[0], becomes: names[1] }]
    : [];
  return [
    ...attribute(name, "local", localWas, formatAddress(local)),
    ...dev,
    ...attribute(name, "learning", onOff(vxlan?.learning), onOff(learning)),
  ];
}

function attributeChanges(
  { name, change }: LinkStep & { kind: "change link" },
  found: ObservedLink | undefined,
): PlannedChange[] {
  const { mtuBytes, mac, isUp, master } = change;
  const macText = (value: ObservedLink["mac"]) => value === undefined ? "none" : formatMac(value);
  return [
    ...mtuBytes === undefined ? [] : attribute(name, "mtu", String(found?.mtuBytes), String(mtuBytes)),
    ...mac === undefined ? [] : attribute(name, "address", macText(found?.mac), formatMac(mac)),
    ...master === undefined
      ? []
      : attribute(name, "master", found?.masterName ?? String(found?.masterIndex), "none"),
    ...isUp === undefined ? [] : attribute(name, "state", found?.isUp ? "up" : "down", isUp ? "up" : "down"),
  ];
}

/** Where rows of a table are, and what their links are called. */
interface RowPlace {
  readonly words: Uint32Array;
  readonly at: number;
  readonly device: string;
}

/** What a row is called while its value changes, and its value. */
const ROW_WORDS: Readonly<
  Record<TableName, { readonly key: (row: RowPlace) => string; readonly value: (row: RowPlace) => string }>
> = {
  neighbours: {
    key: ({ words, at, device }) => {
      const family = words[at + NEIGHBOUR.family] as Family;
      return `neighbour ${formatAddress(readAddress(words, at + NEIGHBOUR.address, family))}${device}`;
    },
    value: ({ words, at }) => {
      const state = words[at + NEIGHBOUR.state]!;
      const nud = (state & NUD_PERMANENT) !== 0 ? "permanent" : `0x${state.toString(16)}`;
      return `lladdr ${formatMac(readMac(words, at + NEIGHBOUR.mac))} nud ${nud}`;
    },
  },
  fdb: {
    key: ({ words, at, device }) => `fdb ${formatMac(readMac(words, at + FDB.mac))}${device}`,
    value: ({ words, at }) => {
      const family = words[at + FDB.family] as Family | 0;
      return `dst ${
        family === 0 ? "none" : formatAddress(readAddress(words, at + FDB.underlayAddress, family))
      }`;
    },
  },
  routes: {
    key: ({ words, at }) =>
      `route ${formatPrefix(routeDestination(words, at))} metric ${words[at + ROUTE.metric]}`,
    value: routeValue,
  },
};

function routeValue({ words, at, device }: RowPlace): string {
  const family = words[at + ROUTE.family] as Family;
  const traits = words[at + ROUTE.traits]!;
  const mtuBytes = words[at + ROUTE.mtuBytes]!;
  const type = routeType(words, at);
  const protocol = routeProtocol(words, at);
  const isByObject = (traits & ROUTE_BY_OBJECT) !== 0;
  return [
    ...type === RTN_BLACKHOLE ? ["blackhole"] : [],
    ...isByObject
      ? [`nhid ${words[at + ROUTE.gateway]}`]
      : hasGateway(words, at)
      ? [`via ${formatAddress(readAddress(words, at + ROUTE.gateway, family))}`]
      : [],
    ...device === "" ? [] : [device.trim()],
    ...(traits & ROUTE_ONLINK) !== 0 ? ["onlink"] : [],
    `proto ${PROTOCOLS[protocol] ?? protocol}`,
    ...mtuBytes === 0 ? [] : [`mtu ${mtuBytes}`],
  ].join(" ");
}

const KINDS = { neighbours: "neighbour", fdb: "fdb", routes: "route" } as const;
const SLOTS: Readonly<Record<TableName, number>> = {
  neighbours: NEIGHBOUR.slot,
  fdb: FDB.slot,
  routes: ROUTE.slot,
};

function listRows(step: TableStep, drift: Drift, nameOf: LinkNames, list: ChangeList): void {
  const { table, operation, rows, indices } = step;
  const { key, value } = ROW_WORDS[table];
  const kind = KINDS[table];
  const { observed, slots } = drift;
  const foreign = observed?.foreignRoutes;
  const place = ({ words, layout }: Table, row: number, isForeign = false): RowPlace => {
    const at = row * layout.words;
    const slot = words[at + SLOTS[table]]!;
    const name = isForeign ? nameOf(slot) : slots[slot]?.name;
    return { words, at, device: slot === NO_SLOT || name === undefined ? "" : ` dev ${name}` };
  };
  // What is taken over from another program is told of with the link that it is over.
  const isForeignStep = operation === "delete" && observed !== undefined && rows !== observed[table];
  const before = operation === "replace"
    ? valuesByKey(table, [observed?.[table], foreign], place)
    : undefined;
  for (const index of indices) {
    list.addRow(() => {
      const row = place(isForeignStep ? foreign! : rows, index, isForeignStep);
      const object = key(row);
      if (operation === "delete") return { kind, object, was: value(row) };
      const becomes = value(row);
      if (operation === "add") return { kind, object, becomes };
      return { kind, object, was: before?.get(object) ?? "", becomes };
    });
  }
}

/** The values of rows by their keys; the first of several counts, and ours before others'. */
function valuesByKey(
  table: TableName,
  tables: readonly (Table | undefined)[],
  place: (rows: Table, row: number, isForeign: boolean) => RowPlace,
): Map<string, string> {
  const { key, value } = ROW_WORDS[table];
  const values = new Map<string, string>();
  for (const [at, rows] of tables.entries()) {
    if (rows === undefined || at > 0 && table !== "routes") continue;
    for (let row = 0; row < rows.count; row++) {
      const found = place(rows, row, at > 0);
      const name = key(found);
      if (!values.has(name)) values.set(name, value(found));
    }
  }
  return values;
}
