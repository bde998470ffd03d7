import type { Log } from "../../log/log.ts";
import type { Prefix } from "../../model/address.ts";
import type { Condition } from "../../model/condition.ts";
import type { Lease, LeaseUpdate } from "../../model/lease.ts";
import type { FamilySubnets } from "../choose_subnet.ts";
import { Contact } from "../contact.ts";
import { takeEtcdLease } from "./etcd_acquire.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { EtcdFeed } from "./etcd_feed.ts";
import { plainLeaseValue, readEntry } from "./etcd_format.ts";
import { type EtcdClaimant, findOwn } from "./etcd_own.ts";
import { EtcdFollower } from "./etcd_follower.ts";
import { type EtcdList, listLeases } from "./etcd_list.ts";
import { explained } from "./etcd_reason.ts";
import { MAX_VALUE_BYTES } from "./etcd_wire.ts";
import type { LeaseFault } from "../remote_leases.ts";
import { isHeldBy } from "../own_lease.ts";
import type { HeldLease, LeaseRegistry, LeaseRequest, LeavingHost, RegistryContact } from "../registry.ts";
import { NO_LEASE, removeUnchanged, rewriteUnchanged } from "./etcd_write.ts";
import { RegistryError } from "../registry_error.ts";
import { BEAT_MS, silenceMs } from "../silence.ts";

/** How long a lease lives without being renewed, as flannel's: a day. */
const TTL_MS = 24 * 60 * 60 * 1000;
/**
 * All leases are read again this often, even if the watch tells of no change: 58 ms of etcd's time for 5,000, where the
 * proof that nothing is missing takes 5.
 */
const RELIST_MS = 6 * 60 * 60 * 1000;

/** A list is good for what follows for so long: thousands of hosts that start read all leases half as often. */
const KEPT_MS = 10_000;

/** What the registry needs of the world. */
export interface EtcdRegistryDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
  /** Called when etcd is heard again after it could not be followed. */
  readonly back?: () => void;
}

/** Whose registry it is, and which subnets it gives. */
export interface EtcdRegistryOptions {
  /** What all keys begin with, without a slash at the end. */
  readonly prefix: string;
  readonly families: readonly FamilySubnets[];
  /** What the subnet file says that this host held; taken again where no other host holds it. */
  readonly previousSubnets: readonly Prefix[];
  /** The etcd lease that the process before this one lived by on this very host; absent where it is not known. */
  readonly token?: string | undefined;
  /** How long a lease lives; a day unless told. */
  readonly ttlMs?: number;
  /**
   * How often etcd is asked whether it is there, as a watch that is cut off on the way says nothing; every 10 s unless
   * told. The question is whether the own lease begins anew, so that it tells others that this host lives.
   */
  readonly beatMs?: number;
  /** How often all leases are read again beside the watch; every six hours, and up to half more, unless told. */
  readonly relistMs?: number;
  /** How often it is looked whether the watch has told all that there is; every ten minutes, and up to half more. */
  readonly proofMs?: number;
}

/**
 * Reads the network configuration that etcd keeps.
 *
 * @throws {RegistryError} If there is none, and how it is written.
 */
export async function readNetworkConfigText(
  client: EtcdClient,
  prefix: string,
  options: { readonly signal: AbortSignal },
): Promise<string> {
  const key = `${prefix}/config`;
  const { entries } = await explained(
    `read the network configuration ${key}`,
    client,
    options.signal,
    () => client.range(key, { ...options, isOneKey: true }),
  );
  const [entry] = entries;
  if (entry?.cutBytes !== undefined) {
    throw new RegistryError(
      `read the network configuration ${key}`,
      `it has ${entry.cutBytes} bytes, and at most ${MAX_VALUE_BYTES} are read`,
    );
  }
  if (entry !== undefined) return entry.value;
  throw new RegistryError(
    `read the network configuration ${key}`,
    `etcd at ${client.endpoint} has no such key (one that was written with etcd's v2 API is not seen); write it: ` +
      `ETCDCTL_API=3 etcdctl put ${key} '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}'`,
  );
}

/** Leases as keys of etcd v3, as flannel keeps them. */
export class EtcdRegistry implements LeaseRegistry {
  readonly #client: EtcdClient;
  readonly #deps: EtcdRegistryDeps;
  readonly #options: EtcdRegistryOptions;
  readonly #contact: Contact;
  readonly #folder: string;
  readonly #feed: EtcdFeed;
  readonly #follower: EtcdFollower;
  #previousSubnets: readonly Prefix[];
  readonly #tokens = new Set<string>();
  readonly #living = new Set<string>();
  /** What `previous()` has read, for the acquisition that follows, and for the watch if nothing has changed by then. */
  #kept: { readonly list: EtcdList; readonly atMs: number } | undefined;
  #host: string | undefined;
  /** What this host has written last. */
  #said: Lease | undefined;
  #token: string | undefined;

