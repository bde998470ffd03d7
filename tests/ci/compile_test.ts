import { assertEquals } from "@std/assert";
import { withLateImports } from "../../.ci/compile.ts";

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
