import { assertEquals, assertGreater, assertRejects } from "@std/assert";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Libc } from "../../src/linux/libc.ts";
import { FolderWatch } from "../../src/linux/folder_watch.ts";
import { ReadableWait } from "../../src/linux/poll.ts";

const DEADLINE_MS = 5000;

/** Runs a watch of one folder for the time of a test, and lets the test wait for what it tells. */
class Watched implements AsyncDisposable {
  readonly #controller = new AbortController();
  readonly #running: Promise<void>;
  #told = Promise.withResolvers<void>();
  count = 0;

  private constructor(readonly folder: string, readonly watch: FolderWatch) {
    this.#running = watch.run({ signal: this.#controller.signal });
  }

  static async open(libc: Libc): Promise<Watched> {
    return new Watched(await Deno.makeTempDir({ prefix: "loden-watch-" }), FolderWatch.open(libc));
  }

  add(prefix: string, folder = this.folder): Disposable {
    return this.watch.add(folder, prefix, () => {
      this.count++;
      this.#told.resolve();
    });
  }

  /** Waits until all is heard that has happened up to now. */
  async quiet(): Promise<void> {
    const bell = Promise.withResolvers<void>();
    using _ = this.watch.add(this.folder, "bell", bell.resolve);
    await Deno.writeTextFile(`${this.folder}/bell`, "", { append: true });
    await Deno.writeTextFile(`${this.folder}/bell`, "rings", { append: true });
    await bell.promise;
  }

  /** Makes a change, and waits until that is told of. */
  async until(change: () => Promise<void>): Promise<void> {
    await this.quiet();
    this.#told = Promise.withResolvers<void>();
    await change();
    await this.told();
  }

  /** How many watches the kernel holds, as proc_pid_fdinfo(5) lists them. */
  kernelWatches(): number {
    for (const { name } of Deno.readDirSync("/proc/self/fd")) {
      try {
        const lines = Deno.readTextFileSync(`/proc/self/fdinfo/${name}`).split("\n");
        const count = lines.filter((line) => line.startsWith("inotify")).length;
        if (count > 0) return count;
      } catch {
        // It was closed meanwhile.
      }
    }
    return 0;
  }

  async told(): Promise<void> {
    const late = AbortSignal.timeout(DEADLINE_MS);
    await Promise.race([
      this.#told.promise,
      new Promise<never>((_, reject) => late.addEventListener("abort", () => reject(late.reason))),
    ]);
    this.#told = Promise.withResolvers<void>();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort();
    await this.#running;
    await this.watch[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Advisory locks of this process, as proc_locks(5) lists them. */
function locks(): string[] {
  return Deno.readTextFileSync("/proc/locks").split("\n").filter((line) =>
    line.split(/\s+/)[4] === String(Deno.pid)
  )
    .map((line) => line.replace(/^\d+: /, "")).sort();
}

const changes: [what: string, change: (folder: string) => Promise<void>][] = [
  ["is made", (folder) => Deno.writeTextFile(`${folder}/watched`, "")],
  ["is written", (folder) => Deno.writeTextFile(`${folder}/watched`, "more", { append: true })],
  ["gives way to another", async (folder) => {
    await Deno.writeTextFile(`${folder}/other`, "new");
    await Deno.rename(`${folder}/other`, `${folder}/watched`);
  }],
  ["is removed", (folder) => Deno.remove(`${folder}/watched`)],
];

Deno.test("FolderWatch tells when a file is made, written, replaced and removed", async (t) => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  watched.add("watched");
  for (const [what, change] of changes) {
    await t.step(`it ${what}`, async () => {
      await change(watched.folder);
      await watched.told();
    });
  }
});

Deno.test("FolderWatch tells of names that begin as asked, and of no others", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  watched.add("registry.db");
  await Deno.writeTextFile(`${watched.folder}/subnet.env`, "");
  const ended = watched.add("last");
  await Deno.writeTextFile(`${watched.folder}/last`, "");
  await watched.told();
  assertEquals(watched.count > 0, true);
  ended[Symbol.dispose]();
  const before = watched.count;
  await Deno.writeTextFile(`${watched.folder}/last`, "nobody listens");
  await Deno.writeTextFile(`${watched.folder}/registry.db-wal`, "");
  await watched.told();
  assertGreater(watched.count, before);
});

Deno.test("FolderWatch drops no lock that this process holds on a file that changes", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  watched.add("registry.db");
  const path = `${watched.folder}/registry.db`;
  const db = new DatabaseSync(path);
  try {
    db.exec(
      "PRAGMA journal_mode = WAL; CREATE TABLE lease (host TEXT); BEGIN IMMEDIATE; INSERT INTO lease VALUES ('a')",
    );
    const held = locks();
    assertGreater(held.length, 1);
    for (const name of ["registry.db", "registry.db-wal", "registry.db-shm"]) {
      await new Deno.Command("touch", { args: ["-m", `${watched.folder}/${name}`] }).output();
      // A change that inotify does tell of, by another process.
      await new Deno.Command("truncate", { args: ["--size=+0", `${watched.folder}/${name}`] }).output();
      await Deno.writeTextFile(`${watched.folder}/registry.db.bell`, name, { append: true });
      await watched.told();
    }
    assertEquals(locks(), held);
  } finally {
    db.close();
  }
});

