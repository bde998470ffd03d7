import { assertEquals } from "@std/assert";
import { metricFamilies } from "../../src/status/metrics.ts";
import { WHOLE } from "../double/whole_figures.ts";

const DOCUMENT = new URL("../../docs/metrics.md", import.meta.url);
const MARK = "<!-- The table is written by tests/status/metrics_document_test.ts. -->";

/** The table of all that is measured. */
function table(): string {
  const rows = metricFamilies(WHOLE, 0).map(({ name, type, help, samples }) => {
    const labels = Object.keys(samples[0]?.labels ?? {}).map((label) => `\`${label}\``).join(", ");
    return `| <a id="${name}"></a>\`${name}\` | ${type} | ${labels} | ${help} |`;
  });
  return ["| name | type | labels | what it says |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

Deno.test("docs/metrics.md has each metric with its labels and what it says", async () => {
  const [before, , after] = (await Deno.readTextFile(DOCUMENT)).split(MARK);
  const text = [before, `\n\n${table()}\n\n`, after].join(MARK);
  if (Deno.env.get("LODEN_WRITE") === "1") await Deno.writeTextFile(DOCUMENT, text);
  assertEquals(
    await Deno.readTextFile(DOCUMENT),
    text,
    "LODEN_WRITE=1 deno test -A tests/status/metrics_document_test.ts writes it anew",
  );
});

Deno.test("a metric has one sentence", () => {
  for (const { name, help } of metricFamilies(WHOLE, 0)) {
    assertEquals(/^[A-Z0-9][^|\n]{5,140}\.$/.test(help), true, `${name}: ${help}`);
  }
});
