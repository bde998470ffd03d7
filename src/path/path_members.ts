import { type Address, type Family, familyOf } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { ProbedNetwork } from "../model/peer_path.ts";
import { ringOf, ringPlace } from "./sampler.ts";

/** One family of a host that is asked. */
export interface PathMember {
  readonly host: string;
  readonly family: Family;
  /** Where it answers probes; absent where it does not, and its kernel alone is asked. */
  readonly port: number | undefined;
  /** Where it is, by network; the overlay's absent where pods' packets are not encapsulated. */
  readonly addresses: { readonly underlay: Address; readonly overlay?: Address };
}

/** Who takes part in one family. */
export interface FamilyMembers {
  readonly byHost: ReadonlyMap<string, PathMember>;
  /** All of them and this host, as `ringOf()` has them. */
  readonly ring: readonly string[];
}

/** Who is at an address, and through which network. */
interface Place {
  readonly member: PathMember;
  readonly network: ProbedNetwork;
}

/** Who takes part. */
export interface PathMembers {
  readonly families: ReadonlyMap<Family, FamilyMembers>;
  /** Who is at an address, and through which network. */
  readonly at: ReadonlyMap<Address, Place>;
}

/** Whom this host asks, and by what. */
export interface MemberChoice {
  /** What the registry knows this host by. */
  readonly own: string;
  /** What the leases of this host's backend say: packets go to no others. */
  readonly backendType: string;
  /** Whether packets are encapsulated. */
  readonly hasOverlay: boolean;
  /** Whether hosts that don't take part are asked too, by a port at which nobody listens. */
  readonly withOthers: boolean;
}

/** Who takes part, by the leases of hosts that come, change and go: a change costs what one host costs. */
export class MemberTable implements PathMembers {
  readonly #choice: MemberChoice;
  readonly #families = new Map<
    Family,
    { readonly byHost: Map<string, PathMember>; readonly ring: string[] }
  >();
  readonly #at = new Map<Address, Place>();
  /** Addresses that two or more claim: neither is asked there. */
  readonly #contested = new Map<Address, readonly Place[]>();

  constructor(leases: Iterable<Lease>, choice: MemberChoice) {
    this.#choice = choice;
    for (const lease of leases) this.#put(lease);
    for (const { byHost, ring } of this.#families.values()) {
      ring.push(...ringOf([choice.own, ...byHost.keys()]));
    }
  }

  get families(): ReadonlyMap<Family, FamilyMembers> {
    return this.#families;
  }

  get at(): ReadonlyMap<Address, Place> {
    return this.#at;
  }

  /** Takes the lease of a host for the one that it had; without one it is gone. */
  set(host: string, lease: Lease | undefined): void {
    for (const [family, { byHost, ring }] of this.#families) {
      const member = byHost.get(host);
      if (member === undefined) continue;
      byHost.delete(host);
      ring.splice(ringPlace(ring, host), 1);
      for (const { address } of placesOf(member)) this.#leave(address, member);
      if (byHost.size === 0) this.#families.delete(family);
    }
    if (lease === undefined) return;
    for (const { family } of this.#put(lease)) {
      const { byHost, ring } = this.#families.get(family)!;
      if (ring.length === 0) ring.push(...ringOf([this.#choice.own, ...byHost.keys()]));
      else ring.splice(ringPlace(ring, host), 0, host);
    }
  }

  /** Notes what a lease makes of its host, all but the ring. */
  #put(lease: Lease): readonly PathMember[] {
    const { own, backendType, hasOverlay, withOthers } = this.#choice;
    const { host, origin, parts } = lease;
    const port = origin?.probePort;
    if (host === own || lease.backendType !== backendType) return [];
    if (port === undefined && !withOthers) return [];
    const members = new Map<Family, PathMember>();
    for (const { subnet, underlayAddress: underlay } of parts) {
      const family = familyOf(subnet.address);
      if (members.has(family)) continue;
      const addresses = hasOverlay ? { underlay, overlay: subnet.address } : { underlay };
      const member: PathMember = { host, family, port, addresses };
      members.set(family, member);
      this.#families.getOrInsertComputed(family, () => ({ byHost: new Map(), ring: [] })).byHost.set(
        host,
        member,
      );
      for (const { address, network } of placesOf(member)) this.#claim(address, { member, network });
    }
    return [...members.values()];
  }

  #claim(address: Address, place: Place): void {
    const holder = this.#at.get(address);
    const others = this.#contested.get(address) ?? (holder === undefined ? [] : [holder]);
    if (others.length === 0) {
      this.#at.set(address, place);
      return;
    }
    this.#at.delete(address);
    this.#contested.set(address, [...others, place]);
  }

  #leave(address: Address, member: PathMember): void {
    const others = this.#contested.get(address)?.filter((place) => place.member !== member);
    if (others === undefined) {
      this.#at.delete(address);
    } else if (others.length > 1) {
      this.#contested.set(address, others);
    } else {
      this.#contested.delete(address);
      for (const place of others) this.#at.set(address, place);
    }
  }
}

function placesOf(
  { addresses: { underlay, overlay } }: PathMember,
): readonly { readonly address: Address; readonly network: ProbedNetwork }[] {
  return [
    { address: underlay, network: "underlay" },
    ...overlay === undefined ? [] : [{ address: overlay, network: "overlay" as const }],
  ];
}
