import { assertEquals, assertMatch } from "@std/assert";
import { REGISTRIES, type RegistryName } from "../double/overlay_registries.ts";
import {
  DOCUMENT,
  formatStanding,
  NO_OBJECT,
  reachOf,
  sectionOf,
  standingKey,
  writeSection,
} from "./document.ts";
import type { Outcome } from "./run_fault.ts";
import { runStanding } from "./run_standing.ts";
import { registriesOf, type StandingFault } from "./standing_faults.ts";

/** Milliseconds, packets lost elsewhere, which are none, packets lost on the way. */
const CELL = /^\d+(?:\.\d)? · 0 · \d+(?:\.\d)?$/;
/** A registry knows a host by its address in etcd alone, so most is to be seen there. */
const USUAL: readonly RegistryName[] = ["etcd"];

/**
 * Defines a test for each fault and registry, one that writes the table, and one that the document has it.
 *
 * @param section Where the table is in the document.
 * @param subject What the faults are about, as the names of the tests have it.
 */
export function testStanding(section: string, subject: string, faults: readonly StandingFault[]): void {
  const isWhole = Deno.env.get("LODEN_FAULTS") === "all";
  const outcomes = new Map<string, Outcome>();
  const made = faults.flatMap((fault) => {
    const usual = registriesOf(fault, REGISTRIES).filter((name) => USUAL.includes(name));
    const some = fault.isOnAll || usual.length === 0 ? registriesOf(fault, REGISTRIES) : usual;
    return (isWhole ? registriesOf(fault, REGISTRIES) : some).map((registry) => ({ fault, registry }));
  });

  for (const { fault, registry } of made) {
    Deno.test(`${fault.name}: all is as before, and others lose no packet (${registry})`, async () => {
      outcomes.set(standingKey(registry, fault.name), await runStanding(fault, registry, isWhole ? 2 : 1));
    });
  }

  Deno.test(`everything that can happen to ${subject} was made, and its row can be written`, async () => {
    const lines = await formatStanding(faults, outcomes);
    // deno-lint-ignore no-console
    console.log(lines.join("\n"));
    const missing = made.map(({ fault, registry }) => standingKey(registry, fault.name))
      .filter((key) => !outcomes.has(key));
    assertEquals(missing, []);
    if (isWhole && Deno.env.get("LODEN_WRITE") === "1") await writeSection(section, lines);
  });

  Deno.test(`the document has one row for all that can happen to ${subject}, with figures for each registry`, async () => {
    const rows = sectionOf(await Deno.readTextFile(DOCUMENT), section).split("\n")
      .filter((line) => line.startsWith("| ")).slice(2)
      .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
    assertEquals(
      rows.map(([name, reach]) => [name, reach]),
      faults.map((fault) => [fault.name, reachOf(fault)]),
      "rows: write them with LODEN_WRITE=1 deno task test:faults",
    );
    for (const [row, fault] of faults.entries()) {
      for (const [column, registry] of REGISTRIES.entries()) {
        const cell = rows[row]![column + 2]!;
        const isThere = registriesOf(fault, REGISTRIES).includes(registry);
        if (isThere) assertMatch(cell, CELL, standingKey(registry, fault.name));
        else assertEquals(cell, NO_OBJECT, standingKey(registry, fault.name));
      }
    }
  });
}
