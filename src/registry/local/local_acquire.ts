import type { Log } from "../../log/log.ts";
import { type Family, familyOf, formatPrefix, type Prefix } from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { nextRevision, releaseInTransaction } from "./local_changes.ts";
import type { LocalFile } from "./local_file.ts";
import {
  decodeSubnet,
  encodeAddress,
  LEASE_COLUMNS,
  MAX_BACKEND_DATA_BYTES,
  MAX_ORIGIN_BYTES,
  readLeases,
  ROW_FAULT,
} from "./local_row.ts";
import { keptAges } from "../claim_age.ts";
import { formatOrigin, isSameOrigin, saidBy } from "../origin_text.ts";
import { type Candidate, type Claim, ownClaims } from "../own_lease.ts";
import { chooseSubnet, exhausted, type FamilySubnets, isAllowed, limits } from "../choose_subnet.ts";
import type { LeaseRequest } from "../registry.ts";
import { RegistryError } from "../registry_error.ts";

/** Who looks for its lease, and what it may take. */
export interface LocalClaimant {
  /** What a host that has no lease yet is called, if no other is called so. */
  readonly name: string;
  readonly families: readonly FamilySubnets[];
  readonly previousSubnets: readonly Prefix[];
  /** What the registry gave to this process, or to the one before it: `tokenOf()`. */
  readonly tokens: ReadonlySet<string>;
  /** The one that the process before this one had, as a file has it. */
  readonly rememberedToken: string | undefined;
  readonly nowMs: number;
  readonly ttlMs: number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
}

/** A lease as it stands in the file. */
export interface LocalCandidate extends Candidate {
  /** Seconds since the last sign of life of its holder; `undefined` for a reservation, which does not end. */
  readonly ageSeconds: number | undefined;
}

/** What only the holder of a lease knows: no other lease of the file ever had the number. */
export function tokenOf({ since }: Lease): string | undefined {
  return since === undefined ? undefined : String(since);
}

/** The lease of `host` as it stands in the file; `undefined` if there is none, or it can't be read. */
export function readOwn(file: LocalFile, host: string): Lease | undefined {
  return readWhere(file, "host = ?", host)[0];
}

/** All leases that can be read. */
export function readAll(file: LocalFile): Lease[] {
  return readWhere(file, "TRUE");
}

/**
 * The hosts that anything says may be the claimant's; whether it is so, `ownClaims()` judges. What is looked for in an origin
 * stands there as it is, unless a backslash says that it was written in another way.
 */
const MAY_BE_OWN = `host IN (SELECT host FROM lease WHERE host = ?
  OR CAST(since AS TEXT) IN (SELECT value FROM json_each(?))
  OR subnet IN (SELECT value FROM json_each(?))
  OR octet_length(origin) <= ${MAX_ORIGIN_BYTES}
    AND (instr(origin, ?) > 0 OR instr(origin, ?) > 0 OR instr(origin, char(92)) > 0))`;

function readWhere(file: LocalFile, condition: string, ...values: (string | null)[]): Lease[] {
  const sql =
    `SELECT ${LEASE_COLUMNS} FROM lease WHERE ${condition} AND ${ROW_FAULT} IS NULL ORDER BY host, family`;
  return readLeases(file.rows(`read leases in ${file.path}`, sql, ...values), () => {});
}

/**
 * The leases that are the claimant's, or may be, the best proof first. Only what may be its own is decoded: this is asked
 * before the first pass.
 */
export function findClaims(
  file: LocalFile,
  request: LeaseRequest,
  claimant: LocalClaimant,
): Claim<LocalCandidate>[] {
  const { tokens, rememberedToken, previousSubnets, name, nowMs, ttlMs } = claimant;
  const { origin, parts } = request;
  const leases = readWhere(
    file,
    MAY_BE_OWN,
    name,
    JSON.stringify([...tokens, ...rememberedToken === undefined ? [] : [rememberedToken]]),
    JSON.stringify(previousSubnets.map(({ address }) => encodeAddress(address))),
    origin.machine ?? null,
    origin.mac ?? null,
  );
  const held = leases.map((lease): LocalCandidate => {
    const { expiresAtMs } = lease;
    const token = tokenOf(lease);
    const ageSeconds = expiresAtMs === undefined
      ? undefined
      : Math.max(nowMs + ttlMs - expiresAtMs, 0) / 1000;
    return { lease, ageSeconds, ...token !== undefined && { token } };
  });
  return ownClaims(held, { origin, parts, tokens, rememberedToken, previousSubnets, name });
}

/** What was found to be a host's. */
export interface OwnLease {
  readonly own: Lease | undefined;
  /** Whether it was never in doubt. */
  readonly isCertain: boolean;
}

/**
 * Takes or renews the lease of `claimant`, in one transaction. Rows of other hosts are only read.
 *
 * @param found What was found to be the claimant's. What was in doubt gets another token, so that its former holder learns
 * that it is no longer theirs.
 * @returns `undefined` if that has changed since.
 * @throws {RegistryError} If no subnet is free, or the request does not suit the configuration.
 */
