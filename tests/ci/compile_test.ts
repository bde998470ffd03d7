import { assertEquals, assertThrows } from "@std/assert";
import { MINIFIER, MINIFY, withLateImports, withPluginAlone } from "../../.ci/compile.ts";
import { LOCKED } from "../../.ci/run.ts";

Deno.test("what a CommonJS module exports is there where a bundle imports it at run time, and other imports stay", () => {
  const chunks = new Map([
    ["sts-AB.js", "var require_sts = …;\nexport default require_sts();\n"],
    ["other-CD.js", "export { other };\n"],
    [
      "main.js",
      'const { a } = await import("./sts-AB.js");\nawait import("./other-CD.js");\nimport("./sts-AB.js").then((m) => m.default);\n',
    ],
  ]);
  const mended = withLateImports(chunks);
  assertEquals(
    mended.get("main.js"),
    'const { a } = await import("./sts-AB.js").then((chunk) => chunk.default);\nawait import("./other-CD.js");\n' +
      'import("./sts-AB.js").then((m) => m.default);\n',
  );
  assertEquals(mended.get("sts-AB.js"), chunks.get("sts-AB.js"));
});

const ENTRY = 'import "./chunk-AB.js";\nimport "./chunk-CD.js";\nimport process from "node:process";\n' +
  'await import("./plugin-EF.js");\nawait import("./main-GH.js");\n';
const CHUNKS = new Map([
  ["mod.js", ENTRY],
  ["chunk-AB.js", "var __esm = 1;\nvar __export = 2;\nexport {\n  __esm,\n  __export\n};\n"],
  ["chunk-CD.js", "globalThis.x = 1;\nexport {\n  __esm,\n  other\n};\n"],
  ["plugin-EF.js", 'import "./chunk-CD.js";\n'],
  ["main-GH.js", "export { main };\n"],
]);

Deno.test("the plugin is one chunk of a binary, and the entry names no chunk for nothing", () => {
  const mended = withPluginAlone(CHUNKS, "plugin");
  assertEquals(
    mended.get("mod.js"),
    'import "./chunk-CD.js";\nimport process from "node:process";\nawait import("./plugin.js");\nawait import("./main-GH.js");\n',
  );
  assertEquals([...mended.keys()].sort(), [
    "chunk-AB.js",
    "chunk-CD.js",
    "main-GH.js",
    "mod.js",
    "plugin.js",
  ]);
  assertEquals(mended.get("plugin.js"), "plugin");
});

Deno.test("a chunk of the plugin that others load, too, stays beside the one that is the plugin's own", () => {
  const mended = withPluginAlone(
    new Map([...CHUNKS, ["main-GH.js", 'import "./plugin-EF.js";\n']]),
    "plugin",
  );
  assertEquals(mended.get("plugin-EF.js"), CHUNKS.get("plugin-EF.js"));
});

Deno.test("an entry that does not load the plugin when it runs makes no binary", () => {
  assertThrows(
    () => withPluginAlone(new Map([["mod.js", "main();\n"]]), "plugin"),
    Error,
    "does not load the plugin",
  );
});

Deno.test("what is to be disposed of behind one use is disposed of in a binary, too", async () => {
  const text = "export function f(open) { using a = open(); return a.value; }";
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", ...LOCKED, MINIFIER, ...MINIFY],
    cwd: new URL("../..", import.meta.url).pathname,
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { stdout } = await child.output();
  const { f } = await import(`data:text/javascript,${encodeURIComponent(new TextDecoder().decode(stdout))}`);
  let disposed = 0;
  assertEquals(f(() => ({ value: 7, [Symbol.dispose]: () => disposed++ })), 7);
  assertEquals(disposed, 1);
});
