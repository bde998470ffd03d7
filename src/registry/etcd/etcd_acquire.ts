import { errorText } from "../../log/error_text.ts";
import { AF_INET, familyOf, maskAddress, type Prefix, prefixContains } from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { BackOff } from "../../loop/back_off.ts";
import { chooseSubnet, exhausted, type FamilySubnets, isAllowed, limits } from "../choose_subnet.ts";
import { saidBy } from "../origin_text.ts";
import { isOrphan } from "../own_lease.ts";
import type { LeaseRequest } from "../registry.ts";
import { RegistryError } from "../registry_error.ts";
import type { EtcdClient } from "./etcd_client.ts";
import { formatLeaseValue, formatSubnetKey, parseSubnetKey, readEntry } from "./etcd_format.ts";
import { type EtcdCandidate, type EtcdClaimant, isKept, provenClaims } from "./etcd_own.ts";
import { isSameAge, keptAges } from "../claim_age.ts";
import { formatAges, writtenAges } from "./etcd_ages.ts";
import { type EtcdList, listLeases } from "./etcd_list.ts";
import { type EtcdEntry, rangeEnd } from "./etcd_wire.ts";
import { absent, EtcdWriter, NO_LEASE, noneSince, removeUnchanged, unchanged } from "./etcd_write.ts";

/** A race is lost when another host writes first. Of 250 hosts that join at once in dual stack none needs 20 attempts. */
const ATTEMPTS = 60;
/** Between attempts: the first pause, and the longest. They grow until about one host writes at a time. */
const FIRST_PAUSE_MS = 40;
const LAST_PAUSE_MS = 2000;
/** Behind an IPv4 subnet and `&` in the order of keys: up to there are those of leases that have an IPv6 subnet too. */
const AFTER_IPV6_PART = "'";

/** A lease that was taken, and the revision that wrote it; without one it is as it was. */
export interface Taken {
  readonly lease: Lease;
  readonly revision: number | undefined;
  /** The etcd lease that it lives by; absent for a reservation. */
  readonly token: string | undefined;
}

/**
 * Takes a lease or renews the one that is there. Every write is a compare-and-swap: a key that another host holds is
 * never written.
 *
 * @param options.first All leases, as they were a moment ago.
 * @throws {RegistryError} If no subnet is free, or every race was lost.
 */
export async function takeEtcdLease(
  client: EtcdClient,
  request: LeaseRequest,
  host: EtcdClaimant,
  { signal, first }: { readonly signal: AbortSignal; readonly first?: EtcdList | undefined },
): Promise<Taken> {
  const families = host.families.filter((family) => askedPart(family, request) !== undefined);
  const claimant = { ...host, families };
  if (families.length === 0) {
    throw new RegistryError(
      `take a lease under ${claimant.folder}`,
      "no underlay address of a family in use was given",
    );
  }
  const writer = new EtcdWriter(client, claimant);
  const random = () => Number(claimant.random() % 1_000_000n) / 1_000_000;
  const backOff = new BackOff({ firstMs: FIRST_PAUSE_MS, lastMs: LAST_PAUSE_MS, random });
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const known = attempt === 1 ? first : undefined;
    const { header: { revision }, entries } = known ?? await listLeases(client, claimant.folder, { signal });
    const seen = { revision, entries };
    const taken = await tryOnce(writer, seen, request, claimant, { signal });
    if (taken !== undefined) {
      await writer.release({ signal });
      return taken;
    }
    await backOff.pause({ signal });
    signal.throwIfAborted();
  }
  await writer.release({ signal });
  throw new RegistryError(
    `take a lease under ${claimant.folder}`,
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
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const asked = claimant.families.map((family) => askedPart(family, request)!);
  const all = await provenClaims(writer.client, seen.entries, request, claimant, options);
  const own = all.find(({ candidate }) => isKept(candidate.lease, claimant));
  // What was in doubt is written under another etcd lease, so that its former holder learns that it is no longer theirs.
  if (own?.proof === "token") claimant.tokens.add(own.candidate.token!);
  const left = all.filter((claim) =>
    claim !== own && (isOrphan(claim, own ?? all[0]) || !isKept(claim.candidate.lease, claimant))
  );
  const stale = left.map(({ candidate }) => candidate);
  const taken = own === undefined
    ? await create(writer, { ...seen, stale, asked }, request, claimant, options)
    : await renew(writer, own.candidate, request, claimant, options);
  // Only now, so that this host is never without.
  if (taken !== undefined) { for (const held of stale) await giveUp(writer, held, claimant, options); }
  return taken;
}

