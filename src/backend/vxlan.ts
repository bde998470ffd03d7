import {
  AF_INET,
  AF_INET6,
  bitsOf,
  type Family,
  familyOf,
  formatMac,
  isUnicastMac,
  type Mac,
  maskAddress,
  parseMac,
  prefixContains,
} from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import {
  FDB,
  NEIGHBOUR,
  NEXT_HOP,
  ROUTE,
  ROUTE_ONLINK,
  writeAddress,
  writeFamilyAddress,
  writeMac,
} from "../model/rows.ts";
import type { DesiredAddress, DesiredLink, StateTables } from "../model/state.ts";
import { Table } from "../model/table.ts";
import type { UnderlayAddress } from "../model/underlay.ts";
import { NUD_PERMANENT } from "../netlink/neighbour.ts";
import { RTPROT_LODEN } from "../netlink/route.ts";
import type { Backend, BackendContext, PeerFault } from "./backend.ts";

/** The vxlan keys of `net-conf.json`. */
export interface VxlanOptions {
  readonly vni: number;
  readonly port: number;
  /** Outer MTU; the underlay's where absent. */
  readonly mtuBytes?: number | undefined;
  readonly gbp: boolean;
  readonly learning: boolean;
  readonly directRouting: boolean;
  /** The first two octets of a new VTEP's MAC; the others are its IPv4 underlay address. */
  readonly macPrefix?: number | undefined;
}

/** `RTN_UNICAST` and `RT_SCOPE_UNIVERSE`, where a route row keeps them. */
const UNICAST_ROUTE = 1 << 16;
/** `IP6_RT_PRIO_USER`: what the kernel makes of an IPv6 route without a metric. */
const IPV6_METRIC = 1024;

/** Outer Ethernet, IP, UDP and VXLAN headers (RFC 7348 section 5), by the family of the underlay. */
const OVERHEAD_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 50, [AF_INET6]: 70 };

