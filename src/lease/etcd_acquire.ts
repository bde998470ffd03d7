import type { Log } from "../log/log.ts";
import { AF_INET, familyOf, maskAddress } from "../model/address.ts";
import { type Prefix, prefixContains, prefixEquals } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { BackOff } from "./back_off.ts";
import { chooseSubnet, exhausted, type FamilySubnets, isAllowed, limits } from "./choose_subnet.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { formatLeaseValue, formatSubnetKey, parseSubnetKey, readEntry } from "./etcd_format.ts";
import { type EtcdEntry, rangeEnd } from "./etcd_wire.ts";
import { absent, EtcdWriter, NO_LEASE, noneSince, unchanged } from "./etcd_write.ts";
import { type Candidate, type Claim, isOrphan, ownClaims, PROOFS } from "./own_lease.ts";
import { saidBy } from "./origin_text.ts";
import { pause } from "./pause.ts";
import { proveClaims } from "./prove_claims.ts";
import type { LeaseRequest } from "./registry.ts";
import { RegistryError } from "./registry_error.ts";

/** A race is lost when another host writes first. Of 250 hosts that join at once in dual stack none needs 20 attempts. */
const ATTEMPTS = 60;
/** Between attempts: the first pause, and the longest. They grow until about one host writes at a time. */
const FIRST_PAUSE_MS = 40;
const LAST_PAUSE_MS = 2000;
/** Behind an IPv4 subnet and `&` in the order of keys: up to there are those of leases that have an IPv6 subnet too. */
const AFTER_SECOND_HALF = "'";

/** Who takes a lease, and of what. */
export interface EtcdTaker {
  /** What the keys of leases begin with, with a slash at the end: `/coreos.com/network/subnets/`. */
  readonly folder: string;
  readonly families: readonly FamilySubnets[];
  readonly previousSubnets: readonly Prefix[];
  /** The etcd leases that this host has lived by: what was granted is added before it is used. */
  readonly tokens: Set<string>;
  /** The one that the process before this one lived by, as a file has it. */
  readonly rememberedToken: string | undefined;
  /** The etcd leases of those who were seen to live: what is theirs is not this host's, however alike they are. */
  readonly living: Set<string>;
  readonly ttlMs: number;
  /** A holder that has shown no sign of life for so long is gone. */
  readonly silentMs: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
}

/** A lease as it stands in etcd. */
interface Held extends Candidate {
  readonly entry: EtcdEntry;
}

/** A lease that was taken, and the revision that wrote it; without one it is as it was. */
export interface Taken {
  readonly lease: Lease;
  readonly revision: number | undefined;
  /** The etcd lease that it lives by; absent for a reservation. */
  readonly token: string | undefined;
}

