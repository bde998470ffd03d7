import { assertEquals } from "@std/assert";
import { REASONS } from "../../src/model/reasons.ts";

const ROOT = new URL("../../", import.meta.url);
const DOCUMENT = new URL("docs/conditions.md", ROOT);
const SEVERITIES = ["blocking", "degraded", "info"] as const;
const MEANING = {
  blocking: "The host is not ready: pods can't be started, or don't reach others.",
  degraded: "The host is ready; `/readyz` has a note.",
  info: "Nothing is wrong.",
};

/** The documentation's table of all codes. `LODEN_WRITE=1` writes it. */
function document(): string {
  const parts = SEVERITIES.map((severity) => {
    const rows = Object.entries(REASONS).filter(([, reason]) => reason.severity === severity)
      .map(([code, { cause, remedy }]) => `| <a id="${code}"></a>\`${code}\` | ${cause} | ${remedy} |`);
    return [
      `## ${severity}`,
      "",
      MEANING[severity],
      "",
      "| code | what is | what to do |",
      "| --- | --- | --- |",
      ...rows,
    ]
      .join("\n");
  });
  return `# What can be wrong with a host

Each thing that an operator may have to know has a code. \`/status\` lists those that hold, with a sentence about this host,
the time since when, and how often the code has come; \`/readyz\` has the sentences; the log says \`condition set\` and
\`condition cleared\`; \`/metrics\` has \`loden_condition{code, severity}\`. A code is never renamed.

${parts.join("\n\n")}
`;
}

Deno.test("docs/conditions.md lists every code with what to do", async () => {
  if (Deno.env.get("LODEN_WRITE") === "1") await Deno.writeTextFile(DOCUMENT, document());
  assertEquals(
    await Deno.readTextFile(DOCUMENT),
    document(),
    "LODEN_WRITE=1 deno test -A tests/model/reasons_test.ts writes it anew",
  );
});

Deno.test("every code is set by the program, and expected by a test", async () => {
  const used = async (folder: string): Promise<string> => {
    const texts: string[] = [];
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      if (entry.isDirectory) texts.push(await used(`${folder}${entry.name}/`));
      else if (entry.name.endsWith(".ts") && entry.name !== "reasons.ts") {
        texts.push(await Deno.readTextFile(new URL(folder + entry.name, ROOT)));
      }
    }
    return texts.join("\n");
  };
  const [source, tests] = [await used("src/"), await used("tests/")];
  const lacks = (text: string) =>
    Object.keys(REASONS).filter((code) => !new RegExp(`["'\`]${code}\\b`).test(text));
  assertEquals({ notSet: lacks(source), notExpected: lacks(tests) }, { notSet: [], notExpected: [] });
});

for (const [code, { cause, remedy }] of Object.entries(REASONS)) {
  Deno.test(`${code} says what is and what to do, a sentence or two each, on one line`, () => {
    for (const text of [cause, remedy]) assertEquals(/^[A-Z][^\n|]{10,160}\.$/.test(text), true, text);
    assertEquals(/^[a-z]+(-[a-z]+)+$/.test(code), true);
  });
}
