import type { Prefix } from "../model/address.ts";
import type { Lease, LeasePart, LeaseUpdate } from "../model/lease.ts";
import {
  compareByData,
  compareBySubnets,
  isSameAge,
  isSameData,
  latestAge,
  provenAges,
} from "./claim_age.ts";
import { type LeaseChange, RemoteIndex } from "./remote_index.ts";
import { type RemoteLeases, remoteLeases } from "./remote_leases.ts";

/** Changes that are kept apart, each with what they made of the others' leases. */
const MOST_CHANGES = 128;

/** Leases with the same parts are the same to this host; their end times are not its concern. */
interface Cached {
  readonly version: number;
  readonly own: Lease;
  readonly networks: readonly Prefix[];
  readonly remote: RemoteLeases;
}

/**
 * Who holds which subnet, as the registry last said. Updates that are lost, repeated or late leave no trace once
 * the next snapshot has come.
 */
export class LeaseSet {
  #leases: Map<string, Lease> | undefined;
  #isRemembered = false;
  /** The largest age of a claim so far. */
  #latest = 0;
  #version = 0;
  #cached: Cached | undefined;
  /** The others' leases, as long as each change is of one host alone. */
  #index: RemoteIndex | undefined;
  #serial = 0;
  #changes: { readonly serial: number; readonly change: LeaseChange }[] = [];

