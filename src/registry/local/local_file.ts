import { errorText } from "../../log/error_text.ts";
import { dirname } from "node:path";
import { makePrivate } from "../../file/exclusive_file.ts";
import { fileReason } from "../../file/file_reason.ts";
import { makeFolder } from "../../file/make_folder.ts";
import { isFile, removeIfThere, statIfThere } from "../../file/read_file.ts";
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from "node:sqlite";
import {
  ADDRESS_SINCE_COLUMN,
  DATA_SINCE_COLUMN,
  LEASE_TABLE,
  ORIGIN_COLUMN,
  SINCE_COLUMN,
} from "./local_row.ts";
import { isBusy, RegistryError } from "../registry_error.ts";

/** Pages that SQLite keeps in memory: a read of everything is rare, and this runs on every host. */
const CACHE_KIBIBYTES = 256;
/** `PRAGMA application_id` of a registry: "Lodn". */
const APPLICATION_ID = 0x4c6f646e;
/** `PRAGMA user_version`; another one is another program's, or a later release's. */
const SCHEMA_VERSION = 1;
/** A statement waits this long for another process; it blocks the thread, so callers repeat instead. */
const BUSY_TIMEOUT_MS = 20;
/** While it opens the file, a process waits this often, and this long each time. */
const OPEN_ATTEMPTS = 200;
const OPEN_PAUSE_MS = 20;
/** The rights of who is neither the owner nor in the group, and a file without any for others. */
const OTHERS = 0o007;
const PRIVATE = 0o600;
/** A first guess at why a file can't be opened; SQLite doesn't say it. */
const CANTOPEN = 14;

/**
 * `released` keeps the names of hosts whose lease ended, so that readers hear of it; the oldest are forgotten,
 * and a reader that was away since before `oldest_revision` reads everything again.
 */
