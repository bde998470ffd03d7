import {
  AF_INET,
  AF_INET6,
  bitsOf,
  FAMILIES,
  type Family,
  formatMac,
  isUnicastMac,
  type Mac,
  parseMac,
} from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { FDB, NEIGHBOUR, writeFamilyAddress, writeMac } from "../../model/rows.ts";
import type { DesiredAddress, DesiredLink, StateTables } from "../../model/state.ts";
import type { Underlay, UnderlayAddress } from "../../model/underlay.ts";
import { vtepName } from "../../model/vtep.ts";
import { NUD_PERMANENT } from "../../rtnetlink/neighbour.ts";
import {
  type Backend,
  type BackendContext,
  countIn,
  emptyTables,
  networksOf,
  partOf,
  type PeerFault,
} from "./backend.ts";
import { nobodyAt, pushDirectRoute, reachOf } from "./direct_route.ts";
import { pushRoute } from "./push_route.ts";

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

/** What the leases of flannel's vxlan say. */
const LEASE_TYPE = "vxlan";

/** Outer Ethernet, IP, UDP and VXLAN headers (RFC 7348 section 5), by the family of the underlay. */
const OVERHEAD_BYTES: Readonly<Record<Family, number>> = { [AF_INET]: 50, [AF_INET6]: 70 };

/** What IPv6 needs of every link, a VTEP and a pod's too (RFC 8200 section 5). */
const LEAST_IPV6_BYTES = 1280;

/** Why a VTEP of the family of `address` would be too small for that family, as a clause; `undefined` if it is not. */
export function whyTooNarrow(
  { mtuBytes }: Pick<VxlanOptions, "mtuBytes">,
  { linkName, mtuBytes: linkMtuBytes }: Underlay,
  address: UnderlayAddress,
): string | undefined {
  const { family } = address;
  const outer = mtuBytes ?? address.mtuBytes;
  const overhead = OVERHEAD_BYTES[family];
  const least = LEAST_IPV6_BYTES + overhead;
  if (family !== AF_INET6 || outer >= least) return undefined;
  const of = mtuBytes !== undefined
    ? "in the configuration"
    : outer < linkMtuBytes
    ? `of the IPv6 default route over ${linkName}`
    : `of ${linkName}`;
  return `the MTU ${of} is ${outer}, and IPv6 over VXLAN needs ${least} (${LEAST_IPV6_BYTES} inside, ` +
    `${overhead} outside): set it to ${least} or more`;
}

/** The VTEPs that a host can have, by name. */
export function vtepNames(vni: number, families: readonly Family[] = FAMILIES): readonly string[] {
  return families.map((family) => vtepName(family, vni));
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
    carriage: options.directRouting ? "tunnel or segment" : "tunnel",
    leaseType: LEASE_TYPE,

    overlayMtuBytes: ({ addresses }) => {
      // The other family's VTEP may be smaller: what does not fit is told to the pod by this host.
      const least = addresses.some(({ family }) => family === AF_INET6) ? LEAST_IPV6_BYTES : 0;
      return Math.max(least, Math.min(...addresses.map(mtuBytes)));
    },

    advertise: (underlay, previous, seed) =>
      underlay.addresses.map((address) => {
        const { family, advertised } = address;
        const taken = takenMacs(seed.older(), family);
        const isFree = (mac: Mac | undefined) => mac !== undefined && !taken.has(mac) ? mac : undefined;
        const mac = isFree(publishedMac(partOf(previous, family))) ??
          isFree(seed.existingMac(vtepName(family, options.vni))) ??
          isFree(prefixedMac(options, address)) ?? seed.randomMac;
        return {
          underlayAddress: advertised,
          backendData: { VNI: options.vni, VtepMAC: formatMac(mac) },
        };
      }),

    desire(underlay, own, remote) {
      const vteps = vtepsOf(own, underlay);
      const links: DesiredLink[] = vteps.map((vtep) => ({
        kind: "vxlan",
        name: vtepName(vtep.address.family, options.vni),
        vni: options.vni,
        port: options.port,
        mtuBytes: mtuBytes(vtep.address),
        mac: vtep.mac,
        local: vtep.address.address,
        underlayLinkIndex: underlay.linkIndex,
        learning: options.learning,
        gbp: options.gbp,
      }));
      const addresses = vteps.map(({ slot, prefix }): DesiredAddress => ({ slot, prefix }));
      const underlaySlot = links.length;
      if (options.directRouting) {
        links.push({ kind: "underlay", name: underlay.linkName });
      }
      const tables = emptyTables(remote.length);
      const faults: PeerFault[] = [];
      const reached = new Map<Family, number>();
      for (const vtep of vteps) {
        pushPeers(tables, { options, vtep, underlaySlot, ownHost: own.host }, remote, { faults, reached });
      }
      const networks = networksOf(context, vteps.map(({ address }) => address.family));
      return { state: { links, addresses, networks, ...tables }, faults, reached };
    },
  };
}

