import type { Log } from "../log/log.ts";
import { type Address, familyOf, formatPrefix, prefixContains } from "../model/address.ts";
import type { Prefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { chooseSubnet, exhausted, type FamilySubnets, isAllowed, limits } from "./choose_subnet.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { formatLeaseValue, formatSubnetKey, parseSubnetKey, readEntry } from "./etcd_format.ts";
import { type EtcdEntry, rangeEnd, toBase64 } from "./etcd_wire.ts";
import { pause } from "./pause.ts";
import type { LeaseRequest } from "./registry.ts";
import { RegistryError } from "./registry_error.ts";

/** A race is lost when another host writes first; with 200 hosts that join at once many are. */
const ATTEMPTS = 60;
/** After the n-th lost race the pause is up to n times so long, and at most as long as the last one. */
const RACE_PAUSE_MS = 10;
const LAST_RACE_PAUSE_MS = 500;
/** etcd's name of no lease: the key stays until somebody deletes it. */
const NO_LEASE = "0";

/** Who takes a lease, and of what. */
export interface EtcdTaker {
  /** What the keys of leases begin with, with a slash at the end: `/coreos.com/network/subnets/`. */
  readonly folder: string;
  readonly families: readonly FamilySubnets[];
  readonly previousSubnets: readonly Prefix[];
  readonly ttlMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
}

/** A lease as it stands in etcd. */
interface Held {
  readonly entry: EtcdEntry;
  readonly lease: Lease;
}

/** A lease that was taken, and the revision that wrote it; without one it is as it was. */
export interface Taken {
  readonly lease: Lease;
  readonly revision: number | undefined;
}

/** The lease of whoever is reached at `address`; of several, one on a subnet that it held before. */
export function findOwn(
  entries: readonly EtcdEntry[],
  address: Address | undefined,
  taker: Pick<EtcdTaker, "folder" | "previousSubnets">,
): Held | undefined {
  if (address === undefined) return undefined;
  const all = entries.flatMap((entry): Held[] => {
    const reading = readEntry(entry.key.slice(taker.folder.length), entry.value);
    if ("reason" in reading) return [];
    // By IPv4 where there is one, as flannel does.
    return reading.lease.parts[0]!.underlayAddress === address ? [{ entry, lease: reading.lease }] : [];
  });
  const isPrevious = ({ lease }: Held) =>
    lease.parts.some(({ subnet }) =>
      taker.previousSubnets.some(({ address, length }) =>
        address === subnet.address && length === subnet.length
      )
    );
  return all.find(isPrevious) ?? all[0];
}

/**
 * Takes a lease or renews the one that is there. Every write is a compare-and-swap: a key that another host holds is
 * never written.
 *
 * @throws {RegistryError} If no subnet is free, or every race was lost.
 */
export async function takeEtcdLease(
  client: EtcdClient,
  request: LeaseRequest,
  taker: EtcdTaker,
  { signal }: { readonly signal: AbortSignal },
): Promise<Taken> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const taken = await tryOnce(client, request, taker, { signal });
    if (taken !== undefined) return taken;
    const limitMs = Math.min(attempt * RACE_PAUSE_MS, LAST_RACE_PAUSE_MS);
    await pause(Number(taker.random() % BigInt(limitMs)), { signal });
    signal.throwIfAborted();
  }
  throw new RegistryError(
    `take a lease under ${taker.folder}`,
    `other hosts were faster ${ATTEMPTS} times; it is tried again`,
  );
}

/** One attempt; `undefined` if another host was faster. */
async function tryOnce(
  client: EtcdClient,
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const { revision, entries } = await client.range(taker.folder, options);
  const asked = taker.families.map((family) => askedPart(family, request, taker));
  const own = findOwn(entries, asked[0]!.underlayAddress, taker);
  if (own !== undefined && isKept(own.lease, taker)) return await renew(client, own, request, taker, options);
  const taken = await create(client, { revision, entries, own, asked }, request, taker, options);
  if (taken === undefined || own === undefined) return taken;
  taker.log.write("warn", "own subnet not kept", {
    subnet: own.lease.host,
    reason: taker.families.map(limits).join(", "),
  });
  // Only now, so that this host is never without; and only if it is still as it was seen.
  await client.transact({
    compare: [unchanged(own.entry)],
    success: [{ request_delete_range: { key: toBase64(own.entry.key) } }],
  }, options);
  return taken;
}

function askedPart(family: FamilySubnets, { parts }: LeaseRequest, { folder }: EtcdTaker) {
  const asked = parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family.family);
  if (asked !== undefined) return asked;
  const missing = `no underlay address for a subnet of ${formatPrefix(family.network)} was given`;
  throw new RegistryError(`take a lease under ${folder}`, missing);
}

