import { assert, assertEquals, fail } from "@std/assert";
import { basename, dirname } from "node:path";
import { openConfigWatch, runBeside } from "../../src/cli/agent_start.ts";
import { readConfigFile } from "../../src/cli/network_config.ts";
import { parseOptions } from "../../src/config/options.ts";
import type { Log } from "../../src/log/log.ts";
import { formatPrefix } from "../../src/model/address.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import { FolderWatch } from "../../src/netlink/folder_watch.ts";
import { until } from "../double/overlay_rig.ts";

const log: Log = { write: () => {}, with: () => log };
/** Sooner than the file is read again by itself. */
const HEARD_MS = 1400;

/** Puts a version of the file in place as a cluster does: all at once, by a link that is renamed. */
async function swap(folder: string, version: string, text: string): Promise<void> {
  await Deno.mkdir(`${folder}/..${version}`);
  await Deno.writeTextFile(`${folder}/..${version}/net-conf.json`, text);
  await Deno.symlink(`..${version}`, `${folder}/..data_tmp`);
  await Deno.rename(`${folder}/..data_tmp`, `${folder}/..data`);
}

const ways: [
  what: string,
  first: (folder: string) => Promise<void>,
  second: (folder: string) => Promise<void>,
][] = [
  [
    "a ConfigMap's file, which a cluster swaps",
    async (folder) => {
      await swap(folder, "1", '{"Network": "10.99.0.0/16"}');
      await Deno.symlink("..data/net-conf.json", `${folder}/net-conf.json`);
    },
    (folder) => swap(folder, "2", '{"Network": "10.244.0.0/16"}'),
  ],
  [
    "a file that is written",
    (folder) => Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "10.99.0.0/16"}'),
    (folder) => Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "10.244.0.0/16"}'),
  ],
  [
    "a file that another takes the place of",
    (folder) => Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "10.99.0.0/16"}'),
    async (folder) => {
      await Deno.writeTextFile(`${folder}/.new`, '{"Network": "10.244.0.0/16"}');
      await Deno.rename(`${folder}/.new`, `${folder}/net-conf.json`);
    },
  ],
];

for (const [what, first, second] of ways) {
  Deno.test(`openConfigWatch() hears at once of ${what}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "loden-config-" });
    using libc = new Libc();
    const controller = new AbortController();
    const { signal } = controller;
    try {
      await using folders = FolderWatch.open(libc);
      await first(folder);
      const outcome = parseOptions([`-net-config-path=${folder}/net-conf.json`], {});
      assert(outcome.kind === "run");
      const { options } = outcome;
      const watch = openConfigWatch(await readConfigFile(options, log), {
        options,
        place: {
          name: "local",
          isOnDisk: true,
          hosts: [],
          open: () => fail("nobody opens it"),
          [Symbol.dispose]: () => {},
        },
        watchFiles: (path, changed) => folders.add(dirname(path), basename(path), changed),
        held: () => [],
        log,
      });
      await using _file = runBeside("file watch", (options) => folders.run(options), { signal, log });
      await using _watch = runBeside("watch", (options) => watch.run(options), { signal, log });
      await second(folder);
      const startedMs = performance.now();
      await until("see it read", () => watch.isOther || undefined);
      const ms = performance.now() - startedMs;
      assert(ms < HEARD_MS, `it took ${ms} ms`);
      assertEquals(formatPrefix(watch.latest.config.families[0]!.network), "10.244.0.0/16");
    } finally {
      controller.abort();
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("runBeside() ends its loop when it is disposed of", async () => {
  let isRunning = false;
  {
    await using _loop = runBeside("loop", async ({ signal }) => {
      isRunning = true;
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      isRunning = false;
    }, { signal: new AbortController().signal, log });
    assertEquals(isRunning, true);
  }
  assertEquals(isRunning, false);
});
