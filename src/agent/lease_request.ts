import type { Backend, HostSeed } from "../overlay/backend/backend.ts";
import { identifyingLink } from "./boot_keeper.ts";
import type { Machine } from "../host/origin.ts";
import type { LeaseRequest } from "../registry/registry.ts";
import { type Family, familyOf, formatMac } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { Underlay } from "../model/underlay.ts";

/** What a host asks its registry for: what its backend advertises, and who it is. */
export function leaseRequest(
  backend: Backend,
  underlay: Underlay,
  previous: Lease | undefined,
  own: {
    readonly families: readonly Family[];
    readonly seed: HostSeed;
    readonly machine: Machine;
    /** The port at which this host answers probes; `undefined` if it does not. */
    readonly probePort: number | undefined;
  },
): LeaseRequest {
  const link = identifyingLink(underlay);
  const parts = backend.advertise(underlay, previous, own.seed);
  return {
    backendType: backend.leaseType,
    parts: withLostFamilies(parts, previous, own.families),
    origin: {
      ...own.machine,
      ...link !== undefined && { mac: formatMac(link.mac) },
      ...own.probePort !== undefined && { probePort: own.probePort },
    },
  };
}

/** Adds what was published of a family that can't leave this host now: the subnet stays this host's. */
function withLostFamilies(
  parts: LeaseRequest["parts"],
  previous: Lease | undefined,
  families: readonly Family[],
): LeaseRequest["parts"] {
  return families.flatMap((family) => {
    const isOfFamily = ({ underlayAddress }: LeaseRequest["parts"][number]) =>
      familyOf(underlayAddress) === family;
    return parts.find(isOfFamily) ?? previous?.parts.find(isOfFamily) ?? [];
  });
}
