import type { Log } from "../log/log.ts";
import { type Family, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import { nextRevision, releaseInTransaction } from "./local_changes.ts";
import type { LocalFile } from "./local_file.ts";
import { decodeSubnet, encodeAddress, LEASE_COLUMNS, MAX_BACKEND_DATA_BYTES } from "./local_row.ts";
import { readLeases, ROW_FAULT } from "./local_row.ts";
import { chooseSubnet, exhausted, type FamilySubnets, isAllowed, limits } from "./choose_subnet.ts";
import type { LeaseRequest } from "./registry.ts";
import { RegistryError } from "./registry_error.ts";

/** Who takes a lease, and of what. */
export interface Taker {
  readonly host: string;
  readonly families: readonly FamilySubnets[];
  readonly previousSubnets: readonly Prefix[];
  readonly nowMs: number;
  readonly ttlMs: number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
}

/** The lease of `host` as it stands in the file; `undefined` if there is none, or it can't be read. */
export function readOwn(file: LocalFile, host: string): Lease | undefined {
  const sql = `SELECT ${LEASE_COLUMNS} FROM lease WHERE host = ? AND ${ROW_FAULT} IS NULL ORDER BY family`;
  return readLeases(file.rows(`read the own lease in ${file.path}`, sql, host), () => {})[0];
}

/**
 * Takes or renews the lease of `taker`, in one transaction. Rows of other hosts are only read.
 *
 * @throws {RegistryError} If no subnet is free, or the request does not suit the configuration.
 */
export function takeLease(file: LocalFile, request: LeaseRequest, taker: Taker): Lease {
  const action = `take a lease in ${file.path}`;
  return file.transaction("IMMEDIATE", action, () => {
    const own = readOwn(file, taker.host);
    // A family that can't leave the host is not asked for, and the other is had without it.
    const parts = taker.families.flatMap((family): LeasePart[] => {
      const asked = request.parts.find(({ underlayAddress }) => familyOf(underlayAddress) === family.family);
      if (asked === undefined) return [];
      return [{ ...asked, subnet: keptSubnet(family, own, taker) ?? freeSubnet(file, family, taker) }];
    });
    if (parts.length === 0) {
      throw new RegistryError(action, "no underlay address of a family in use was given");
    }
    // A lease without an end is a reservation that somebody made by hand, and stays one.
    const isReserved = own !== undefined && own.expiresAtMs === undefined;
    const lease = { host: taker.host, backendType: request.backendType, parts };
    const ending = isReserved ? lease : { ...lease, expiresAtMs: taker.nowMs + taker.ttlMs };
    writeLease(file, ending, action);
    return ending;
  });
}

/** Writes all rows of a lease in place of those that its host has. Belongs into a transaction. */
export function writeLease(file: LocalFile, lease: Lease, action: string): void {
  const revision = nextRevision(file);
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
      `INSERT INTO lease (${LEASE_COLUMNS}, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      lease.host,
      familyOf(subnet.address),
      encodeAddress(subnet.address),
      subnet.length,
      encodeAddress(underlayAddress),
      lease.backendType,
      data,
      lease.expiresAtMs ?? null,
      revision,
    );
  }
}

/** The subnet of `family` that the host holds already, if the configuration still allows it. */
function keptSubnet(family: FamilySubnets, own: Lease | undefined, taker: Taker): Prefix | undefined {
  const held = own?.parts.find(({ subnet }) => familyOf(subnet.address) === family.family)?.subnet;
  if (held === undefined || isAllowed(family, held)) return held;
  taker.log.write("warn", "own subnet not kept", { subnet: formatPrefix(held), reason: limits(family) });
  return undefined;
}

/** The subnet that the host had before if it is free, else one at random. */
function freeSubnet(file: LocalFile, family: FamilySubnets, taker: Taker): Prefix {
  const { random, nowMs, log, previousSubnets: previous } = taker;
  const choose = () => {
    const taken = takenSubnets(file, family.family, taker.host);
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
