import { DatabaseSync } from "node:sqlite";
import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { nobodyLocks, nobodyReads } from "../../double/nobody.ts";
import { LocalFile } from "../../../src/registry/local/local_file.ts";
import { isBusy, RegistryError } from "../../../src/registry/registry_error.ts";
import { lease, LocalWorld, request, seedLeases, Watcher } from "./local_world.ts";

const { signal } = new AbortController();

const refused: [make: (path: string) => void, reason: RegExp, why: string][] = [
  [
    (path) => Deno.writeTextFileSync(path, "not a database ".repeat(100)),
    /: it is not a SQLite database; name another file with -local-registry/,
    "it is some other file",
  ],
  [(path) => Deno.mkdirSync(path), /: it is not a file; name another with -local-registry/, "it is a folder"],
  [
    (path) => {
      using db = new DatabaseSync(path);
      db.exec("CREATE TABLE theirs (a)");
    },
    /: it is the database of another program; name another file with -local-registry$/,
    "it is another program's database",
  ],
  [
    (path) => {
      new LocalFile(path)[Symbol.dispose]();
      using db = new DatabaseSync(path);
      db.exec("PRAGMA user_version = 2");
    },
    /: it has version 2, this release reads version 1; use the release that made it, or name another file$/,
    "a later release made it",
  ],
  [
    (path) => {
      seedLeases(path, 200, 1e15);
      using file = Deno.openSync(path, { write: true });
      file.seekSync(4096, Deno.SeekMode.Start);
      file.writeSync(new Uint8Array(60_000).fill(0xa5));
    },
    /: the file is damaged; move it away, and leases are taken anew/,
    "its pages are overwritten",
  ],
];

for (const [make, reason, why] of refused) {
  Deno.test(`openLocalRegistry() refuses a path and leaves it as it is when ${why}`, async () => {
    await using world = new LocalWorld();
    make(world.path);
    const before = (await Deno.lstat(world.path)).isFile ? await Deno.readFile(world.path) : undefined;
    const error = assertThrows(() => world.open("a"), RegistryError);
    assertMatch(error.message, reason);
    assert(error.message.startsWith(`Cannot open the lease registry ${world.path}: `));
    if (before !== undefined) assertEquals(await Deno.readFile(world.path), before);
  });
}

Deno.test("openLocalRegistry() says so when the folder can't be made", async () => {
  await using world = new LocalWorld();
  await Deno.writeTextFile(`${world.folder}/file`, "");
  const path = `${world.folder}/file/registry.db`;
  const error = assertThrows(() => new LocalFile(path), RegistryError);
  assertMatch(error.message, /a part of its path is not a folder; name another file with -local-registry$/);
  assertThrows(() => new LocalFile("/proc/loden/registry.db"), RegistryError, "name another file");
});

Deno.test("openLocalRegistry() makes the folders of the path, and takes an empty file for a new one", async () => {
  await using world = new LocalWorld();
  new LocalFile(`${world.folder}/a/b/registry.db`)[Symbol.dispose]();
  await Deno.writeTextFile(world.path, "");
  await world.open("a").acquire(request("192.0.2.1"), { signal });
});

async function modeOf(path: string): Promise<number> {
  return (await Deno.stat(path)).mode! & 0o777;
}

for (const [what, wide] of [["new", 0], ["of an earlier version", 0o644]] as const) {
  Deno.test(`a registry that is ${what} can be read and locked by its owner alone, whatever the umask`, async () => {
    await using world = new LocalWorld();
    const path = `${world.folder}/a/registry.db`;
    const names = [path, `${path}-wal`, `${path}-shm`];
    const umask = Deno.umask(0);
    try {
      if (wide !== 0) {
        await Deno.mkdir(`${world.folder}/a`, { mode: 0o755 });
        new LocalFile(path)[Symbol.dispose]();
        await Deno.chmod(path, wide);
        // SQLite gives its own files the rights of the first.
        using db = new DatabaseSync(path);
        db.exec("BEGIN; SELECT * FROM state");
        await Deno.chmod(world.folder, 0o755);
        assertEquals(await Promise.all(names.map(nobodyLocks)), [true, true, true]);
        new LocalFile(path)[Symbol.dispose]();
      }
      await Deno.chmod(world.folder, 0o755);
      using _file = new LocalFile(path);
      const modes = await Promise.all(names.map(modeOf));
      assertEquals(modes, [0o600, 0o600, 0o600]);
      assertEquals(await modeOf(`${world.folder}/a`), 0o755);
      for (const name of names) {
        assertEquals([await nobodyReads(name), await nobodyLocks(name)], [false, false]);
      }
    } finally {
      Deno.umask(umask);
    }
  });
}