  constructor(client: EtcdClient, deps: EtcdRegistryDeps, options: EtcdRegistryOptions) {
    this.#client = client;
    this.#deps = deps;
    this.#options = options;
    this.#contact = new Contact(deps);
    this.#folder = `${options.prefix}/subnets/`;
    this.#feed = new EtcdFeed(this.#folder);
    const { beatMs = BEAT_MS, relistMs = RELIST_MS, proofMs } = options;
    this.#follower = new EtcdFollower({
      ...{ client, folder: this.#folder, feed: this.#feed, contact: this.#contact },
      token: () => this.#token,
      kept: () => this.#takeKept(),
      elapsedMs: deps.elapsedMs,
      random: () => Number(deps.random() % 1_000_000n) / 1_000_000,
      log: deps.log,
    }, { beatMs, relistMs, ...proofMs !== undefined && { proofMs } });
    this.#previousSubnets = options.previousSubnets;
  }

  get host(): string | undefined {
    return this.#host;
  }

  get token(): string | undefined {
    return this.#token;
  }

  get faults(): readonly LeaseFault[] {
    return this.#feed.faults;
  }

  /** What is to be known of etcd itself. */
  get conditions(): readonly Condition[] {
    return this.#follower.conditions;
  }

  get contact(): RegistryContact {
    return this.#contact;
  }

  async previous(request: LeaseRequest, { signal }: { signal: AbortSignal }): Promise<Lease | undefined> {
    return await explained("read the own lease", this.#client, signal, async () => {
      const list = await listLeases(this.#client, this.#folder, { signal });
      this.#kept = { list, atMs: this.#deps.elapsedMs() };
      return (await findOwn(this.#client, list.entries, request, this.#claimant(), { signal }))?.lease;
    });
  }

  get #silentMs(): number {
    return silenceMs(this.#options.beatMs ?? BEAT_MS);
  }

  /** Who looks for its lease. */
  #claimant(): EtcdClaimant {
    const { now, random, log } = this.#deps;
    const { families, ttlMs = TTL_MS } = this.#options;
    return {
      folder: this.#folder,
      families,
      previousSubnets: this.#previousSubnets,
      tokens: this.#tokens,
      rememberedToken: this.#options.token,
      said: this.#said,
      living: this.#living,
      ttlMs,
      silentMs: this.#silentMs,
      now,
      random,
      log,
    };
  }

  /**
   * Takes subnets that are free, or renews the own lease. Another host's key is never written.
   *
   * @throws {RegistryError} If that can't be, and what to do.
   */
  async acquire(request: LeaseRequest, { signal }: { signal: AbortSignal }): Promise<Lease> {
    return await explained("take a lease", this.#client, signal, async () => {
      const kept = this.#kept;
      const first = this.#takeKept();
      const taken = await takeEtcdLease(this.#client, request, this.#claimant(), { signal, first });
      const { lease, revision, token } = taken;
      // Of a write the list tells nothing.
      if (first !== undefined && revision === undefined) this.#kept = kept;
      // What the watch says of the time before is old.
      if (revision !== undefined) this.#feed.ignoreBefore(lease.host, revision);
      this.#host = lease.host;
      this.#said = lease;
      this.#token = token;
      this.#previousSubnets = lease.parts.map(({ subnet }) => subnet);
      return lease;
    });
  }

  /** All leases, if they were read a moment ago; once. */
  #takeKept(): EtcdList | undefined {
    const kept = this.#kept;
    this.#kept = undefined;
    return kept !== undefined && this.#deps.elapsedMs() - kept.atMs < KEPT_MS ? kept.list : undefined;
  }

  async isSilent(host: string, { signal }: { signal: AbortSignal }): Promise<boolean> {
    const { entries } = await this.#client.range(this.#folder + host, { signal, isOneKey: true });
    const [entry] = entries;
    if (entry === undefined) return true;
    const reading = readEntry(host, entry);
    // Only Loden shows signs of life.
    if ("reason" in reading || reading.lease.origin === undefined || entry.lease === NO_LEASE) return false;
    const seconds = await this.#client.ageOf(entry.lease, { signal });
    return seconds === undefined || seconds * 1000 >= this.#silentMs;
  }

  async held(host: LeavingHost, { signal }: { signal: AbortSignal }): Promise<readonly HeldLease[]> {
    const folder = this.#folder;
    const read = () => listLeases(this.#client, folder, { signal });
    const { entries } = await explained(`read the leases under ${folder}`, this.#client, signal, read);
    return entries.filter((entry) => {
      const reading = readEntry(entry.key.slice(folder.length), entry);
      return "lease" in reading && isHeldBy(reading.lease, host);
    }).map((entry): HeldLease => {
      const plain = plainLeaseValue(entry.value);
      return {
        object: `lease ${entry.key}`,
        release: (options) => removeUnchanged(this.#client, entry, options),
        ...plain !== undefined && {
          strip: (options: { signal: AbortSignal }) => rewriteUnchanged(this.#client, entry, plain, options),
        },
      };
    });
  }

  moved(): void {
    this.#client.leaveConnections();
  }

  watch(options: { signal: AbortSignal }): AsyncGenerator<LeaseUpdate, void, undefined> {
    return this.#follower.watch(options);
  }
}