/** Pushes what leads to the peers of one VTEP; counts who is reached, and names who is left out. */
function pushPeers(
  tables: StateTables,
  { options, vtep, underlaySlot, ownHost }: {
    readonly options: VxlanOptions;
    readonly vtep: Vtep;
    readonly underlaySlot: number;
    readonly ownHost: string;
  },
  remote: readonly Lease[],
  { faults, reached }: { readonly faults: PeerFault[]; readonly reached: Map<Family, number> },
): void {
  const { slot, mac: ownMac, address } = vtep;
  const { family } = address;
  const macs = new Map<Mac, string>([[ownMac, ownHost]]);
  for (const lease of remote) {
    const { host } = lease;
    const part = lease.backendType === LEASE_TYPE ? partOf(lease, family) : undefined;
    if (part === undefined) continue;
    const reach = options.directRouting ? reachOf(address, part.underlayAddress) : undefined;
    if (reach?.place === "nobody") {
      faults.push(nobodyAt(host, part.underlayAddress, reach));
      continue;
    }
    if (reach?.place === "segment") {
      pushDirectRoute(tables, underlaySlot, part);
      countIn(reached, family);
      continue;
    }
    const peer = checkPeer(part, options.vni, macs);
    if (typeof peer === "string") {
      const isContest = publishedMac(part) === ownMac;
      faults.push({ host, reason: peer, family, ...isContest && { isContest } });
      continue;
    }
    macs.set(peer, host);
    pushPeer(tables, slot, part, peer);
    countIn(reached, family);
  }
}

/** The VTEP of one family, and where its packets leave. */
interface Vtep extends DesiredAddress {
  readonly mac: Mac;
  readonly address: UnderlayAddress;
}

/** The VTEPs of the families of which this host holds a subnet and has published a MAC. */
function vtepsOf(own: Lease, { addresses }: Underlay): Vtep[] {
  const vteps: Vtep[] = [];
  for (const address of addresses) {
    const part = partOf(own, address.family);
    const mac = publishedMac(part);
    if (part === undefined || mac === undefined) continue;
    const prefix = { address: part.subnet.address, length: bitsOf(address.family) };
    vteps.push({ slot: vteps.length, prefix, mac, address });
  }
  return vteps;
}

/** The MAC in backend data, if it is one as flannel writes it: backend data may be anything. */
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

/** The MACs of one family that others have; a clone that comes with one of these takes another. */
function takenMacs(leases: readonly Lease[], family: Family): ReadonlySet<Mac> {
  return new Set(leases.flatMap((lease) => publishedMac(partOf(lease, family)) ?? []));
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

function pushPeer(
  tables: StateTables,
  slot: number,
  part: LeasePart,
  mac: Mac,
): void {
  const { subnet, underlayAddress } = part;
  const gateway = subnet.address;
  const { neighbours, fdb } = tables;

  const neighbour = neighbours.push();
  neighbours.storage[neighbour] = slot;
  writeFamilyAddress(neighbours.storage, neighbour + NEIGHBOUR.family, gateway);
  writeMac(neighbours.storage, neighbour + NEIGHBOUR.mac, mac);
  neighbours.storage[neighbour + NEIGHBOUR.state] = NUD_PERMANENT;

  const entry = fdb.push();
  fdb.storage[entry] = slot;
  writeMac(fdb.storage, entry + FDB.mac, mac);
  writeFamilyAddress(fdb.storage, entry + FDB.family, underlayAddress);
  fdb.storage[entry + FDB.state] = NUD_PERMANENT;

  pushRoute(tables, subnet, { slot, gateway, isOnlink: true });
}
