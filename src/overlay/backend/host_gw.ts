import { type Address, type Family, familyOf, formatAddress } from "../../model/address.ts";
import type { Reach } from "../../model/reach.ts";
import type { UnderlayAddress } from "../../model/underlay.ts";
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

/** The keys of `net-conf.json` for backends that encapsulate nothing. */
export interface PlainOptions {
  /** Largest packet of a pod; the underlay's MTU where absent. */
  readonly mtuBytes?: number | undefined;
}

/** What the leases of flannel's host-gw say. */
const LEASE_TYPE = "host-gw";

/** Routes through the other hosts themselves: no encapsulation, and all hosts on one segment. */
export function hostGwBackend(options: PlainOptions, context: BackendContext): Backend {
  return {
    type: "host-gw",
    carriage: "segment",
    leaseType: LEASE_TYPE,
    overlayMtuBytes: (underlay) => plainMtuBytes(options, underlay.addresses),
    advertise: (underlay) => underlay.addresses.map(advertisedPart),

    desire(underlay, own, remote) {
      const tables = emptyTables(remote.length);
      const faults: PeerFault[] = [];
      const reached = new Map<Family, number>();
      const addresses = underlay.addresses.filter(({ family }) => partOf(own, family) !== undefined);
      for (const address of addresses) {
        for (const lease of remote) {
          const part = lease.backendType === LEASE_TYPE ? partOf(lease, address.family) : undefined;
          if (part === undefined) continue;
          const reach = reachOf(address, part.underlayAddress);
          if (reach.place === "segment") {
            pushDirectRoute(tables, 0, part);
            countIn(reached, address.family);
          } else if (reach.place === "nobody") {
            faults.push(nobodyAt(lease.host, part.underlayAddress, reach));
          } else faults.push(offSegment(lease.host, part.underlayAddress, reach, underlay.linkName));
        }
      }
      return {
        state: {
          links: [{ kind: "underlay", name: underlay.linkName }],
          addresses: [],
          networks: networksOf(context, addresses.map(({ family }) => family)),
          ...tables,
        },
        faults,
        reached,
      };
    },
  };
}

/** The MTU of pods whose packets leave the host as they are. */
export function plainMtuBytes(options: PlainOptions, addresses: readonly UnderlayAddress[]): number {
  return options.mtuBytes ?? Math.min(...addresses.map(({ mtuBytes }) => mtuBytes));
}

/** What this host publishes of one family. flannel writes no data either. */
function advertisedPart(address: UnderlayAddress): ReturnType<Backend["advertise"]>[number] {
  // Another address of this host may be on the segment; whether it is its peers see.
  if (address.advertised !== address.address && reachOf(address, address.advertised).place === "elsewhere") {
    const [advertised, found] = [address.advertised, address.address].map(formatAddress);
    throw new Error(
      `Cannot advertise ${advertised}: host-gw needs an address on the segment of the link, which has ${found}; ` +
        "advertise that one, or use backend vxlan",
    );
  }
  return { underlayAddress: address.advertised, backendData: null };
}

function offSegment(host: string, address: Address, { why }: Reach, link: string): PeerFault {
  const of = (subject: string) =>
    `${subject} is not on the segment of ${link} (${why}), as host-gw needs; use backend vxlan or auto`;
  return {
    host,
    reason: of(`its underlay address ${formatAddress(address)}`),
    cause: of("its underlay address"),
    family: familyOf(address),
  };
}