const SCHEMA = `
${LEASE_TABLE}
CREATE TABLE released (host TEXT PRIMARY KEY, revision INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX released_revision ON released (revision);
CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  revision INTEGER NOT NULL,
  oldest_revision INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (0, 0, 0);
PRAGMA application_id = ${APPLICATION_ID};
PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** What to do about SQLite's result codes that a person can do something about. */
const REASONS: ReadonlyMap<number, string> = new Map([
  [5, "another process has held it for too long; look for one that hangs"],
  [6, "another process has held it for too long; look for one that hangs"],
  [8, "it is read-only; make it writable, or name another file with -local-registry"],
  [10, "the disk reports errors; check the file system that it is on"],
  [11, "the file is damaged; move it away, and leases are taken anew"],
  [13, "the disk is full; make space"],
  [
    CANTOPEN,
    "it can't be opened; check that its folder is writable, or name another file with -local-registry",
  ],
  [26, "it is not a SQLite database; name another file with -local-registry, or move this one away"],
]);

/** An SQLite file that holds leases, open for reading and writing. Every failure is a `RegistryError`. */
export class LocalFile implements Disposable {
  readonly #db: DatabaseSync;
  readonly #identity: string;
  #writes = 0;
  readonly #statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();

  /**
   * Opens the file, or makes it. A file that is not a registry is left as it is.
   *
   * @param attempts How often it is tried while another process holds the file; each may block the thread for some 40 ms.
   * @throws {RegistryError} If the file is another program's, damaged, or can't be written.
   */
  constructor(readonly path: string, attempts = OPEN_ATTEMPTS) {
    const action = `open the lease registry ${path}`;
    this.#db = connect(path, action);
    using stack = new DisposableStack();
    stack.defer(() => this.#db.close());
    for (let attempt = 1;; attempt++) {
      try {
        this.#prepareFile(action);
        break;
      } catch (error) {
        if (!isBusy(error) || attempt >= attempts) throw error;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, OPEN_PAUSE_MS);
      }
    }
    keepToOwner(path);
    this.#identity = identityOf(path);
    stack.move();
  }

  /** Transactions of this process that could write; `PRAGMA data_version` shows those of the others. */
  get writes(): number {
    return this.#writes;
  }

  /** Reports whether the path leads elsewhere by now: the file was deleted or another one took its place. */
  isReplaced(): boolean {
    return identityOf(this.path) !== this.#identity;
  }

  /**
   * Opens what the path leads to now. Keep the replaced file reachable: closing it would delete the log of its
   * successor, which has the same name.
   *
   * @throws {RegistryError} As the constructor does.
   */
  successor(): LocalFile {
    const [main, shared] = this.#identity.split(" ");
    const inode = inodeOf(this.path);
    // Shared memory outlives a file that was deleted alone, and would mislead the next one; a folder in the place of a file
    // that may come back is no next one.
    const isNext = inode === null || isFile(this.path) && String(inode) !== main;
    if (isNext && shared === String(inodeOf(`${this.path}-shm`))) removeIfThere(`${this.path}-shm`);
    return new LocalFile(this.path);
  }

  /** Runs a statement and returns its rows, each an array of values. */
  rows(action: string, sql: string, ...values: SQLInputValue[]): SQLOutputValue[][] {
    return this.#translated(action, () => {
      let statement = this.#statements.get(sql);
      if (statement === undefined) {
        statement = this.#db.prepare(sql);
        (statement as unknown as { setReturnArrays(enabled: boolean): void }).setReturnArrays(true);
        this.#statements.set(sql, statement);
      }
      // `setReturnArrays()` is there, and a third of the time; Deno's types don't know it yet.
      return statement.all(...values) as unknown as SQLOutputValue[][];
    });
  }

  /** Runs `body` in one transaction: all of it is done, or nothing. */
  transaction<T>(kind: "DEFERRED" | "IMMEDIATE", action: string, body: () => T): T {
    this.rows(action, `BEGIN ${kind}`);
    if (kind === "IMMEDIATE") this.#writes++;
    try {
      const result = body();
      this.rows(action, "COMMIT");
      return result;
    } catch (error) {
      // SQLite has ended the transaction by itself after some errors.
      if (this.#db.isTransaction) this.rows(action, "ROLLBACK");
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#db.isOpen && !this.isReplaced()) this.#db.close();
  }

  /** Checks whose file it is, makes the tables of a new one, and proves that it can be written. */
  #prepareFile(action: string): void {
    const pragma = (name: string) => this.rows(action, `PRAGMA ${name}`)[0]?.[0];
    pragma(`busy_timeout = ${BUSY_TIMEOUT_MS}`);
    pragma("trusted_schema = OFF");
    pragma(`cache_size = -${CACHE_KIBIBYTES}`);
    const isNew = pragma("application_id") === 0 && pragma("user_version") === 0 &&
      this.rows(action, "SELECT 1 FROM sqlite_schema LIMIT 1").length === 0;
    if (!isNew) this.#refuseForeign(action, pragma("application_id"), pragma("user_version"));
    if (pragma("journal_mode") !== "wal") pragma("journal_mode = WAL");
    pragma("synchronous = NORMAL");
    this.transaction("IMMEDIATE", action, () => {
      if (isNew && pragma("user_version") === 0) this.#translated(action, () => this.#db.exec(SCHEMA));
      this.#addColumns(action);
      // Writes a page, so that a full disk or a read-only file system is found now.
      this.rows(action, "UPDATE state SET revision = revision");
    });
  }

  /** Adds what files of early releases lack, and what those releases don't look at. */
  #addColumns(action: string): void {
    const names = this.rows(action, "SELECT name FROM pragma_table_info('lease')").flat();
    for (const column of [ORIGIN_COLUMN, SINCE_COLUMN, DATA_SINCE_COLUMN, ADDRESS_SINCE_COLUMN]) {
      if (!names.includes(column.split(" ", 1)[0]!)) {
        this.rows(action, `ALTER TABLE lease ADD COLUMN ${column}`);
      }
    }
  }

  #refuseForeign(action: string, application: unknown, version: unknown): void {
    if (application !== APPLICATION_ID) {
      const advice = "name another file with -local-registry";
      throw new RegistryError(action, `it is the database of another program; ${advice}`);
    }
    if (version === SCHEMA_VERSION) return;
    const reason = `it has version ${version}, this release reads version ${SCHEMA_VERSION}`;
    throw new RegistryError(action, `${reason}; use the release that made it, or name another file`);
  }

  #translated<T>(action: string, body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw registryError(action, error);
    }
  }
}

/** Connects to the file, after making it and its folder. */
function connect(path: string, action: string): DatabaseSync {
  try {
    makeFolder(dirname(path));
    const stat = statIfThere(path);
    if (stat === undefined) makePrivate(path);
    else if (!stat.isFile && !stat.isSymlink) {
      throw new RegistryError(action, "it is not a file; name another with -local-registry");
    }
  } catch (error) {
    if (error instanceof RegistryError) throw error;
    throw new RegistryError(action, `${fileReason(error)}; name another file with -local-registry`);
  }
  try {
    return new DatabaseSync(path, { enableForeignKeyConstraints: false });
  } catch {
    throw new RegistryError(action, reasonOfSystem(path) ?? REASONS.get(CANTOPEN)!, CANTOPEN);
  }
}

/** Why the system does not open a file, which SQLite keeps to itself; `undefined` if it does. */
function reasonOfSystem(path: string): string | undefined {
  try {
    Deno.openSync(path, { read: true, write: true }).close();
    return undefined;
  } catch (error) {
    return `${fileReason(error)}; name another file with -local-registry`;
  }
}

/**
 * Takes from other users what earlier versions let them do: who can read the file can lock it, and so stop every agent. By
 * its name, as closing a descriptor of its own would release SQLite's locks (fcntl(2)). Rights that an operator has given
 * to a group stay.
 */
function keepToOwner(path: string): void {
  const real = Deno.realPathSync(path);
  for (const name of [real, `${real}-wal`, `${real}-shm`]) {
    const stat = statIfThere(name);
    if (stat?.isFile !== true || stat.mode === null || (stat.mode & OTHERS) === 0) continue;
    try {
      Deno.chmodSync(name, PRIVATE);
    } catch (error) {
      // It is another user's.
      if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    }
  }
}

/** Says in our words what SQLite refused. */
function registryError(action: string, error: unknown): RegistryError {
  if (error instanceof RegistryError) return error;
  const message = errorText(error);
  const code = error instanceof Error && "errcode" in error ? Number(error.errcode) : undefined;
  const reason = code === undefined ? undefined : REASONS.get(code & 0xff);
  return new RegistryError(action, reason === undefined ? message : `${reason} (${message})`, code);
}

/** The file and the memory that its users share. */
function identityOf(path: string): string {
  return `${inodeOf(path)} ${inodeOf(`${path}-shm`)}`;
}

function inodeOf(path: string): number | null {
  try {
    return Deno.statSync(path).ino;
  } catch {
    return null;
  }
}