Deno.test("what another program's database lets others do stays, and what an operator lets a group do", async () => {
  await using world = new LocalWorld();
  {
    using db = new DatabaseSync(world.path);
    db.exec("CREATE TABLE theirs (a)");
  }
  await Deno.chmod(world.path, 0o644);
  assertThrows(() => new LocalFile(world.path), RegistryError, "another program");
  assertEquals(await modeOf(world.path), 0o644);
  await Deno.remove(world.path);
  new LocalFile(world.path)[Symbol.dispose]();
  await Deno.chmod(world.path, 0o660);
  new LocalFile(world.path)[Symbol.dispose]();
  assertEquals(await modeOf(world.path), 0o660);
});

Deno.test("a registry that the system does not open is named with the system's reason", async () => {
  await using world = new LocalWorld();
  new LocalFile(world.path)[Symbol.dispose]();
  const script = `import { LocalFile } from "${
    import.meta.resolve("../../../src/registry/local/local_file.ts")
  }";
    const held = [];
    try { for (;;) held.push(Deno.openSync("/dev/null")); } catch {}
    try { new LocalFile("${world.path}"); } catch (error) { for (const file of held) file.close(); console.log(error.message); }`;
  const config = import.meta.resolve("../../../deno.json").slice("file://".length);
  const command = ["run", "-A", "--no-check", `--config=${config}`, `${world.folder}/run.ts`];
  await Deno.writeTextFile(`${world.folder}/run.ts`, script);
  const { stdout, stderr } = await new Deno.Command("prlimit", {
    args: ["--nofile=64:64", Deno.execPath(), ...command],
  }).output();
  assertStringIncludes(
    new TextDecoder().decode(stdout),
    "this process has as many files open as it may; raise its limit",
    new TextDecoder().decode(stderr),
  );
});

Deno.test("LocalFile.transaction() undoes everything when its body throws", async () => {
  await using world = new LocalWorld();
  using file = new LocalFile(world.path);
  const body = () => {
    file.rows("write", "UPDATE state SET revision = 9");
    throw new Error("no");
  };
  assertThrows(() => file.transaction("IMMEDIATE", "write", body), Error, "no");
  assertEquals(file.rows("read", "SELECT revision FROM state"), [[0]]);
});

Deno.test("LocalFile.transaction() reports busy while another process writes, and acquire() waits for it", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a");
  using file = new LocalFile(world.path);
  file.rows("begin", "BEGIN IMMEDIATE");
  const asked = registry.acquire(request("192.0.2.1"), { signal });
  file.rows("end", "COMMIT");
  assertEquals((await asked).host, "a");
  file.rows("begin", "BEGIN IMMEDIATE");
  const error = await registry.acquire(request("192.0.2.1"), { signal }).catch((error) => error);
  assert(isBusy(error), String(error));
  assertMatch(error.message, /another process has held it for too long/);
  file.rows("end", "COMMIT");
});

