import { assertEquals, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { LeaseCacheKeeper } from "../../src/agent/lease_cache_keeper.ts";
import type { LeaseCache } from "../../src/registry/lease_cache.ts";
import type { Log } from "../../src/log/log.ts";
import { OWN } from "../status/facts.ts";

const CACHE: LeaseCache = { registry: "etcd /net", networkConfig: "{}", own: OWN, leases: [OWN] };

/** A keeper of a file in a folder of its own, and what it has said. */
async function withKeeper(
  test: (
    keeper: LeaseCacheKeeper,
    path: string,
    said: unknown[][],
    another: () => LeaseCacheKeeper,
  ) => unknown,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const said: unknown[][] = [];
  const log: Log = { write: (_, event, fields) => said.push([event, fields?.reason]) };
  const path = `${folder}/new/leases.json`;
  const open = () => new LeaseCacheKeeper(path, { log });
  try {
    using keeper = open();
    await test(keeper, path, said, open);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("LeaseCacheKeeper writes what is known when it ends, for nobody else to read, and reads it again", async () => {
  await withKeeper((keeper, path, said, another) => {
    keeper.keep(1, () => CACHE);
    keeper[Symbol.dispose]();
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
    assertEquals(another().read("etcd /net"), CACHE);
    assertEquals(said, []);
  });
});

Deno.test("LeaseCacheKeeper writes once for many changes, with the last state, and not without one", async () => {
  await withKeeper((keeper, path, _, another) => {
    let asked = 0;
    const state = (registry: string) => () => {
      asked++;
      return { ...CACHE, registry };
    };
    keeper.keep(1, state("first"));
    keeper.keep(2, state("second"));
    keeper[Symbol.dispose]();
    assertEquals(asked, 1);
    keeper.keep(2, state("again"));
    keeper[Symbol.dispose]();
    assertEquals(asked, 1, "nothing has changed");
    Deno.removeSync(path);
    keeper.keep(2, state("again"));
    keeper[Symbol.dispose]();
    assertEquals(another().read("again")?.registry, "again", "a file that is gone is written again");
  });
});

Deno.test("LeaseCacheKeeper finds nothing where nothing was written, and says nothing", async () => {
  await withKeeper((keeper, _, said) => assertEquals([keeper.read("etcd /net"), said], [undefined, []]));
});

function makeLarge(path: string): void {
  Deno.writeTextFileSync(path, "{");
  Deno.truncateSync(path, 64 * 2 ** 20 + 1);
}

const useless: [name: string, write: (path: string) => void, reason: RegExp][] = [
  ["that is damaged", (path) => Deno.writeTextFileSync(path, "{"), /JSON/],
  ["that is a folder", (path) => Deno.mkdirSync(path), /it is a folder/],
  ["that is a device", (path) => Deno.symlinkSync("/dev/zero", path), /it is a device/],
  ["that is too large", makeLarge, /it has more than 67108864 bytes/],
];

for (const [name, write, reason] of useless) {
  Deno.test(`LeaseCacheKeeper says why it does not use a file ${name}`, async () => {
    await withKeeper((keeper, path, said) => {
      Deno.mkdirSync(path.replace(/\/[^/]*$/, ""));
      write(path);
      assertEquals(keeper.read("etcd /net"), undefined);
      assertEquals(said[0]![0], "lease cache not used");
      assertMatch(String(said[0]![1]), reason);
    });
  });
}

Deno.test("LeaseCacheKeeper does not use what another registry said", async () => {
  await withKeeper((keeper, _, said, another) => {
    keeper.keep(1, () => CACHE);
    keeper[Symbol.dispose]();
    assertEquals(another().read("kube flannel.alpha.coreos.com/"), undefined);
    assertEquals(said[0]![1], "it is of etcd /net, and leases are in kube flannel.alpha.coreos.com/ now");
  });
});

Deno.test("LeaseCacheKeeper says while it can't write, tries again, and writes the last state when it can", async () => {
  await withKeeper(async (keeper, path, said, another) => {
    using time = new FakeTime();
    const folder = path.replace(/\/[^/]*$/, "");
    await Deno.writeTextFile(folder, "a file where the folder should be");
    const controller = new AbortController();
    keeper.keep(1, () => CACHE);
    const running = keeper.run(controller);
    await time.tickAsync(4999);
    await time.tickAsync();
    assertEquals(keeper.conditions, []);
    await time.tickAsync(1);
    await time.tickAsync();
    const [condition] = keeper.conditions;
    assertEquals(condition?.code, "state-not-written");
    assertMatch(
      condition!.sentence,
      /^the lease cache \S+\/new\/leases.json can't be written: .*not a folder/,
    );
    await Deno.remove(folder);
    keeper.keep(2, () => ({ ...CACHE, networkConfig: "later" }));
    for (let step = 0; step < 20 && keeper.conditions.length > 0; step++) await time.nextAsync();
    assertEquals(keeper.conditions, []);
    assertEquals([another().read("etcd /net")?.networkConfig, said], ["later", []]);
    controller.abort();
    await running;
  });
});

Deno.test("LeaseCacheKeeper writes a change soon, less often while changes go on, and soon again when all was quiet", async () => {
  await withKeeper(async (keeper, _path, _said, another) => {
    using time = new FakeTime();
    const controller = new AbortController();
    let writes = 0;
    const change = (version: number) =>
      keeper.keep(version, () => {
        writes++;
        return { ...CACHE, networkConfig: `${version}` };
      });
    const running = keeper.run(controller);
    const writtenIn = async (seconds: number, changes: number) => {
      const found: number[] = [];
      for (let second = 1; second <= seconds; second++) {
        if (second <= changes) change(version++);
        const before = writes;
        await time.tickAsync(1000);
        await time.tickAsync();
        if (writes > before) found.push(second);
      }
      return found;
    };
    let version = 0;
    const [first, ...later] = await writtenIn(300, 300);
    const toFive = (seconds: number) => Math.round(seconds / 5) * 5;
    assertEquals(toFive(first!), 5, "the first soon");
    const gaps = later.map((second, at) => second - (later[at - 1] ?? first!));
    assertEquals(gaps.map(toFive), [10, 20, 40, 60, 60, 60]);
    // What waited is written, and then nothing for a minute.
    assertEquals((await writtenIn(180, 0)).length, 1);
    assertEquals((await writtenIn(10, 1)).map(toFive), [5], "soon again");
    change(version);
    controller.abort();
    await running;
    keeper[Symbol.dispose]();
    assertEquals(another().read("etcd /net")?.networkConfig, `${version}`, "at the end at once");
  });
});
