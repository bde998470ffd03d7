import { assert, assertEquals, assertMatch } from "@std/assert";
import { LeaseCacheKeeper } from "../../src/cli/lease_cache_keeper.ts";
import type { LeaseCache } from "../../src/lease/lease_cache.ts";
import type { Log } from "../../src/log/log.ts";
import { OWN } from "../status/facts.ts";

const CACHE: LeaseCache = { registry: "etcd /net", networkConfig: "{}", own: OWN, leases: [OWN] };

/** A keeper of a file in a folder of its own, and what it has said. */
async function withKeeper(
  test: (keeper: LeaseCacheKeeper, path: string, said: unknown[][], another: () => LeaseCacheKeeper) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const said: unknown[][] = [];
  const log: Log = { write: (_, event, fields) => said.push([event, fields?.reason]), with: () => log };
  const path = `${folder}/new/leases.json`;
  const open = () => new LeaseCacheKeeper(path, { log });
  try {
    using keeper = open();
    test(keeper, path, said, open);
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
    Deno.removeSync(path);
    keeper.keep(2, state("again"));
    keeper[Symbol.dispose]();
    assertEquals(another().read("etcd /net"), undefined);
  });
});

Deno.test("LeaseCacheKeeper finds nothing where nothing was written, and says nothing", async () => {
  await withKeeper((keeper, _, said) => assertEquals([keeper.read("etcd /net"), said], [undefined, []]));
});

const useless: [name: string, write: (path: string) => void, reason: RegExp][] = [
  ["that is damaged", (path) => Deno.writeTextFileSync(path, "{"), /JSON/],
  ["that is a folder", (path) => Deno.mkdirSync(path), /it is a folder/],
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

Deno.test("LeaseCacheKeeper says once that it can't write, and goes on", async () => {
  await withKeeper((keeper, path, said) => {
    Deno.writeTextFileSync(path.replace(/\/new\/.*$/, "/new"), "a file where the folder should be");
    for (const version of [1, 2]) {
      keeper.keep(version, () => CACHE);
      keeper[Symbol.dispose]();
    }
    assertEquals(said.map(([event]) => event), ["lease cache not written"]);
    assert(String(said[0]![1]).includes("not a folder"));
  });
});
