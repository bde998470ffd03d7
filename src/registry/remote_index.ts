import { type Address, familyOf, isOverlapping, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { compareByData } from "./claim_age.ts";
import { checkPart } from "./part_check.ts";
import type { RemoteLeases } from "./remote_leases.ts";

/** Leases with something wrong that a change is held against one by one. */
const MOST_REFUSED = 32;

/** What one host's lease was, and is; absent where it was not there, or is gone. */
export interface LeaseChange {
  readonly before: Lease | undefined;
  readonly after: Lease | undefined;
}

/** What leases are held against. */
export interface RemoteScene {
  readonly own: Lease;
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
  /** The lease of a host as the registry says it. */
  readonly of: (host: string) => Lease | undefined;
}

/**
 * Others' leases, in which one can be changed in the time that one takes, however many there are; but only where that
 * changes nothing about any other one: it shares no subnet and no address with one, not even with one that was left out. What
 * comes of it is what `remoteLeases()` makes of all.
 */
export class RemoteIndex {
  readonly #scene: RemoteScene;
  readonly #remote: RemoteLeases;
  /** In the order of `remoteLeases()`. */
  readonly #leases: Lease[];
  readonly #hostBySubnet = new Map<Address, string>();
  readonly #hostByAddress = new Map<Address, string>();
  readonly #refused: ReadonlyMap<string, readonly LeasePart[]>;

  private constructor(
    remote: RemoteLeases,
    scene: RemoteScene,
    refused: ReadonlyMap<string, readonly LeasePart[]>,
  ) {
    this.#remote = remote;
    this.#scene = scene;
    this.#refused = refused;
    this.#leases = [...remote.leases];
  }

  /** An index; `undefined` where changes can't be told apart. */
  static of(remote: RemoteLeases, scene: RemoteScene): RemoteIndex | undefined {
    const { leases, faults, doubts } = remote;
    if (doubts.length > 0 || faults.length > MOST_REFUSED) return undefined;
    const refused = new Map(faults.map(({ host }) => [host, scene.of(host)?.parts ?? []]));
    const index = new RemoteIndex(remote, scene, refused);
    for (const lease of leases) {
      // A part of it may be left out, or of no use.
      const isWhole = lease.parts.every((part) => index.#isUsual(part));
      if (!isWhole) return undefined;
      index.#note(lease);
    }
    return index;
  }

  /** What others' leases are after a change; `undefined` if that is to be found out from all of them. */
  change(
    host: string,
    before: Lease | undefined,
    after: Lease | undefined,
    serial: number,
  ): { readonly change: LeaseChange; readonly remote: RemoteLeases } | undefined {
    if (this.#refused.has(host)) return undefined;
    if (![before, after].every((lease) => lease === undefined || this.#isApart(lease))) return undefined;
    if (after !== undefined && !this.#isGood(after)) return undefined;
    const used = before && this.#take(before);
    if (before !== undefined && used === undefined) return undefined;
    if (after !== undefined) {
      this.#note(after);
      this.#leases.splice(this.#positionOf(after), 0, after);
    }
    return { change: { before: used, after }, remote: this.#told(serial) };
  }

  /** The leases are those of the moment when they are asked for first: few do. */
  #told(serial: number): RemoteLeases {
    const leases = this.#leases;
    const { faults, doubts, isRemembered } = this.#remote;
    let copy: readonly Lease[] | undefined;
    return {
      get leases() {
        return copy ??= [...leases];
      },
      faults,
      doubts,
      isRemembered,
      serial,
    };
  }

  /** Whether a part has the length that hosts are given, so that it overlaps another one only if it is the same. */
  #isUsual({ subnet }: LeasePart): boolean {
    return this.#scene.own.parts.some((ours) =>
      familyOf(ours.subnet.address) === familyOf(subnet.address) && ours.subnet.length === subnet.length
    );
  }

  /** Whether nothing that was left out has to do with a lease. */
  #isApart({ parts }: Lease): boolean {
    const isMet = (part: LeasePart, other: LeasePart) =>
      part.underlayAddress === other.underlayAddress ||
      familyOf(part.subnet.address) === familyOf(other.subnet.address) &&
        isOverlapping(part.subnet, other.subnet);
    return ![...this.#refused.values()].some((refused) =>
      refused.some((other) => parts.some((part) => isMet(part, other)))
    );
  }

  /** Whether a lease is used as it is. */
  #isGood({ host, parts }: Lease): boolean {
    const { own, networks } = this.#scene;
    return parts.length > 0 && parts.every((part, at) => {
      const family = familyOf(part.subnet.address);
      const network = networks.find(({ address }) => familyOf(address) === family);
      const isSecond = parts.findIndex(({ subnet }) => familyOf(subnet.address) === family) !== at;
      const [holder, neighbour] = [
        this.#hostBySubnet.get(part.subnet.address),
        this.#hostByAddress.get(part.underlayAddress),
      ];
      return network !== undefined && this.#isUsual(part) &&
        [holder, neighbour].every((other) => other === undefined || other === host) &&
        checkPart(part, { network, own, isSecond }) === undefined;
    });
  }

  #note({ host, parts }: Lease): void {
    for (const { subnet, underlayAddress } of parts) {
      this.#hostBySubnet.set(subnet.address, host);
      this.#hostByAddress.set(underlayAddress, host);
    }
  }

  /** Takes out the lease that says the same, and perhaps ended at another time; `undefined` if there is none. */
  #take(lease: Lease): Lease | undefined {
    const position = this.#positionOf(lease);
    const used = this.#leases[position];
    if (used?.host !== lease.host) return undefined;
    this.#leases.splice(position, 1);
    for (const { subnet, underlayAddress } of used.parts) {
      this.#hostBySubnet.delete(subnet.address);
      this.#hostByAddress.delete(underlayAddress);
    }
    return used;
  }

  /** Where a lease is, or would be. */
  #positionOf(lease: Lease): number {
    let [low, high] = [0, this.#leases.length];
    while (low < high) {
      const middle = low + high >> 1;
      if (compareByData(this.#leases[middle]!, lease) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
