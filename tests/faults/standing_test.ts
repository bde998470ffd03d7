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
import { registriesOf, STANDING_FAULTS } from "./standing_faults.ts";

/** Milliseconds, packets lost elsewhere, which are none, packets lost on the way. */
const CELL = /^\d+(?:\.\d)? · 0 · \d+(?:\.\d)?$/;
/** A registry knows a host by its address in etcd alone, so most is to be seen there. */
const USUAL: readonly RegistryName[] = ["etcd"];
const isWhole = Deno.env.get("LODEN_FAULTS") === "all";
const outcomes = new Map<string, Outcome>();
const made = STANDING_FAULTS.flatMap((fault) =>
  registriesOf(fault, isWhole || fault.isOnAll ? REGISTRIES : USUAL).map((registry) => ({ fault, registry }))
);

for (const { fault, registry } of made) {
  Deno.test(`${fault.name}: all is as before, and others lose no packet (${registry})`, async () => {
    outcomes.set(standingKey(registry, fault.name), await runStanding(fault, registry, isWhole ? 2 : 1));
  });
}

Deno.test("everything that can happen to who a host is was made, and its row can be written", async () => {
  const lines = await formatStanding(outcomes);
  // deno-lint-ignore no-console
  console.log(lines.join("\n"));
  const missing = made.map(({ fault, registry }) => standingKey(registry, fault.name))
    .filter((key) => !outcomes.has(key));
  assertEquals(missing, []);
  if (isWhole && Deno.env.get("LODEN_WRITE") === "1") await writeSection("standing", lines);
});

Deno.test("the document has one row for all that can happen to who a host is, with figures for each registry", async () => {
  const section = sectionOf(await Deno.readTextFile(DOCUMENT), "standing");
  const rows = section.split("\n").filter((line) => line.startsWith("| ")).slice(2)
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  assertEquals(
    rows.map(([name, reach]) => [name, reach]),
    STANDING_FAULTS.map((fault) => [fault.name, reachOf(fault)]),
    "rows: write them with LODEN_WRITE=1 deno task test:faults",
  );
  for (const [row, fault] of STANDING_FAULTS.entries()) {
    for (const [column, registry] of REGISTRIES.entries()) {
      const cell = rows[row]![column + 2]!;
      const isThere = registriesOf(fault, REGISTRIES).includes(registry);
      if (isThere) assertMatch(cell, CELL, standingKey(registry, fault.name));
      else assertEquals(cell, NO_OBJECT, standingKey(registry, fault.name));
    }
  }
});