/** Finds the own lease, if there is one: one that suits the configuration before one that does not. */
export async function findOwn(
  client: EtcdClient,
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Held | undefined> {
  const { entries } = await client.range(taker.folder, options);
  const claims = await provenClaims(client, entries, request, taker, options);
  return (claims.find(({ candidate }) => isKept(candidate.lease, taker)) ?? claims[0])?.candidate;
}

/** What is this host's for certain, the best proof first. Of what is in doubt, the holder is waited for. */
async function provenClaims(
  client: EtcdClient,
  entries: readonly EtcdEntry[],
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Claim<Held>[]> {
  const held = entries.flatMap((entry): Held[] => {
    const host = entry.key.slice(taker.folder.length);
    const reading = readEntry(host, entry.value);
    const token = entry.lease === NO_LEASE ? {} : { token: entry.lease };
    if ("lease" in reading) return [{ entry, lease: reading.lease, ...token }];
    // Somebody has spoilt the value under the own etcd lease.
    const subnets = taker.tokens.has(entry.lease) ? parseSubnetKey(host) ?? [] : [];
    const parts = subnets.flatMap((subnet) => {
      const asked = request.parts.find((part) => familyOf(part.underlayAddress) === familyOf(subnet.address));
      return asked === undefined ? [] : [{ ...asked, subnet }];
    });
    return parts.length === 0 ? [] : [{ entry, lease: { host, backendType: "", parts }, ...token }];
  });
  const { origin, parts } = request;
  const { tokens, rememberedToken, previousSubnets } = taker;
  const claims = ownClaims(held, { origin, parts, tokens, rememberedToken, previousSubnets });
  const proven = await proveClaims(claims, {
    ...taker,
    suits: (lease) => isKept(lease, taker),
    showsLife: ({ token }) => token !== undefined,
    ageSeconds: ({ entry }) => client.ageOf(entry.lease, options),
  }, options);
  return sortKept(proven, taker);
}

/** Those that suit first, and of these one on a subnet that the host held before. */
function sortKept(claims: readonly Claim<Held>[], taker: EtcdTaker): Claim<Held>[] {
  const isPrevious = ({ parts }: Lease) =>
    parts.some(({ subnet }) => taker.previousSubnets.some((previous) => prefixEquals(previous, subnet)));
  const proof = (claim: Claim<Held>) => PROOFS.indexOf(claim.proof);
  const rank = ({ candidate: { lease } }: Claim<Held>) =>
    (isKept(lease, taker) ? 2 : 0) + (isPrevious(lease) ? 1 : 0);
  return claims.toSorted((a, b) => proof(b) - proof(a) || rank(b) - rank(a));
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
  host: EtcdTaker,
  { signal }: { readonly signal: AbortSignal },
): Promise<Taken> {
  const families = host.families.filter((family) => askedPart(family, request) !== undefined);
  const taker = { ...host, families };
  if (families.length === 0) {
    throw new RegistryError(
      `take a lease under ${taker.folder}`,
      "no underlay address of a family in use was given",
    );
  }
  const writer = new EtcdWriter(client, taker);
  const random = () => Number(taker.random() % 1_000_000n) / 1_000_000;
  const backOff = new BackOff({ firstMs: FIRST_PAUSE_MS, lastMs: LAST_PAUSE_MS, random });
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const seen = await client.range(taker.folder, { signal });
    const taken = await tryOnce(writer, seen, request, taker, { signal });
    if (taken !== undefined) {
      await writer.release({ signal });
      return taken;
    }
    await pause(backOff.next(), { signal });
    signal.throwIfAborted();
  }
  await writer.release({ signal });
  throw new RegistryError(
    `take a lease under ${taker.folder}`,
    `other hosts were faster ${ATTEMPTS} times; it is tried again`,
  );
}

/** All leases as of one moment. */
interface Seen {
  readonly revision: number;
  readonly entries: readonly EtcdEntry[];
}

/** One attempt; `undefined` if another host was faster. */
async function tryOnce(
  writer: EtcdWriter,
  seen: Seen,
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const asked = taker.families.map((family) => askedPart(family, request)!);
  const all = await provenClaims(writer.client, seen.entries, request, taker, options);
  const own = all.find(({ candidate }) => isKept(candidate.lease, taker));
  // What was in doubt is written under another etcd lease, so that whoever held it knows that it is no longer theirs.
  if (own?.proof === "token") taker.tokens.add(own.candidate.token!);
  const left = all.filter((claim) =>
    claim !== own && (isOrphan(claim, own ?? all[0]) || !isKept(claim.candidate.lease, taker))
  );
  const stale = left.map(({ candidate }) => candidate);
  const taken = own === undefined
    ? await create(writer, { ...seen, stale, asked }, request, taker, options)
    : await renew(writer, own.candidate, request, taker, options);
  // Only now, so that this host is never without.
  if (taken !== undefined) { for (const held of stale) await giveUp(writer, held, taker, options); }
  return taken;
}

/** Deletes a lease of this host that it does not use, unless it has changed. If that fails, it is for the next time. */
async function giveUp(
  writer: EtcdWriter,
  { entry, lease }: Held,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { families, log } = taker;
  const subnet = lease.host;
  const reason = isKept(lease, taker) ? "this host holds another one" : families.map(limits).join(", ");
  log.write("warn", "own subnet not kept", { subnet, reason });
  try {
    await writer.remove(entry, options);
  } catch (error) {
    options.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    log.write("warn", "own subnet not given up", { subnet, reason });
  }
}

/** What is asked for in `family`; `undefined` where that family can't leave this host now. */
function askedPart(
  family: FamilySubnets,
  { parts }: LeaseRequest,
): Omit<LeasePart, "subnet"> | undefined {
  return parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family.family);
}

