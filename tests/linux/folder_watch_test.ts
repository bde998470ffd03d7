import { assertEquals, assertGreater, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { NetlinkError } from "../../src/linux/errno.ts";
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

  add(prefix: string): Disposable {
    return this.watch.add(this.folder, prefix, () => {
      this.count++;
      this.#told.resolve();
    });
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

Deno.test("FolderWatch.add() says what the kernel said of a folder that is not there", async () => {
  using libc = new Libc();
  await using watched = await Watched.open(libc);
  assertThrows(
    () => watched.watch.add(`${watched.folder}/nowhere`, "", () => {}),
    NetlinkError,
    `Cannot watch ${watched.folder}/nowhere: ENOENT`,
  );
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
