import { assertEquals } from "@std/assert";
import { LeftoverKeeper } from "../../src/agent/leftover_keeper.ts";
import { parsePrefix } from "../../src/model/address.ts";

const SUBNETS = [parsePrefix("10.244.1.0/24")];
/** Long enough ago for any file that these tests write. */
const AFTER_BOOT_MS = Date.now() + 3_600_000;

interface World {
  readonly root: string;
  readonly log: string[];
  readonly keeper: (
    options?: { isReleasing?: boolean; links?: string[]; networksDir?: string },
  ) => LeftoverKeeper;
  /** Writes what an attachment leaves: its address, and its state with these keys. */
  readonly leave: (container: string, address: string, config?: object) => Promise<void>;
  readonly names: () => Promise<{ state: string[]; addresses: string[] }>;
}

async function withWorld(body: (world: World) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "lodentest-leftovers-" });
  const log: string[] = [];
  const store = `${root}/networks/cbr0`;
  const names = async (path: string) =>
    (await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name).sort();
  try {
    for (const folder of ["data", "networks", "networks/cbr0", "results"]) {
      await Deno.mkdir(`${root}/${folder}`);
    }
    await body({
      root,
      log,
      keeper: ({ isReleasing = false, links = [], networksDir } = {}) =>
        new LeftoverKeeper(
          { dataDir: `${root}/data`, networksDir: `${root}/networks`, resultsDir: `${root}/results` },
          {
            host: () => ({
              links: new Map(links.map((name) => [name, "veth"])),
              neighbours: new Set(),
              // The host has booted since all of it was written.
              bootedAtMs: AFTER_BOOT_MS,
              nowMs: AFTER_BOOT_MS + 1,
              isThere: () => false,
            }),
            network: () => "cbr0",
            networksDir: () => networksDir,
            isReleasing,
            log: {
              write: (level, event, fields) =>
                void log.push(`${level} ${event} ${fields?.pods ?? fields?.containerId ?? ""}`),
            },
          },
        ),
      leave: async (container, address, config) => {
        await Deno.writeTextFile(`${store}/${address}`, `${container}\r\neth0`);
        if (config === undefined) return;
        const whole = { name: "cbr0", type: "bridge", ipam: { type: "host-local" }, ...config };
        await Deno.writeTextFile(`${root}/data/${container}@eth0`, JSON.stringify(whole));
        await Deno.symlink(`${container}@eth0`, `${root}/data/${container}`);
      },
      names: async () => ({
        state: await names(`${root}/data`),
        addresses: (await names(store)).filter((name) => name.startsWith("10.")),
      }),
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("LeftoverKeeper says what vanished pods hold, and shows it in the use of the subnet", async () => {
  await withWorld(async ({ keeper, leave }) => {
    await leave("c1", "10.244.1.2", {});
    await leave("c2", "10.244.1.3");
    const telling = keeper();
    assertEquals(telling.usage(SUBNETS)[0]!.leftovers, 0);
    for (let look = 0; look < 2; look++) await telling.look();
    assertEquals(telling.conditions.map(({ code, sentence }) => `${code}: ${sentence}`), [
      "vanished-pods: 2 pods that have vanished still hold addresses of this host",
    ]);
    assertEquals(telling.usage(SUBNETS), [
      { network: "cbr0", subnet: "10.244.1.0/24", used: 2, size: 253, leftovers: 2 },
    ]);
  });
});

Deno.test("LeftoverKeeper releases addresses and state where that was asked for", async () => {
  await withWorld(async ({ keeper, leave, names, log }) => {
    await leave("c1", "10.244.1.2", {});
    await leave("c2", "10.244.1.3");
    const releasing = keeper({ isReleasing: true });
    await releasing.look();
    assertEquals(await names(), { state: [], addresses: [] });
    assertEquals(releasing.usage(SUBNETS)[0]!.used, 0);
    assertEquals(log.toSorted(), ["info leftover released c1", "info leftover released c2"]);
  });
});

for (const config of [{ ipMasq: true }, { type: "ptp" }, { ipam: { type: "dhcp" } }]) {
  Deno.test(`LeftoverKeeper leaves an attachment with ${JSON.stringify(config)} to the delegate itself`, async () => {
    await withWorld(async ({ keeper, leave, names, log }) => {
      await leave("c1", "10.244.1.2", config);
      await keeper({ isReleasing: true }).look();
      assertEquals(await names(), { state: ["c1", "c1@eth0"], addresses: ["10.244.1.2"] });
      assertEquals(log, ["debug leftover not released c1"]);
    });
  });
}

Deno.test("LeftoverKeeper leaves what is in use", async () => {
  await withWorld(async ({ root, keeper, leave, names, log }) => {
    await leave("c1", "10.244.1.2", {});
    const result = { kind: "cniCacheV1", result: { interfaces: [{ name: "veth1" }] } };
    await Deno.writeTextFile(`${root}/results/cbr0-c1-eth0`, JSON.stringify(result));
    await keeper({ isReleasing: true, links: ["veth1"] }).look();
    assertEquals([(await names()).addresses, log], [["10.244.1.2"], []]);
  });
});

Deno.test("LeftoverKeeper keeps watching until it is asked to end, and ends at once", async () => {
  await withWorld(async ({ keeper, leave }) => {
    await leave("c1", "10.244.1.2");
    const controller = new AbortController();
    const watched = keeper();
    const watching = watched.watch({ signal: controller.signal });
    controller.abort();
    await watching;
    assertEquals(watched.conditions.length, 1);
  });
});

Deno.test("LeftoverKeeper finds nothing where there are no folders", async () => {
  await withWorld(async ({ root, keeper, log }) => {
    for (const folder of ["data", "networks", "results"]) {
      await Deno.remove(`${root}/${folder}`, { recursive: true });
    }
    const watching = keeper({ isReleasing: true });
    await watching.look();
    assertEquals([watching.usage(SUBNETS)[0]!.used, log], [0, []]);
    await Deno.mkdir(`${root}/networks/cbr0`, { recursive: true });
  });
});

Deno.test("LeftoverKeeper gives back addresses of a subnet that this host has no more, and looks where the conflist says", async () => {
  await withWorld(async ({ root, keeper, leave, names }) => {
    await leave("c1", "10.99.7.2", {});
    await leave("c2", "10.99.7.3");
    const elsewhere = keeper({ isReleasing: true, networksDir: `${root}/nowhere` });
    await elsewhere.look();
    assertEquals((await names()).addresses, ["10.99.7.2", "10.99.7.3"]);
    await keeper({ isReleasing: true, networksDir: `${root}/networks` }).look();
    assertEquals((await names()).addresses, []);
  });
});

Deno.test("LeftoverKeeper says while it can't see what is there", async () => {
  await withWorld(async ({ root, keeper }) => {
    const telling = keeper();
    await Deno.remove(`${root}/networks/cbr0`);
    await Deno.writeTextFile(`${root}/networks/cbr0`, "a file where the folder should be");
    await telling.look();
    assertEquals(telling.conditions.map(({ code }) => code), ["pods-unreadable"]);
    await Deno.remove(`${root}/networks/cbr0`);
    await telling.look();
    assertEquals(telling.conditions, []);
  });
});
