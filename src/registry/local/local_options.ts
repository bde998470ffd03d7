import type { Log } from "../../log/log.ts";
import type { Prefix } from "../../model/address.ts";
import type { FamilySubnets } from "../choose_subnet.ts";

/** What the registry needs of the world. */
export interface LocalRegistryDeps {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Milliseconds of a monotonic clock. */
  readonly elapsedMs: () => number;
  /** 64 random bits. */
  readonly random: () => bigint;
  readonly log: Log;
  /** How often it is tried to open the file while another process holds it; some seconds long if absent. */
  readonly openAttempts?: number | undefined;
  /**
   * Calls `changed` when a file whose path begins with `path` changes; absent or `undefined` where that can't be
   * heard of. It must not open the files: closing one would drop SQLite's locks on it.
   */
  readonly watchFiles?: (path: string, changed: () => void) => Disposable | undefined;
}

/** Whose registry it is, and which subnets it gives. */
export interface LocalRegistryOptions {
  /** What this host is called if it has no lease yet. */
  readonly host: string;
  /** What the registry gave to the process before this one on this very host; absent where it is not known. */
  readonly token?: string | undefined;
  /** One for each family in use, IPv4 first. */
  readonly families: readonly FamilySubnets[];
  /** What the subnet file says that this host held; taken again where no other host holds it. */
  readonly previousSubnets?: readonly Prefix[];
  /** How long a lease is held without being renewed; a day unless told. */
  readonly ttlMs?: number;
  /** How often the own lease tells that this host lives; every 10 s unless told. */
  readonly beatMs?: number;
  /** How often changes by other processes are looked for, besides being heard of. */
  readonly pollMs?: number;
}
