import type { SQLInputValue } from "node:sqlite";
import type { LocalFile } from "./local_file.ts";
import { isBusy } from "../registry_error.ts";

/** Names of released hosts that are kept for readers that were away. */
const MAX_RELEASED = 1024;

/** Counts a change. Rows that are written in the same transaction carry the number. */
export function nextRevision(file: LocalFile): number {
  const action = `count a change in ${file.path}`;
  return Number(file.rows(action, "UPDATE state SET revision = revision + 1 RETURNING revision")[0]?.[0]);
}

/** Releases the leases that match `condition` and returns their hosts. A host that is gone says so once. */
export function releaseLeases(file: LocalFile, condition: string, ...values: SQLInputValue[]): string[] {
  return file.transaction("IMMEDIATE", `release leases in ${file.path}`, () => {
    return releaseInTransaction(file, condition, ...values);
  });
}

/** As `releaseLeases()`, within a transaction that is under way. */
export function releaseInTransaction(
  file: LocalFile,
  condition: string,
  ...values: SQLInputValue[]
): string[] {
  const action = `release leases in ${file.path}`;
  const deleted = file.rows(action, `DELETE FROM lease WHERE ${condition} RETURNING host`, ...values);
  const hosts = [...new Set(deleted.map(([host]) => String(host)))];
  if (hosts.length === 0) return hosts;
  const revision = nextRevision(file);
  for (const host of hosts) {
    file.rows(action, "INSERT OR REPLACE INTO released (host, revision) VALUES (?, ?)", host, revision);
  }
  const forgotten = file.rows(
    action,
    `DELETE FROM released WHERE revision <=
      (SELECT revision FROM released ORDER BY revision DESC LIMIT 1 OFFSET ${MAX_RELEASED})
    RETURNING revision`,
  );
  if (forgotten.length > 0) {
    const oldest = Math.max(...forgotten.map(([revision]) => Number(revision)));
    file.rows(action, "UPDATE state SET oldest_revision = ?", oldest);
  }
  return hosts;
}

/** Moves the end of a lease on. No watch hears of it; a host that asks for the age of the lease does. */
export function renewQuietly(file: LocalFile, host: string, expiresAtMs: number): void {
  const action = `renew the own lease in ${file.path}`;
  const sql = "UPDATE lease SET expires_at_ms = ? WHERE host = ? AND expires_at_ms NOT NULL";
  try {
    file.transaction("IMMEDIATE", action, () => file.rows(action, sql, expiresAtMs, host));
  } catch (error) {
    // The next time comes soon enough.
    if (!isBusy(error)) throw error;
  }
}
