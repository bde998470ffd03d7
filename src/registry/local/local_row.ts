import type { SQLOutputValue } from "node:sqlite";
import {
  type Address,
  AF_INET,
  bitsOf,
  type Family,
  familyOf,
  formatPrefix,
  maskAddress,
  type Prefix,
} from "../../model/address.ts";
import type { Lease, LeasePart } from "../../model/lease.ts";
import type { ClaimAges } from "../claim_age.ts";
import { originSchema } from "../origin_text.ts";

/** A larger value is not backend data; flannel's is under 100 bytes. */
export const MAX_BACKEND_DATA_BYTES = 4096;
const MAX_HOST_BYTES = 255;
export const MAX_ORIGIN_BYTES = 512;
const MAX_BACKEND_TYPE_BYTES = 64;

/** Who holds the lease, as `formatOrigin()` has it; empty where that is not said. Not there in files of early builds. */
export const ORIGIN_COLUMN = "origin TEXT NOT NULL DEFAULT ''";
/** When the lease was made, in milliseconds since 1970, and later than all before it; likewise. */
export const SINCE_COLUMN = "since INTEGER NOT NULL DEFAULT 0";
/** When its host began to publish its backend data, and to be at its underlay address, likewise. */
export const DATA_SINCE_COLUMN = "data_since INTEGER NOT NULL DEFAULT 0";
export const ADDRESS_SINCE_COLUMN = "address_since INTEGER NOT NULL DEFAULT 0";

/**
 * One row a host and family. An IPv4 address is an integer, an IPv6 address 32 hexadecimal digits: both sort as
 * addresses do. All rows of a host are written together and have the same `revision`.
 */
export const LEASE_TABLE = `
CREATE TABLE lease (
  host TEXT NOT NULL,
  family INTEGER NOT NULL,
  subnet ANY NOT NULL,
  length INTEGER NOT NULL,
  underlay_address ANY NOT NULL,
  backend_type TEXT NOT NULL,
  backend_data TEXT NOT NULL,
  expires_at_ms INTEGER,
  revision INTEGER NOT NULL,
  ${ORIGIN_COLUMN},
  ${SINCE_COLUMN},
  ${DATA_SINCE_COLUMN},
  ${ADDRESS_SINCE_COLUMN},
  PRIMARY KEY (host, family)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX lease_subnet ON lease (family, subnet);
CREATE INDEX lease_revision ON lease (revision);
CREATE INDEX lease_expiry ON lease (expires_at_ms);
`;

/** What `readRow()` takes, in its order. */
export const LEASE_COLUMNS =
  "host, family, subnet, length, underlay_address, backend_type, backend_data, expires_at_ms, origin, " +
  "since, data_since, address_since";

/** What is wrong with a row, looked at inside SQLite: what is too large never becomes a JavaScript value. */
export const ROW_FAULT = `CASE
  WHEN (octet_length(host) BETWEEN 1 AND ${MAX_HOST_BYTES}) IS NOT TRUE THEN 'its name is too long'
  WHEN (family IN (2, 10)) IS NOT TRUE THEN 'its address family is unknown'
  WHEN (subnet BETWEEN 0 AND 0xffffffff OR octet_length(subnet) = 32) IS NOT TRUE
    THEN 'its subnet is not an address'
  WHEN (length BETWEEN 0 AND 128) IS NOT TRUE THEN 'its prefix length is out of range'
  WHEN (underlay_address BETWEEN 0 AND 0xffffffff OR octet_length(underlay_address) = 32) IS NOT TRUE
    THEN 'its underlay address is not an address'
  WHEN (octet_length(backend_type) <= ${MAX_BACKEND_TYPE_BYTES}) IS NOT TRUE
    THEN 'its backend type is longer than ${MAX_BACKEND_TYPE_BYTES} bytes'
  WHEN (octet_length(backend_data) <= ${MAX_BACKEND_DATA_BYTES}) IS NOT TRUE
    THEN 'its backend data is longer than ${MAX_BACKEND_DATA_BYTES} bytes'
  WHEN (octet_length(origin) <= ${MAX_ORIGIN_BYTES}) IS NOT TRUE
    THEN 'its origin is longer than ${MAX_ORIGIN_BYTES} bytes'
  WHEN (expires_at_ms IS NULL OR expires_at_ms BETWEEN 0 AND ${Number.MAX_SAFE_INTEGER}) IS NOT TRUE
    THEN 'its end time is out of range'
END`;