/** Whether a lease has what the configuration asks for: a subnet of each family, and no other. */
function isKept({ parts }: Lease, { families }: EtcdTaker): boolean {
  return parts.length === families.length && families.every((family, at) => {
    const subnet = parts[at]!.subnet;
    return familyOf(subnet.address) === family.family && isAllowed(family, subnet);
  });
}

/** Renews a lease: by its etcd lease alone where nothing else changes, so that no other host is woken. */
async function renew(
  client: EtcdClient,
  { entry, lease }: Held,
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const parts = lease.parts.map(({ subnet }, at): LeasePart => ({
    ...askedPart(taker.families[at]!, request, taker),
    subnet,
  }));
  const renewed = { host: lease.host, backendType: request.backendType, parts };
  const value = formatLeaseValue(renewed);
  const ttlSeconds = Math.ceil(taker.ttlMs / 1000);
  if (entry.lease === NO_LEASE) {
    // An operator's reservation, which stays one.
    if (value === entry.value) return { lease: renewed, revision: undefined };
    const revision = await put(client, entry.key, value, NO_LEASE, [unchanged(entry)], options);
    return revision === undefined ? undefined : { lease: renewed, revision };
  }
  const ending = { ...renewed, expiresAtMs: taker.now() + taker.ttlMs };
  if (value === entry.value && await client.keepAlive(entry.lease, options) === ttlSeconds) {
    return { lease: ending, revision: undefined };
  }
  const revision = await putLiving(client, entry.key, value, ttlSeconds, [unchanged(entry)], options);
  return revision === undefined ? undefined : { lease: ending, revision };
}

/** Takes subnets that nobody holds. */
async function create(
  client: EtcdClient,
  seen: {
    readonly revision: number;
    readonly entries: readonly EtcdEntry[];
    readonly own: Held | undefined;
    readonly asked: readonly Omit<LeasePart, "subnet">[];
  },
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const others = seen.entries.filter((entry) => entry !== seen.own?.entry);
  const parts = taker.families.map((family, at): LeasePart => {
    const subnet = chooseSubnet(family, {
      taken: takenSubnets(others, family, taker),
      previous: taker.previousSubnets,
      random: taker.random(),
      log: taker.log,
    });
    if (subnet === undefined) throw exhausted(family, taker.folder);
    return { ...seen.asked[at]!, subnet };
  });
  const host = formatSubnetKey(parts.map(({ subnet }) => subnet));
  const key = taker.folder + host;
  const isFree = { key: toBase64(key), target: "VERSION", result: "EQUAL", version: "0" };
  // In dual stack two keys can differ and still share a half: nothing may have been made since.
  const isAlone = {
    key: toBase64(taker.folder),
    range_end: toBase64(rangeEnd(taker.folder)),
    target: "CREATE",
    result: "LESS",
    create_revision: String(seen.revision + 1),
  };
  const lease = { host, backendType: request.backendType, parts };
  const compare = parts.length > 1 ? [isFree, isAlone] : [isFree];
  const expiresAtMs = taker.now() + taker.ttlMs;
  const value = formatLeaseValue(lease);
  const revision = await putLiving(client, key, value, Math.ceil(taker.ttlMs / 1000), compare, options);
  return revision === undefined ? undefined : { lease: { ...lease, expiresAtMs }, revision };
}

/** What is held in one family, in the order of addresses. A key counts whatever its value is. */
function takenSubnets(
  entries: readonly EtcdEntry[],
  { network }: FamilySubnets,
  { folder }: EtcdTaker,
): Prefix[] {
  return entries.flatMap(({ key }) => parseSubnetKey(key.slice(folder.length)) ?? [])
    .filter(({ address, length }) => length >= network.length && prefixContains(network, address))
    .sort((a, b) => a.address < b.address ? -1 : 1);
}

function unchanged({ key, modRevision }: EtcdEntry) {
  return { key: toBase64(key), target: "MOD", result: "EQUAL", mod_revision: String(modRevision) };
}

/** Writes a key that lives by a new etcd lease, which is taken back if the key is not written. */
async function putLiving(
  client: EtcdClient,
  key: string,
  value: string,
  ttlSeconds: number,
  compare: readonly unknown[],
  options: { readonly signal: AbortSignal },
): Promise<number | undefined> {
  const lease = await client.grant(ttlSeconds, options);
  const revision = await put(client, key, value, lease, compare, options);
  if (revision === undefined) await client.revoke(lease, options);
  return revision;
}

async function put(
  client: EtcdClient,
  key: string,
  value: string,
  lease: string,
  compare: readonly unknown[],
  options: { readonly signal: AbortSignal },
): Promise<number | undefined> {
  const request_put = { key: toBase64(key), value: toBase64(value), lease };
  return await client.transact({ compare, success: [{ request_put }] }, options);
}
