import { assertEquals, assertMatch } from "@std/assert";
import { pluginOutlook } from "../../../src/command/hand_back/hand_back_plugin.ts";

const RENDERED = JSON.stringify({
  name: "cbr0",
  plugins: [{ type: "bridge", ipam: { type: "host-local" } }],
});

interface Case {
  readonly why: string;
  /** The files of folders. */
  readonly there: Readonly<Record<string, readonly string[]>>;
  /** The folder that the agent's flags name. */
  readonly named?: string;
  readonly expected: "well" | "obstacle" | "doubt";
}

const DELEGATES = ["bridge", "host-local"];
const cases: readonly Case[] = [
  { why: "it is there", there: { a: [...DELEGATES, "flannel"] }, expected: "well" },
  { why: "it is in the second folder", there: { a: [], b: ["flannel"] }, expected: "well" },
  { why: "it is missing where pods' plugins are", there: { a: [], b: DELEGATES }, expected: "obstacle" },
  { why: "the runtime's folder is another one", there: { a: ["loopback"] }, expected: "doubt" },
  { why: "there is no folder to look in", there: {}, expected: "doubt" },
  { why: "it is where it is said to be", there: { c: ["flannel"] }, named: "c", expected: "well" },
  { why: "it is elsewhere", there: { a: ["flannel"], c: [] }, named: "c", expected: "obstacle" },
  { why: "the named folder is not seen here", there: { a: ["flannel"] }, named: "c", expected: "doubt" },
];

for (const { why, there, named, expected } of cases) {
  Deno.test(`whether flannel's plugin can be called: ${why}`, async () => {
    const root = await Deno.makeTempDir({ prefix: "lodentest-backplugin-" });
    try {
      for (const [folder, names] of Object.entries(there)) {
        await Deno.mkdir(`${root}/${folder}`);
        for (const name of names) await Deno.writeTextFile(`${root}/${folder}/${name}`, "", { mode: 0o755 });
      }
      const usual = ["a", "b"].map((name) => `${root}/${name}`);
      for (const isVariable of named === undefined ? [false] : [false, true]) {
        const folder = named && `${root}/${named}`;
        const { obstacle, doubt } = pluginOutlook(
          {
            options: folder !== undefined && !isVariable ? { pluginFolder: folder } : {},
            environment: isVariable ? { CNI_BIN_DIR: folder } : {},
          },
          RENDERED,
          usual,
        );
        assertEquals([obstacle !== undefined, doubt !== undefined], [
          expected === "obstacle",
          expected === "doubt",
        ]);
        if (obstacle !== undefined) {
          assertMatch(obstacle, /^there is no plugin flannel in \S+\/[bc], so no pod/);
        }
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
}
