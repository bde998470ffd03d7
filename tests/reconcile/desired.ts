import { type Mac, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { FDB, NEIGHBOUR, ROUTE } from "../../src/model/rows.ts";
import type { DesiredLink, DesiredState, StateTables, VxlanLink } from "../../src/model/state.ts";
import { Table } from "../../src/model/table.ts";

/** A VTEP of each family. */
export const VTEP: VxlanLink = {
  kind: "vxlan",
  name: "flannel.1",
  vni: 1,
  port: 8472,
  mtuBytes: 1450,
  mac: 0x0e2a00000001 as Mac,
  local: parseAddress("192.0.2.1"),
  underlayLinkIndex: 2,
  learning: false,
  gbp: false,
};
export const VTEP6: VxlanLink = {
  ...VTEP,
  name: "flannel-v6.1",
  mtuBytes: 1430,
  local: parseAddress("2001:db8::1"),
};
/** The link that outer packets and direct routes leave by. */
export const UNDERLAY: DesiredLink = { kind: "underlay", name: "eth0" };
/** This host's address in each family. */
export const OWN = "10.244.1.0/32";
export const OWN6 = "fd00:10:244:1::/128";

/** Empty tables. */
export function noTables(): StateTables {
  return {
    neighbours: new Table(NEIGHBOUR),
    fdb: new Table(FDB),
    routes: new Table(ROUTE),
  };
}

/** The state of `link`, the underlay behind it, and `tables`. */
export function desired(link: DesiredLink, own: string, tables: Partial<StateTables> = {}): DesiredState {
  return {
    links: [link, UNDERLAY],
    addresses: [{ slot: 0, prefix: parsePrefix(own) }],
    networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/48")],
    ...noTables(),
    ...tables,
  };
}
