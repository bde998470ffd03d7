import { assertEquals } from "@std/assert";
import { MINIFIER, MINIFY, withLateImports } from "../../.ci/compile.ts";
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