export function takeLease(
  file: LocalFile,
  request: LeaseRequest,
  claimant: LocalClaimant,
  { own, isCertain }: OwnLease,
): Lease | undefined {
  const action = `take a lease in ${file.path}`;
  return file.transaction("IMMEDIATE", action, () => {
    if (own !== undefined && !isUnchanged(file, own)) return undefined;
    const host = own?.host ?? freeName(file, claimant.name);
    // A family that can't leave the host is not asked for, and the other is had without it.
    const parts = claimant.families.flatMap((family): LeasePart[] => {
      const asked = request.parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family.family);
      if (asked === undefined) return [];
      return [{
        ...asked,
        subnet: keptSubnet(family, own, claimant) ?? freeSubnet(file, family, { ...claimant, host }),
      }];
    });
    if (parts.length === 0) {
      throw new RegistryError(action, "no underlay address of a family in use was given");
    }
    // A lease without an end is a reservation that an operator made by hand, and stays one.
    const isReserved = own !== undefined && own.expiresAtMs === undefined;
    const { backendType, origin } = request;
    const now = newSince(file, claimant.nowMs);
    const ages = {
      ...{ since: now, dataSince: now, addressSince: now },
      ...keptAges(isCertain ? own : undefined, parts),
    };
    const lease = { host, backendType, parts, ...saidBy(origin), ...ages };
    return writeLease(
      file,
      isReserved ? lease : { ...lease, expiresAtMs: claimant.nowMs + claimant.ttlMs },
      action,
    );
  });
}

/** Whether a lease is still held by those who held it when it was read. */
function isUnchanged(file: LocalFile, lease: Lease): boolean {
  const now = readOwn(file, lease.host);
  return now !== undefined && tokenOf(now) === tokenOf(lease) && isSameOrigin(now.origin, lease.origin);
}

/** Releases a lease that is still held by those who held it when it was read; whether it was. */
export function releaseLease(file: LocalFile, lease: Lease): boolean {
  return file.transaction("IMMEDIATE", `release a lease in ${file.path}`, () => {
    if (!isUnchanged(file, lease)) return false;
    releaseInTransaction(file, "host = ?", lease.host);
    return true;
  });
}

/** A number that no other lease has, larger than those of all leases that are there; of another file neither. */
function newSince(file: LocalFile, nowMs: number): number {
  const sql = "SELECT max(?, coalesce(max(max(since, data_since, address_since)), 0) + 1) FROM lease";
  return Number(file.rows(`count leases in ${file.path}`, sql, nowMs)[0]?.[0]);
}

/** `name`, or that with a number behind it where another host is called so: one that has moved keeps its name. */
function freeName(file: LocalFile, name: string): string {
  for (let count = 1;; count++) {
    const candidate = count === 1 ? name : `${name}-${count}`;
    const sql = "SELECT 1 FROM lease WHERE host = ?";
    if (file.rows(`read leases in ${file.path}`, sql, candidate).length === 0) return candidate;
  }
}

/** Writes all rows of a lease in place of those that its host has, and returns it. Belongs into a transaction. */
export function writeLease(file: LocalFile, lease: Lease, action: string): Lease {
  const revision = nextRevision(file);
  const { since = newSince(file, 0), dataSince = since, addressSince = since } = lease;
  const said = formatOrigin(lease.origin);
  file.rows(action, "DELETE FROM lease WHERE host = ?", lease.host);
  file.rows(action, "DELETE FROM released WHERE host = ?", lease.host);
  for (const { subnet, underlayAddress, backendData } of lease.parts) {
    const data = JSON.stringify(backendData) ?? "null";
    const bytes = new TextEncoder().encode(data).length;
    if (bytes > MAX_BACKEND_DATA_BYTES) {
      const limit = `others read at most ${MAX_BACKEND_DATA_BYTES}`;
      throw new RegistryError(action, `the backend data has ${bytes} bytes, and ${limit}`);
    }
    file.rows(
      action,
      `INSERT INTO lease (${LEASE_COLUMNS}, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      lease.host,
      familyOf(subnet.address),
      encodeAddress(subnet.address),
      subnet.length,
      encodeAddress(underlayAddress),
      lease.backendType,
      data,
      lease.expiresAtMs ?? null,
      said === undefined ? "" : JSON.stringify(said),
      since,
      dataSince,
      addressSince,
      revision,
    );
  }
  return { ...lease, since, dataSince, addressSince };
}

/** The subnet of `family` that the host holds already, if the configuration still allows it. */
function keptSubnet(
  family: FamilySubnets,
  own: Lease | undefined,
  claimant: LocalClaimant,
): Prefix | undefined {
  const held = own?.parts.find(({ subnet }) => familyOf(subnet.address) === family.family)?.subnet;
  if (held === undefined || isAllowed(family, held)) return held;
  claimant.log.write("warn", "own subnet not kept", { subnet: formatPrefix(held), reason: limits(family) });
  return undefined;
}

/** The subnet that the host had before if it is free, else one at random. */
function freeSubnet(
  file: LocalFile,
  family: FamilySubnets,
  claimant: LocalClaimant & { readonly host: string },
): Prefix {
  const { random, nowMs, log, previousSubnets: previous } = claimant;
  const choose = () => {
    const taken = takenSubnets(file, family.family, claimant.host);
    return chooseSubnet(family, { taken, previous, random: random(), log });
  };
  const free = choose();
  if (free !== undefined) return free;
  // What has ended counts as held until it is needed: its host may have been asleep.
  releaseInTransaction(file, "expires_at_ms <= ?", nowMs);
  const freed = choose();
  if (freed !== undefined) return freed;
  throw exhausted(family, file.path);
}

/** What other hosts hold, in the order of addresses. */
function takenSubnets(file: LocalFile, family: Family, host: string): Prefix[] {
  const sql = `SELECT family, subnet, length FROM lease
    WHERE family = ? AND host <> ? AND ${ROW_FAULT} IS NULL ORDER BY subnet`;
  return file.rows(`read leases in ${file.path}`, sql, family, host)
    .flatMap(([family, subnet, length]) => decodeSubnet(family, subnet, length) ?? []);
}
