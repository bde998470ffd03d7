import { assert, assertEquals, fail } from "@std/assert";
import { basename, dirname } from "node:path";
import { AgentStart, openConfigWatch } from "../../src/agent/agent_start.ts";
import { PatientFiles } from "../../src/agent/patient_files.ts";
import { readConfigFile } from "../../src/agent/network_config.ts";
import type { NetworkConfig } from "../../src/config/network.ts";
import { parseOptions } from "../../src/config/options.ts";
import { Workers } from "../../src/loop/worker.ts";
import type { Log } from "../../src/log/log.ts";
import { formatPrefix } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { FolderWatch } from "../../src/linux/folder_watch.ts";
import { until } from "../double/overlay_rig.ts";

const log: Log = { write: () => {} };
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
      const watch = openConfigWatch(readConfigFile(options, log), {
        options,
        place: {
          name: "local",
          isOnDisk: true,
          hosts: [],
          open: () => fail("nobody opens it"),
          [Symbol.dispose]: () => {},
        },
        files: new PatientFiles(libc),
        watchFiles: (path, changed) => folders.add(dirname(path), basename(path), changed),
        held: () => [],
        log,
      });
      const workers = new Workers({ log });
      await using _file = workers.start({ name: "file watch", run: (options) => folders.run(options) }, {
        signal,
      });
      await using _watch = workers.start({ name: "watch", run: (options) => watch.run(options) }, { signal });
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

Deno.test("AgentStart waits while another agent has what the configuration asks for, and says so", async () => {
  const reading = {
    config: { families: [], backend: { type: "alloc" } } as unknown as NetworkConfig,
    text: "",
  };
  const answers = ["another agent of network 10.244.0.0/16 runs on this host", undefined];
  const heard: string[] = [];
  const start = new AgentStart({
    claims: { takeSubnetFile: () => false, take: () => answers.shift(), seesOthers: true },
    dropStale: () => fail("nothing beside the subnet file is this agent's"),
  });
  const watch = { use: () => reading, changed: Promise.resolve(), isApplied: true };
  const { signal } = new AbortController();
  const used = await start.begin(watch, ({ code, sentence }) => void heard.push(`${code}: ${sentence}`), {
    signal,
  });
  assertEquals([used, watch.isApplied], [reading, false]);
  assertEquals(heard, [
    "other-agent: another agent of network 10.244.0.0/16 runs on this host",
    "agent-starting: the agent is starting",
  ]);
});