  /**
   * Folds an update in. Until the first snapshot nothing is known, and a change to the unknown is nothing.
   *
   * @returns Whether it changed anything but end times.
   */
  apply(update: LeaseUpdate): boolean {
    const before = this.#version;
    if (update.kind === "snapshot") {
      const known = this.#leases;
      const leases = new Map(
        update.leases.map((lease) => [lease.host, provenAges(known?.get(lease.host), lease, {})]),
      );
      if (this.#leases === undefined || this.#isRemembered || !isSameSet(this.#leases, leases)) {
        this.#version++;
      }
      this.#leases = leases;
      this.#latest = update.leases.reduce((latest, lease) => Math.max(latest, latestAge(lease)), 0);
      this.#isRemembered = false;
    } else if (this.#leases === undefined || this.#isRemembered) {
      return false;
    } else if (update.kind === "held") {
      const { host } = update.lease;
      const before = this.#leases.get(host);
      const lease = provenAges(before, update.lease, { latest: this.#latest });
      this.#latest = Math.max(this.#latest, latestAge(lease));
      this.#leases.set(host, lease);
      if (!isSameClaim(before, lease)) this.#changed(host, before, lease);
    } else {
      const before = this.#leases.get(update.host);
      if (this.#leases.delete(update.host)) this.#changed(update.host, before, undefined);
    }
    return this.#version !== before;
  }

  /** Takes note of a change of one host, and keeps what is known of the others where it says nothing about them. */
  #changed(host: string, before: Lease | undefined, after: Lease | undefined): void {
    this.#version++;
    const cached = this.#cached;
    if (cached?.version !== this.#version - 1 || host === cached.own.host) return;
    const { own, networks } = cached;
    this.#index ??= RemoteIndex.of(cached.remote, { own, networks, of: (host) => this.#leases?.get(host) });
    const serial = this.#serial + 1;
    const changed = this.#index?.change(host, before, after, serial);
    if (changed === undefined) {
      this.#index = undefined;
      return;
    }
    this.#serial = serial;
    this.#changes.push({ serial, change: changed.change });
    if (this.#changes.length > MOST_CHANGES) this.#changes.shift();
    this.#cached = { ...cached, version: this.#version, remote: changed.remote };
  }

  /**
   * What has changed of others' leases since an answer of `remote()`, one by one: what comes of these changes is its last
   * answer. `undefined` if that is not known.
   */
  changesSince({ serial }: Pick<RemoteLeases, "serial">): readonly LeaseChange[] | undefined {
    const newer = this.#changes.filter((one) => one.serial > serial);
    return newer.length === this.#serial - serial ? newer.map(({ change }) => change) : undefined;
  }

  /** Begins with what an earlier process knew last, until the first snapshot. */
  remember(leases: readonly Lease[]): void {
    if (this.#leases !== undefined) return;
    this.apply({ kind: "snapshot", leases });
    this.#isRemembered = true;
  }

  /** Another number after each change that is more than an end time. */
  get version(): number {
    return this.#version;
  }

  /** Whether it is known who is in the overlay, from the registry or from an earlier process. */
  get isKnown(): boolean {
    return this.#leases !== undefined;
  }

  /** Whether the registry has said who is in the overlay, since this process was started. */
  get isHeard(): boolean {
    return this.isKnown && !this.#isRemembered;
  }

  /** Every lease, the own one too, as the registry said last; `undefined` before the first snapshot. */
  get all(): readonly Lease[] | undefined {
    return this.#leases && this.#inOrder();
  }

  /** The same in no order, for who does not need one: it costs nothing. */
  get unordered(): readonly Lease[] | undefined {
    return this.#leases && [...this.#leases.values()];
  }

  /** The longest claims on their data first: of two hosts that claim one MAC, the newcomer is the liar. */
  #inOrder(): readonly Lease[] {
    return [...this.#leases?.values() ?? []].sort(compareByData);
  }

  /** The leases of hosts that have said the same for longer than `own`; all where that is not known yet. */
  olderThan(own: Lease | undefined): readonly Lease[] {
    const all = this.#inOrder();
    const at = all.findIndex(({ host }) => host === own?.host);
    return at < 0 ? all : all.slice(0, at);
  }

  /** The lease of `host` as the registry knows it. */
  of(host: string): Lease | undefined {
    return this.#leases?.get(host);
  }

  /**
   * All leases but `own`, checked against each other and against `own`; `undefined` before the first snapshot. The
   * same object for as long as nothing but end times has changed.
   *
   * @param networks The cluster networks; parts of leases in another family are of no use here.
   * @param options.isFresh Whether it is to be made of all leases again where only changes were put into the last one.
   */
  remote(
    own: Lease,
    networks: readonly Prefix[],
    { isFresh = false }: { readonly isFresh?: boolean } = {},
  ): RemoteLeases | undefined {
    if (this.#leases === undefined) return undefined;
    const cached = this.#cached;
    if (
      !(isFresh && this.#changes.length > 0) && cached?.version === this.#version &&
      isSameLease(cached.own, own) &&
      isSamePrefixes(cached.networks, networks)
    ) return cached.remote;
    const remote = {
      ...remoteLeases(this.#inOrder(), own, networks, compareBySubnets),
      isRemembered: this.#isRemembered,
      serial: ++this.#serial,
    };
    this.#index = undefined;
    this.#changes = [];
    this.#cached = { version: this.#version, own, networks, remote };
    return remote;
  }
}

function isSameSet(a: ReadonlyMap<string, Lease>, b: ReadonlyMap<string, Lease>): boolean {
  if (a.size !== b.size) return false;
  for (const [host, lease] of b) if (!isSameClaim(a.get(host), lease)) return false;
  return true;
}

/** Compares all but the end time, and who was there first. */
function isSameClaim(a: Lease | undefined, b: Lease): boolean {
  return a !== undefined && isSameLease(a, b) && isSameAge(a, b);
}

/** Compares what two leases say, and not for how long. */
export function isSameLease(a: Lease | undefined, b: Lease): boolean {
  if (a === b) return true;
  return a !== undefined && a.host === b.host && a.backendType === b.backendType &&
    a.parts.length === b.parts.length && a.parts.every((part, at) => isSamePart(part, b.parts[at]!));
}

function isSamePart(a: LeasePart, b: LeasePart): boolean {
  return isSameSubnet(a, b) && a.underlayAddress === b.underlayAddress && isSameData(a, b);
}

function isSameSubnet(a: LeasePart, b: LeasePart): boolean {
  return a.subnet.address === b.subnet.address && a.subnet.length === b.subnet.length;
}

function isSamePrefixes(a: readonly Prefix[], b: readonly Prefix[]): boolean {
  return a === b || a.length === b.length &&
      a.every(({ address, length }, at) => b[at]!.address === address && b[at]!.length === length);
}