/** One row, decoded; a row that says what it must not is a `reason`. */
type Row = { readonly reason: string } | {
  readonly part: LeasePart;
  readonly backendType: string;
  readonly expiresAtMs: number | undefined;
  readonly who: Pick<Lease, "origin"> & ClaimAges;
};

const HEXADECIMAL = /^[0-9a-f]{32}$/;

/** The column's value of an address. */
export function encodeAddress(address: Address): number | string {
  return typeof address === "number" ? address : address.toString(16).padStart(32, "0");
}

function decodeAddress(value: SQLOutputValue | undefined, family: Family): Address | undefined {
  if (family === AF_INET) {
    const isAddress = typeof value === "number" && value >>> 0 === value;
    return isAddress ? value as Address : undefined;
  }
  return typeof value === "string" && HEXADECIMAL.test(value) ? BigInt(`0x${value}`) as Address : undefined;
}

/** Decodes the subnet in the columns `family`, `subnet` and `length`. */
export function decodeSubnet(
  family: SQLOutputValue | undefined,
  subnet: SQLOutputValue | undefined,
  length: SQLOutputValue | undefined,
): Prefix | undefined {
  if (family !== 2 && family !== 10) return undefined;
  const address = decodeAddress(subnet, family);
  if (address === undefined || typeof length !== "number" || !Number.isInteger(length)) return undefined;
  return length >= 0 && length <= bitsOf(family) ? { address, length } : undefined;
}

/** Checks and decodes the values of `LEASE_COLUMNS`. What other programs wrote may be hostile. */
function readRow(row: readonly SQLOutputValue[]): Row {
  const [, family, address, length, underlay, backendType, backendData, expiresAtMs, origin, ...ages] = row;
  const subnet = decodeSubnet(family, address, length);
  if (subnet === undefined) return { reason: "its subnet is not a prefix" };
  if (maskAddress(subnet.address, subnet.length) !== subnet.address) {
    return { reason: `its subnet ${formatPrefix(subnet)} has host bits` };
  }
  const underlayAddress = decodeAddress(underlay, familyOf(subnet.address));
  if (underlayAddress === undefined) return { reason: "its underlay address is not an address" };
  if (typeof backendType !== "string") return { reason: "its backend type is not text" };
  if (expiresAtMs !== null && !Number.isInteger(expiresAtMs)) {
    return { reason: "its end time is not a number" };
  }
  if (typeof backendData !== "string") return { reason: "its backend data is not text" };
  let data: unknown;
  try {
    data = JSON.parse(backendData);
  } catch {
    return { reason: "its backend data is not JSON" };
  }
  return {
    part: { subnet, underlayAddress, backendData: data },
    backendType,
    expiresAtMs: expiresAtMs as number | null ?? undefined,
    who: whoHolds(origin, ages),
  };
}

/** Who holds a lease and since when; what can't be read is not told. */
function whoHolds(
  text: SQLOutputValue | undefined,
  ages: readonly SQLOutputValue[],
): Pick<Lease, "origin"> & ClaimAges {
  let origin: Lease["origin"];
  try {
    origin = typeof text === "string" && text !== "" ? originSchema.parse(JSON.parse(text)) : undefined;
  } catch {
    // Another program has written it.
  }
  const [since, dataSince = since, addressSince = since] = ages.map((age) =>
    typeof age === "number" && age > 0 ? age : undefined
  );
  return {
    ...origin !== undefined && { origin },
    ...since !== undefined && { since },
    // Early releases know one age only.
    ...dataSince !== undefined && { dataSince },
    ...addressSince !== undefined && { addressSince },
  };
}

/**
 * Decodes rows that are sorted by host and family into leases. A host with a row that does not decode is left
 * out, and `refuse` hears its name and why.
 */
export function readLeases(
  rows: readonly (readonly SQLOutputValue[])[],
  refuse: (host: string, reason: string) => void,
): Lease[] {
  const leases: Lease[] = [];
  for (let at = 0; at < rows.length;) {
    const host = rows[at]![0];
    const parts: LeasePart[] = [];
    let first: Row | undefined;
    let reason = typeof host === "string" ? undefined : "its name is not text";
    for (; at < rows.length && rows[at]![0] === host; at++) {
      const row = readRow(rows[at]!);
      first ??= row;
      if ("reason" in row) reason ??= row.reason;
      else parts.push(row.part);
    }
    if (reason !== undefined || first === undefined || "reason" in first) refuse(String(host), reason ?? "");
    else {
      const { backendType, expiresAtMs, who } = first;
      const lease = { host: host as string, backendType, parts, ...who };
      leases.push(expiresAtMs === undefined ? lease : { ...lease, expiresAtMs });
    }
  }
  return leases;
}