const badRows: [sql: string, reason: string][] = [
  ["UPDATE lease SET subnet = 9223372036854775807 WHERE host = 'b'", "its subnet is not an address"],
  ["UPDATE lease SET subnet = subnet + 1 WHERE host = 'b'", "its subnet 10.0.2.1/24 has host bits"],
  ["UPDATE lease SET subnet = x'0a000200' WHERE host = 'b'", "its subnet is not an address"],
  ["UPDATE lease SET length = 33 WHERE host = 'b'", "its subnet is not a prefix"],
  ["UPDATE lease SET length = -1 WHERE host = 'b'", "its prefix length is out of range"],
  ["UPDATE lease SET family = 3 WHERE host = 'b'", "its address family is unknown"],
  ["UPDATE lease SET family = 10 WHERE host = 'b'", "its subnet is not a prefix"],
  ["UPDATE lease SET underlay_address = 'x' WHERE host = 'b'", "its underlay address is not an address"],
  [
    "UPDATE lease SET underlay_address = '20010db8000000000000000000000001' WHERE host = 'b'",
    "its underlay address is not an address",
  ],
  ["UPDATE lease SET backend_data = '{' WHERE host = 'b'", "its backend data is not JSON"],
  [
    "UPDATE lease SET backend_data = printf('%*c', 1048576, ' ') WHERE host = 'b'",
    "its backend data is longer than 4096 bytes",
  ],
  [
    "UPDATE lease SET backend_type = printf('%*c', 65, 'x') WHERE host = 'b'",
    "its backend type is longer than 64 bytes",
  ],
  ["UPDATE lease SET expires_at_ms = -9223372036854775807 WHERE host = 'b'", "its end time is out of range"],
];

for (const [sql, reason] of badRows) {
  Deno.test(`watch() leaves out one lease and serves the others when ${reason}: ${sql}`, async () => {
    await using world = new LocalWorld();
    seedNamed(world);
    const registry = world.open("me");
    await using watcher = new Watcher(registry);
    assertEquals((await watcher.next()).kind, "snapshot");
    world.sql(sql);
    world.sql("UPDATE state SET revision = revision + 1");
    world.sql("UPDATE lease SET revision = (SELECT revision FROM state) WHERE host = 'b'");
    assertEquals(await watcher.next(), { kind: "released", host: "b" });
    assertEquals(registry.faults, [{ host: "b", reason: `lease in the registry: ${reason}` }]);

    const later = world.open("later");
    await using second = new Watcher(later);
    const snapshot = await second.next();
    assertEquals(snapshot.kind === "snapshot" && snapshot.leases.map(({ host }) => host), ["a", "c"]);
    assertEquals(later.faults, registry.faults);
    assertEquals((await later.acquire(request("192.0.2.9"), { signal })).host, "later");

    world.sql("DELETE FROM lease WHERE host = 'b'");
    await world.open("b").acquire(request("192.0.2.2"), { signal });
    const held = await watcher.until((update) => update.kind === "held" && update.lease.host === "b");
    assertEquals(held.kind, "held");
    assertEquals(registry.faults, []);
  });
}

function seedNamed(world: LocalWorld): void {
  using file = new LocalFile(world.path);
  const rows = [
    lease("a", "10.0.1.0/24", "192.0.2.1"),
    lease("b", "10.0.2.0/24", "192.0.2.2"),
    lease("c", "10.0.3.0/24", "192.0.2.3"),
  ];
  const insert = `INSERT INTO lease VALUES (?, 2, ?, 24, ?, 'vxlan', '{}', NULL, 1, '', 0, 0, 0)`;
  for (const { host, parts: [part] } of rows) {
    file.rows("seed", insert, host, Number(part!.subnet.address), Number(part!.underlayAddress));
  }
  file.rows("seed", "UPDATE state SET revision = 1");
}

Deno.test("watch() names a host whose name is not one, and goes on", async () => {
  await using world = new LocalWorld();
  seedNamed(world);
  world.sql("UPDATE lease SET host = printf('%*c', 256, 'x') WHERE host = 'b'");
  const registry = world.open("me");
  await using watcher = new Watcher(registry);
  const snapshot = await watcher.next();
  assertEquals(snapshot.kind === "snapshot" && snapshot.leases.length, 2);
  assertEquals(registry.faults[0]!.reason, "lease in the registry: its name is too long");
});

