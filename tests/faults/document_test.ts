import { assertEquals, assertMatch } from "@std/assert";
import { DOCUMENT, NO_OBJECT, sectionOf } from "./document.ts";
import { FAULTS } from "./faults.ts";
import { applies, KINDS, MODES } from "./site.ts";

/** Milliseconds, packets lost elsewhere, which are none, packets lost on the way. */
const CELL = /^\d+(?:\.\d)? · 0 · \d+(?:\.\d)?$/;

Deno.test("the document has one row for each fault of each mode, with figures wherever there is such an object", async () => {
  const section = sectionOf(await Deno.readTextFile(DOCUMENT), "matrix");
  const tables = section.split(/^### /m).slice(1);
  assertEquals(tables.map((table) => table.split("\n", 1)[0]), [...MODES]);
  for (const [index, mode] of MODES.entries()) {
    const rows = tables[index]!.split("\n").filter((line) => line.startsWith("| ")).slice(2)
      .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
    const faults = FAULTS.filter((fault) => KINDS.some(({ families }) => applies(fault, mode, families)));
    assertEquals(
      rows.map(([name, reach]) => [name, reach]),
      faults.map(({ name, reach }) => [name, reach]),
      `rows of ${mode}: write them with LODEN_WRITE=1 deno task test:faults`,
    );
    for (const [row, fault] of faults.entries()) {
      for (const [column, { name, families }] of KINDS.entries()) {
        const cell = rows[row]![column + 2]!;
        if (applies(fault, mode, families)) assertMatch(cell, CELL, `${mode}, ${name}: ${fault.name}`);
        else assertEquals(cell, NO_OBJECT, `${mode}, ${name}: ${fault.name}`);
      }
    }
  }
});
