import { familyOf } from "../../model/address.ts";
import type { Lease } from "../../model/lease.ts";
import type { LeaseRegistry, LeaseRequest } from "../../registry/registry.ts";
import type { RegistryPlace } from "../registry_place.ts";

/**
 * A place whose registries are read, and never written: instead of taking a lease they answer with the one that this host
 * has, as it would be renewed.
 *
 * @param failed Called when there is none to be had.
 */
export function readOnlyPlace(place: RegistryPlace, failed: () => void): RegistryPlace {
  return {
    ...place,
    open: (context) => {
      const opened = place.open(context);
      return { ...opened, registry: readOnly(opened.registry, failed) };
    },
    [Symbol.dispose]: () => place[Symbol.dispose](),
  };
}

function readOnly(registry: LeaseRegistry, failed: () => void): LeaseRegistry {
  return {
    get host() {
      return registry.host;
    },
    get faults() {
      return registry.faults;
    },
    get contact() {
      return registry.contact;
    },
    previous: (request, options) => registry.previous(request, options),
    isSilent: (host, options) => registry.isSilent(host, options),
    watch: (options) => registry.watch(options),
    held: (host, options) => registry.held(host, options),
    async acquire(request, options) {
      try {
        const lease = await registry.previous(request, options);
        if (lease !== undefined) return renewed(lease, request);
        throw new Error("the registry has none of this host, and a plan takes none");
      } catch (error) {
        failed();
        throw error;
      }
    },
  };
}

/** A lease with what its host publishes now, in the families that both have. */
function renewed(lease: Lease, { backendType, parts, origin }: LeaseRequest): Lease {
  return {
    ...lease,
    backendType,
    origin,
    parts: lease.parts.map((part) => {
      const family = familyOf(part.subnet.address);
      const asked = parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family);
      return { ...part, ...asked };
    }),
  };
}