/** What happens to the folder of a watched file. */
const fates: [what: string, happen: (path: string) => Promise<void>][] = [
  ["is removed and made again", async (path) => {
    await Deno.remove(path, { recursive: true });
    await Deno.mkdir(path);
  }],
  ["is removed while a file in it is open, and made again", async (path) => {
    await Deno.writeTextFile(`${path}/lock`, "");
    using _ = await Deno.open(`${path}/lock`);
    await Deno.remove(path, { recursive: true });
    await Deno.mkdir(path);
  }],
  ["goes with those above it, which are made again one by one", async (path) => {
    await Deno.remove(dirname(dirname(path)), { recursive: true });
    for (const each of [dirname(dirname(path)), dirname(path), path]) await Deno.mkdir(each);
  }],
  ["gives way to another, which is moved to its place", async (path) => {
    await Deno.mkdir(`${path}.new`);
    await Deno.rename(path, `${path}.old`);
    await Deno.rename(`${path}.new`, path);
  }],
  ["is moved away and back", async (path) => {
    await Deno.rename(path, `${path}.away`);
    await Deno.rename(`${path}.away`, path);
  }],
  ["has one above it moved away and back", async (path) => {
    const above = dirname(path);
    await Deno.rename(above, `${above}.away`);
    await Deno.rename(`${above}.away`, above);
  }],
  ["becomes a link to another", async (path) => {
    await Deno.mkdir(`${path}.new`);
    await Deno.remove(path, { recursive: true });
    await Deno.symlink(`${path}.new`, path);
  }],
  ["becomes a link to one that comes later", async (path) => {
    await Deno.remove(path, { recursive: true });
    await Deno.symlink("later/on", path);
    await Deno.mkdir(`${dirname(path)}/later/on`, { recursive: true });
  }],
  ["is behind a link that is swapped for another at once", async (path) => {
    const above = dirname(path);
    for (const name of ["first", "second"]) await Deno.mkdir(`${above}.${name}/c`, { recursive: true });
    await Deno.remove(above, { recursive: true });
    for (const name of ["first", "second"]) {
      await Deno.symlink(`${above}.${name}`, `${above}.link`);
      await Deno.rename(`${above}.link`, above);
    }
  }],
];

for (const [what, happen] of fates) {
  Deno.test(`FolderWatch hears of a file whose folder ${what}`, async () => {
    using libc = new Libc();
    await using watched = await Watched.open(libc);
    const path = `${watched.folder}/a/b/c`;
    await Deno.mkdir(path, { recursive: true });
    watched.add("watched", path);
    await happen(path);
    await watched.until(() => Deno.writeTextFile(`${path}/watched`, String(Math.random())));
    // Of nothing else beside it.
    await watched.quiet();
    const before = watched.count;
    await Deno.writeTextFile(`${path}/other`, "");
    await watched.quiet();
    assertEquals(watched.count, before);
    await watched.until(() => Deno.writeTextFile(`${path}/watched`, "again"));
  });
}

Deno.test("FolderWatch hears of a file whose folder comes after the watch, and tells nothing of what comes beside the way there", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  const path = `${watched.folder}/a/b/c`;
  watched.add("watched", path);
  await Deno.mkdir(`${watched.folder}/x/b/c`, { recursive: true });
  await Deno.mkdir(`${watched.folder}/a`);
  await Deno.writeTextFile(`${watched.folder}/a/watched`, "");
  await watched.quiet();
  assertEquals(watched.count, 0);
  await watched.until(() => Deno.mkdir(path, { recursive: true }));
  await watched.until(() => Deno.writeTextFile(`${path}/watched`, ""));
});

Deno.test("FolderWatch hears when a cluster swaps all files of a folder at once", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  const { folder } = watched;
  for (const version of ["..1", "..2"]) {
    await Deno.mkdir(`${folder}/${version}`);
    await Deno.writeTextFile(`${folder}/${version}/net-conf.json`, version);
  }
  await Deno.symlink("..1", `${folder}/..data`);
  await Deno.symlink("..data/net-conf.json", `${folder}/net-conf.json`);
  watched.add("net-conf.json");
  await Deno.symlink("..2", `${folder}/..data_tmp`);
  await watched.quiet();
  assertEquals(watched.count, 0);
  await Deno.rename(`${folder}/..data_tmp`, `${folder}/..data`);
  await watched.told();
});

Deno.test("FolderWatch leaves no watch behind for what is watched no more, or is another folder now", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  const path = `${watched.folder}/a/b`;
  await Deno.mkdir(path, { recursive: true });
  const kept = watched.add("watched", path);
  const inUse = watched.kernelWatches();
  for (let round = 0; round < 5; round++) {
    await Deno.remove(path, { recursive: true });
    await Deno.mkdir(path);
    await watched.told();
    await watched.watch.recheck();
  }
  await watched.quiet();
  assertEquals(watched.kernelWatches(), inUse);
  kept[Symbol.dispose]();
  assertEquals(watched.kernelWatches(), 0);
});

Deno.test("ReadableWait.wait() ends with the signal's reason, and can be called again", async () => {
  using libc = new Libc();
  const fd = libc.checked("make a descriptor", libc.call.eventfd(0, 0o4000));
  try {
    await using readable = new ReadableWait(libc, fd);
    const controller = new AbortController();
    const waiting = readable.wait({ signal: controller.signal });
    controller.abort(new Error("enough"));
    await assertRejects(() => waiting, Error, "enough");
    libc.call.eventfd_write(fd, 1n);
    await readable.wait({ signal: AbortSignal.timeout(DEADLINE_MS) });
  } finally {
    libc.call.close(fd);
  }
});