const removals: [remove: (path: string) => void, what: string][] = [
  [(path) => Deno.removeSync(path), "the file is deleted"],
  [
    (path) => [path, `${path}-wal`, `${path}-shm`].forEach((name) => Deno.removeSync(name)),
    "the file and its log are deleted",
  ],
  [(path) => Deno.renameSync(path, `${path}.old`), "the file is moved away"],
];

for (const [remove, what] of removals) {
  Deno.test(`watch() asks for the own lease, waits for the others, and starts over when ${what}`, async () => {
    await using world = new LocalWorld();
    const [a, b] = [world.open("a"), world.open("b")];
    await a.acquire(request("192.0.2.1"), { signal });
    const lease = await b.acquire(request("192.0.2.2"), { signal });
    await using watchA = new Watcher(a);
    await using watchB = new Watcher(b);
    for (const watcher of [watchA, watchB]) assertEquals((await watcher.next()).kind, "snapshot");
    remove(world.path);
    world.pass(1000);
    assertEquals(await watchA.next(), { kind: "released", host: "a" });
    assertEquals(await watchB.next(), { kind: "released", host: "b" });
    const own = await a.acquire(request("192.0.2.1"), { signal });
    const again = await b.acquire(request("192.0.2.2"), { signal });
    assertEquals(again.parts[0]!.subnet, lease.parts[0]!.subnet);
    const snapshot = watchA.next();
    world.pass(3000);
    assertEquals(await snapshot, { kind: "snapshot", leases: [{ ...own }, { ...again }] });
    await using late = new Watcher(world.open("c"));
    assertEquals(await late.next(), await snapshot);
  });
}

const returns: [away: (path: string) => void, back: (path: string) => void, what: string][] = [
  [
    (path) => {
      Deno.renameSync(path, `${path}.away`);
      Deno.mkdirSync(path);
    },
    (path) => {
      Deno.removeSync(path);
      Deno.renameSync(`${path}.away`, path);
    },
    "a folder is in the place of the file, which comes back",
  ],
  [
    (path) => {
      for (const suffix of ["", "-wal"]) Deno.copyFileSync(`${path}${suffix}`, `${path}.copy${suffix}`);
      for (const suffix of ["", "-wal", "-shm"]) Deno.removeSync(`${path}${suffix}`);
      Deno.mkdirSync(path);
    },
    (path) => {
      Deno.removeSync(path);
      for (const suffix of ["-wal", ""]) Deno.renameSync(`${path}.copy${suffix}`, `${path}${suffix}`);
    },
    "a copy takes the place of the file",
  ],
];

for (const [away, back, what] of returns) {
  Deno.test(`watch() does not say that the own lease is gone when ${what}`, async () => {
    await using world = new LocalWorld();
    const registry = world.open("a");
    const own = await registry.acquire(request("192.0.2.1"), { signal });
    await using watcher = new Watcher(registry);
    await watcher.next();
    const next = watcher.next();
    away(world.path);
    world.pass(1000);
    while (registry.contact.reason === undefined) await nextTask();
    back(world.path);
    world.pass(1000);
    while (registry.contact.reason !== undefined) await nextTask();
    world.pass(3000);
    assertEquals(await next, { kind: "snapshot", leases: [own] });
  });
}

Deno.test("watch() says why the file can't be read, and starts over when it can", async () => {
  await using world = new LocalWorld();
  const registry = world.open("a");
  const own = await registry.acquire(request("192.0.2.1"), { signal });
  await using watcher = new Watcher(registry);
  await watcher.next();
  world.sql("ALTER TABLE lease RENAME COLUMN length TO gone");
  world.sql("UPDATE state SET revision = revision + 1");
  const next = watcher.next();
  while (registry.contact.reason === undefined) await nextTask();
  world.sql("ALTER TABLE lease RENAME COLUMN gone TO length");
  assertEquals(await next, { kind: "snapshot", leases: [own] });
  assertEquals([registry.contact.reason, world.events], [undefined, []]);
});

function nextTask(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
