/** A registry can't be opened, read or written. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";

  /**
   * @param action What was asked, as a verb phrase: `open the lease registry /run/flannel/registry.db`.
   * @param reason The state that stands in the way, and what to do about it.
   * @param sqliteCode SQLite's result code, where it is the one that refused.
   */
  constructor(readonly action: string, readonly reason: string, readonly sqliteCode?: number) {
    super(`Cannot ${action}: ${reason}`);
  }
}

/** Another host that is alive holds what this one asks for: it is not asked for again before long. */
export class ContestedError extends RegistryError {}

const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/** Reports whether another process held the registry for too long: the same request can succeed now. */
export function isBusy(error: unknown): boolean {
  if (!(error instanceof RegistryError) || error.sqliteCode === undefined) return false;
  const primary = error.sqliteCode & 0xff;
  return primary === SQLITE_BUSY || primary === SQLITE_LOCKED;
}
