import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { nextRevision, releaseInTransaction } from "../../src/registry/local/local_changes.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import { encodeAddress } from "../../src/registry/local/local_row.ts";
import { isBusy } from "../../src/registry/registry_error.ts";
import type { Address, Prefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { registryName, until } from "./overlay_rig.ts";

/** SQLite's files beside a registry. */
const LOG_FILES = ["-wal", "-shm"];
const AT_FDCWD = -100;
const RENAME_EXCHANGE = 2;

/** What a row of the registry is changed to; no check stands in the way. */
export interface RowChange {
  readonly backendData?: string;
  readonly subnet?: Prefix;
  readonly underlayAddress?: Address;
}

/** Runs `change` in one transaction on the lab's registry, as an agent would, and again while it is busy. */
async function edit<T>(lab: Lab, change: (file: LocalFile) => T): Promise<T> {
  using file = new LocalFile(lab.registryPath);
  const done = await until("write the registry", () => {
    try {
      return { result: file.transaction("IMMEDIATE", "edit the registry", () => change(file)) };
    } catch (error) {
      if (!isBusy(error)) throw error;
    }
  });
  return done.result;
}

/** Reads the lab's registry, in one transaction. */
export async function readRegistry<T>(lab: Lab, read: (file: LocalFile) => T): Promise<T> {
  return await edit(lab, read);
}

/** Writes leases as their hosts would. */
export async function seedLeases(lab: Lab, leases: readonly Lease[]): Promise<void> {
  await edit(lab, (file) => {
    for (const lease of leases) writeLease(file, lease, `write the lease of ${lease.host}`);
  });
}

/** Ends the lease of a host. */
export async function releaseLease(lab: Lab, host: LabHost): Promise<void> {
  await releaseLeaseOf(lab, registryName(host));
}

/** Ends the lease that is in the registry under a name. */
export async function releaseLeaseOf(lab: Lab, name: string): Promise<void> {
  await edit(lab, (file) => releaseInTransaction(file, "host = ?", name));
}

/** The hosts that hold a lease, sorted. */
export async function holders(lab: Lab): Promise<string[]> {
  return await edit(lab, (file) => {
    return file.rows("read hosts", "SELECT DISTINCT host FROM lease ORDER BY host").map(([host]) =>
      String(host)
    );
  });
}

/** Rewrites the rows of a host's lease. */
export async function forgeLease(lab: Lab, host: LabHost, change: RowChange): Promise<void> {
  const values: Record<string, string | number> = {};
  if (change.backendData !== undefined) values["backend_data"] = change.backendData;
  if (change.underlayAddress !== undefined) {
    values["underlay_address"] = encodeAddress(change.underlayAddress);
  }
  if (change.subnet !== undefined) {
    values["subnet"] = encodeAddress(change.subnet.address);
    values["length"] = change.subnet.length;
  }
  const assignments = Object.keys(values).map((column) => `${column} = ?, `).join("");
  await edit(lab, (file) => {
    const sql = `UPDATE lease SET ${assignments} revision = ? WHERE host = ?`;
    file.rows("forge a lease", sql, ...Object.values(values), nextRevision(file), registryName(host));
  });
}

/** Takes the registry away, as if it had been deleted. */
export function takeRegistryAway(lab: Lab): void {
  for (const suffix of ["", ...LOG_FILES]) moveIfThere(`${lab.registryPath}${suffix}`, awayPath(lab, suffix));
}

/** Puts a folder in the place of the registry, at once: an agent that looks in between would make a new one. */
export function blockRegistry(lab: Lab): void {
  Deno.mkdirSync(awayPath(lab, ""));
  exchange(lab.registryPath, awayPath(lab, ""));
  for (const suffix of LOG_FILES) moveIfThere(`${lab.registryPath}${suffix}`, awayPath(lab, suffix));
}

/** Brings the registry back, its log before it. */
export function unblockRegistry(lab: Lab): void {
  for (const suffix of LOG_FILES) moveIfThere(awayPath(lab, suffix), `${lab.registryPath}${suffix}`);
  exchange(lab.registryPath, awayPath(lab, ""));
  Deno.removeSync(awayPath(lab, ""));
}

/** Lets two paths change places, at once: renameat2(2). */
function exchange(one: string, other: string): void {
  const libc = Deno.dlopen("libc.so.6", {
    renameat2: { parameters: ["i32", "buffer", "i32", "buffer", "u32"], result: "i32" },
  });
  const [from, to] = [one, other].map((path) => new TextEncoder().encode(`${path}\0`));
  const result = libc.symbols.renameat2(AT_FDCWD, from!, AT_FDCWD, to!, RENAME_EXCHANGE);
  libc.close();
  if (result !== 0) throw new Error(`Cannot exchange ${one} and ${other}`);
}

function awayPath(lab: Lab, suffix: string): string {
  return `${lab.registryPath}.away${suffix}`;
}

function moveIfThere(from: string, to: string): void {
  try {
    Deno.renameSync(from, to);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