/** Deletes a lease of this host that it does not use, unless it has changed. If that fails, it is for the next time. */
async function giveUp(
  writer: EtcdWriter,
  { entry, lease }: EtcdCandidate,
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  const { families, log } = claimant;
  const subnet = lease.host;
  const reason = isKept(lease, claimant) ? "this host holds another one" : families.map(limits).join(", ");
  log.write("warn", "own subnet not kept", { subnet, reason });
  try {
    await removeUnchanged(writer.client, entry, options);
  } catch (error) {
    options.signal.throwIfAborted();
    const reason = errorText(error);
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

/** Renews a lease: by its etcd lease alone where nothing else changes, so that no other host is woken. */
async function renew(
  writer: EtcdWriter,
  { entry, lease }: EtcdCandidate,
  request: LeaseRequest,
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const parts = lease.parts.map(({ subnet }, at): LeasePart => ({
    ...askedPart(claimant.families[at]!, request)!,
    subnet,
  }));
  const { backendType, origin } = request;
  const said = { host: lease.host, backendType, parts, ...saidBy(origin) };
  const before = claimant.said?.since === entry.createRevision ? claimant.said : lease;
  const isSame = formatLeaseValue(said, writtenAges(entry.value)) === entry.value && isSameAge(before, lease);
  // Each writing makes the key younger: what is as old as it was has to be said.
  const kept = keptAges(before, parts);
  const value = formatLeaseValue(said, formatAges(kept));
  const renewed = (revision: number): Lease => ({
    ...said,
    ...{ dataSince: revision, addressSince: revision, ...kept, since: entry.createRevision },
  });
  const isSpoilt = "reason" in readEntry(lease.host, entry);
  if (entry.lease === NO_LEASE && !isSpoilt) {
    // An operator's reservation, which stays one.
    if (isSame) return { lease: renewed(entry.modRevision), revision: undefined, token: undefined };
    const revision = await writer.putLasting(entry.key, value, [unchanged(entry)], options);
    return revision === undefined ? undefined : { lease: renewed(revision), revision, token: undefined };
  }
  const { lease: token } = entry;
  // Where it is this host's own, what is new is written under the etcd lease that is there.
  const expiresAtMs = isSame || claimant.tokens.has(token)
    ? await writer.keepAlive(token, options)
    : undefined;
  if (expiresAtMs !== undefined) {
    claimant.tokens.add(token);
    if (isSame) {
      return { lease: { ...renewed(entry.modRevision), expiresAtMs }, revision: undefined, token };
    }
    const revision = await writer.putUnder(token, entry.key, value, [unchanged(entry)], options);
    return revision === undefined
      ? undefined
      : { lease: { ...renewed(revision), expiresAtMs }, revision, token };
  }
  const written = await writer.putLiving(entry.key, value, [unchanged(entry)], options);
  return written &&
    { ...written, lease: { ...renewed(written.revision), expiresAtMs: written.expiresAtMs } };
}

/** Takes free subnets. */
async function create(
  writer: EtcdWriter,
  seen: Seen & {
    readonly stale: readonly EtcdCandidate[];
    readonly asked: readonly Omit<LeasePart, "subnet">[];
  },
  request: LeaseRequest,
  claimant: EtcdClaimant,
  options: { readonly signal: AbortSignal },
): Promise<Taken | undefined> {
  const others = seen.entries.filter((entry) => !seen.stale.some((held) => held.entry === entry));
  // Where the part of one family does not suit, the subnet of the other is kept.
  const held = seen.stale.flatMap(({ lease }) => lease.parts).map(({ subnet }) => subnet);
  const parts = claimant.families.map((family, at): LeasePart => {
    const subnet = chooseSubnet(family, {
      taken: takenSubnets(others, family, claimant),
      previous: [...held.filter((subnet) => isAllowed(family, subnet)), ...claimant.previousSubnets],
      random: claimant.random(),
      log: claimant.log,
    });
    if (subnet === undefined) throw exhausted(family, claimant.folder);
    return { ...seen.asked[at]!, subnet };
  });
  const host = formatSubnetKey(parts.map(({ subnet }) => subnet));
  const key = claimant.folder + host;
  // Two keys can differ and still share one subnet, so no such key may have been made since: that of an IPv4 subnet
  // begins with the subnet, that of an IPv6 one may be anywhere.
  const isIpv4Alone = parts.every(({ subnet }) => familyOf(subnet.address) === AF_INET);
  const isAlone = isIpv4Alone
    ? noneSince(seen.revision, key, key + AFTER_IPV6_PART)
    : noneSince(seen.revision, claimant.folder, rangeEnd(claimant.folder));
  const lease = { host, backendType: request.backendType, parts, ...saidBy(request.origin) };
  const written = await writer.putLiving(key, formatLeaseValue(lease), [absent(key), isAlone], options);
  if (written === undefined) return undefined;
  const { revision, expiresAtMs } = written;
  return {
    ...written,
    lease: { ...lease, expiresAtMs, since: revision, dataSince: revision, addressSince: revision },
  };
}

/** What is held in one family, in the order of addresses. A key counts even if its value can't be read. */
function takenSubnets(
  entries: readonly EtcdEntry[],
  { network }: FamilySubnets,
  { folder }: EtcdClaimant,
): Prefix[] {
  return entries.flatMap(({ key }) => parseSubnetKey(key.slice(folder.length)) ?? [])
    .filter(({ address, length }) => length >= network.length && prefixContains(network, address))
    .map(({ address, length }) => ({ address: maskAddress(address, length), length }))
    .sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : 0);
}