/** The VTEP of one family: flannel's names. */
function vtepName(family: Family, vni: number): string {
  return family === AF_INET ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/**
 * VXLAN as flannel 0.28 does it: one VTEP a family, and for each peer a permanent neighbour, an FDB entry and a
 * route. No packet ever waits for an address to be resolved.
 */
export function vxlanBackend(options: VxlanOptions, context: BackendContext): Backend {
  const mtuBytes = (address: UnderlayAddress) =>
    (options.mtuBytes ?? address.mtuBytes) - OVERHEAD_BYTES[address.family];

  return {
    type: "vxlan",

    overlayMtuBytes: (underlay) => Math.min(...underlay.addresses.map(mtuBytes)),

    advertise: (underlay, previous, seed) =>
      underlay.addresses.map((address) => {
        const { family, advertised } = address;
        const published = previous?.parts.find(({ subnet }) => familyOf(subnet.address) === family);
        const mac = publishedMac(published) ?? seed.existingMac(vtepName(family, options.vni)) ??
          prefixedMac(options, address) ?? seed.randomMac;
        return {
          underlayAddress: advertised,
          backendData: { VNI: options.vni, VtepMAC: formatMac(mac) },
        };
      }),

    desire(underlay, own, remote) {
      const links: DesiredLink[] = [];
      const addresses: DesiredAddress[] = [];
      const tables: StateTables = {
        neighbours: new Table(NEIGHBOUR, remote.length + 1),
        fdb: new Table(FDB, remote.length + 1),
        nextHops: new Table(NEXT_HOP, context.hasNextHopObjects ? remote.length + 1 : 1),
        routes: new Table(ROUTE, remote.length + 1),
      };
      const faults: PeerFault[] = [];
      for (const address of underlay.addresses) {
        const part = partOf(own, address.family);
        const mac = publishedMac(part);
        if (part === undefined || mac === undefined) continue;
        const slot = links.length;
        links.push({
          kind: "vxlan",
          name: vtepName(address.family, options.vni),
          vni: options.vni,
          port: options.port,
          mtuBytes: mtuBytes(address),
          mac,
          local: address.address,
          underlayLinkIndex: underlay.linkIndex,
          learning: options.learning,
          gbp: options.gbp,
        });
        addresses.push({
          slot,
          prefix: { address: part.subnet.address, length: bitsOf(address.family) },
        });
      }
      const underlaySlot = links.length;
      if (options.directRouting) {
        links.push({ kind: "underlay", name: underlay.linkName, linkIndex: underlay.linkIndex });
      }
      const vteps = addresses.map(({ slot }) => links[slot]!);
      for (const [slot, vtep] of vteps.entries()) {
        if (vtep.kind !== "vxlan") continue;
        const family = familyOf(vtep.local);
        const macs = new Map<Mac, string>([[vtep.mac, own.host]]);
        const segments = options.directRouting
          ? underlay.addresses.find((address) => address.family === family)!.segments
          : [];
        for (const lease of remote) {
          if (lease.backendType !== "vxlan") continue;
          const part = partOf(lease, family);
          if (part === undefined) continue;
          if (segments.some((segment) => prefixContains(segment, part.underlayAddress))) {
            pushDirectRoute(tables, underlaySlot, part);
            continue;
          }
          const peer = checkPeer(part, options.vni, macs);
          if (typeof peer === "string") {
            faults.push({ host: lease.host, reason: peer });
            continue;
          }
          macs.set(peer, lease.host);
          pushPeer(tables, slot, part, peer, context.hasNextHopObjects);
        }
      }
      return { state: { links, addresses, networks: context.networks, ...tables }, faults };
    },
  };
}

function partOf(lease: Lease, family: Family): LeasePart | undefined {
  return lease.parts.find(({ subnet }) => familyOf(subnet.address) === family);
}

/** The MAC in backend data, if that is what flannel writes; anybody may have written it. */
function publishedMac(part: LeasePart | undefined): Mac | undefined {
  const text = (part?.backendData as { VtepMAC?: unknown } | null | undefined)?.VtepMAC;
  if (typeof text !== "string" || text.length !== 17) return undefined;
  try {
    const mac = parseMac(text);
    return isUnicastMac(mac) ? mac : undefined;
  } catch {
    return undefined;
  }
}

/** `MacPrefix` and the IPv4 underlay address behind it, as flannel does on Windows. */
function prefixedMac(options: VxlanOptions, { address }: UnderlayAddress): Mac | undefined {
  if (options.macPrefix === undefined || typeof address !== "number") return undefined;
  return options.macPrefix * 2 ** 32 + address as Mac;
}

/** The peer's MAC, or the reason why it is left out. */
function checkPeer(part: LeasePart, vni: number, macs: ReadonlyMap<Mac, string>): Mac | string {
  const mac = publishedMac(part);
  if (mac === undefined) return "its backend data holds no unicast VtepMAC";
  const owner = macs.get(mac);
  if (owner !== undefined) return `its VtepMAC ${formatMac(mac)} is already that of ${owner}`;
  // Hosts of flannel before 0.9 publish no VNI.
  const { VNI } = part.backendData as { VNI?: unknown };
  if (VNI !== undefined && VNI !== vni) return `its VNI is ${JSON.stringify(VNI)}, this host's is ${vni}`;
  return mac;
}

function pushPeer(tables: StateTables, slot: number, part: LeasePart, mac: Mac, hasNextHops: boolean): void {
  const gateway = part.subnet.address;
  const { neighbours, fdb, nextHops, routes } = tables;

  const neighbour = neighbours.push();
  neighbours.storage[neighbour] = slot;
  writeFamilyAddress(neighbours.storage, neighbour + NEIGHBOUR.family, gateway);
  writeMac(neighbours.storage, neighbour + NEIGHBOUR.mac, mac);
  neighbours.storage[neighbour + NEIGHBOUR.state] = NUD_PERMANENT;

  const entry = fdb.push();
  fdb.storage[entry] = slot;
  writeMac(fdb.storage, entry + FDB.mac, mac);
  writeFamilyAddress(fdb.storage, entry + FDB.family, part.underlayAddress);
  fdb.storage[entry + FDB.state] = NUD_PERMANENT;

  // IPv4 only: there the kernel searches all routes of a link for one with the same gateway, so that without
  // next-hop objects the time grows with the square of the peers. IPv6 has no such search.
  const nextHopId = hasNextHops && typeof gateway === "number" ? gateway : 0;
  if (nextHopId !== 0) {
    const nextHop = nextHops.push();
    nextHops.storage[nextHop] = nextHopId;
    nextHops.storage[nextHop + NEXT_HOP.slot] = slot;
    writeFamilyAddress(nextHops.storage, nextHop + NEXT_HOP.family, gateway);
    nextHops.storage[nextHop + NEXT_HOP.traits] = RTPROT_LODEN | ROUTE_ONLINK;
  }

  const route = pushRoute(routes, slot, part);
  if (nextHopId !== 0) {
    routes.storage[route + ROUTE.nextHopId] = nextHopId;
  } else {
    writeAddress(routes.storage, route + ROUTE.gateway, gateway);
    routes.storage[route + ROUTE.traits]! |= ROUTE_ONLINK;
  }
}

/** A route that needs no encapsulation: the peer is on the segment of the underlay. */
function pushDirectRoute({ routes }: StateTables, slot: number, part: LeasePart): void {
  const route = pushRoute(routes, slot, part);
  writeAddress(routes.storage, route + ROUTE.gateway, part.underlayAddress);
}

function pushRoute(routes: Table, slot: number, { subnet }: LeasePart): number {
  const route = routes.push();
  const words = routes.storage;
  writeFamilyAddress(words, route, maskAddress(subnet.address, subnet.length));
  words[route + ROUTE.length] = subnet.length;
  words[route + ROUTE.metric] = typeof subnet.address === "number" ? 0 : IPV6_METRIC;
  words[route + ROUTE.slot] = slot;
  words[route + ROUTE.traits] = RTPROT_LODEN | UNICAST_ROUTE;
  return route;
}