/** Whether a lease has what is asked for: a subnet of each family, and no other. */
function isKept({ parts }: Lease, { families }: Pick<EtcdTaker, "families">): boolean {
  return parts.length === families.length && families.every((family, at) => {
    const subnet = parts[at]!.subnet;
    return familyOf(subnet.address) === family.family && isAllowed(family, subnet);
  });
}

/** Renews a lease: by its etcd lease alone where nothing else changes, so that no other host is woken. */
async function renew(
  writer: EtcdWriter,
  { entry, lease }: Held,
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const parts = lease.parts.map(({ subnet }, at): LeasePart => ({
    ...askedPart(taker.families[at]!, request)!,
    subnet,
  }));
  const { backendType, origin } = request;
  const renewed = { host: lease.host, backendType, parts, ...saidBy(origin), since: entry.createRevision };
  const value = formatLeaseValue(renewed);
  if (entry.lease === NO_LEASE) {
    // An operator's reservation, which stays one.
    if (value === entry.value) return { lease: renewed, revision: undefined, token: undefined };
    const revision = await writer.putLasting(entry.key, value, [unchanged(entry)], options);
    return revision === undefined ? undefined : { lease: renewed, revision, token: undefined };
  }
  const { lease: token } = entry;
  const isSame = value === entry.value;
  // Where it is this host's own, what is new is written under the etcd lease that is there.
  const expiresAtMs = isSame || taker.tokens.has(token) ? await writer.keepAlive(token, options) : undefined;
  if (expiresAtMs !== undefined) {
    taker.tokens.add(token);
    if (isSame) return { lease: { ...renewed, expiresAtMs }, revision: undefined, token };
    const revision = await writer.putUnder(token, entry.key, value, [unchanged(entry)], options);
    return revision === undefined ? undefined : { lease: { ...renewed, expiresAtMs }, revision, token };
  }
  const written = await writer.putLiving(entry.key, value, [unchanged(entry)], options);
  return written && { ...written, lease: { ...renewed, expiresAtMs: written.expiresAtMs } };
}

/** Takes subnets that nobody holds. */
async function create(
  writer: EtcdWriter,
  seen: Seen & { readonly stale: readonly Held[]; readonly asked: readonly Omit<LeasePart, "subnet">[] },
  request: LeaseRequest,
  taker: EtcdTaker,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const others = seen.entries.filter((entry) => !seen.stale.some((held) => held.entry === entry));
  // Where only one half of the lease does not suit, the other is kept.
  const held = seen.stale.flatMap(({ lease }) => lease.parts).map(({ subnet }) => subnet);
  const parts = taker.families.map((family, at): LeasePart => {
    const subnet = chooseSubnet(family, {
      taken: takenSubnets(others, family, taker),
      previous: [...held.filter((subnet) => isAllowed(family, subnet)), ...taker.previousSubnets],
      random: taker.random(),
      log: taker.log,
    });
    if (subnet === undefined) throw exhausted(family, taker.folder);
    return { ...seen.asked[at]!, subnet };
  });
  const host = formatSubnetKey(parts.map(({ subnet }) => subnet));
  const key = taker.folder + host;
  // Two keys can differ and still share a half, so no such key may have been made since: that of an IPv4 subnet
  // begins with the subnet, that of an IPv6 one may be anywhere.
  const isIpv4Alone = parts.every(({ subnet }) => familyOf(subnet.address) === AF_INET);
  const isAlone = isIpv4Alone
    ? noneSince(seen.revision, key, key + AFTER_SECOND_HALF)
    : noneSince(seen.revision, taker.folder, rangeEnd(taker.folder));
  const lease = { host, backendType: request.backendType, parts, ...saidBy(request.origin) };
  const written = await writer.putLiving(key, formatLeaseValue(lease), [absent(key), isAlone], options);
  if (written === undefined) return undefined;
  const { revision, expiresAtMs } = written;
  return { ...written, lease: { ...lease, expiresAtMs, since: revision } };
}

/** What is held in one family, in the order of addresses. A key counts whatever its value is. */
function takenSubnets(
  entries: readonly EtcdEntry[],
  { network }: FamilySubnets,
  { folder }: EtcdTaker,
): Prefix[] {
  return entries.flatMap(({ key }) => parseSubnetKey(key.slice(folder.length)) ?? [])
    .filter(({ address, length }) => length >= network.length && prefixContains(network, address))
    .map(({ address, length }) => ({ address: maskAddress(address, length), length }))
    .sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
}
