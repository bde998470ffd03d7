import { assertEquals, assertMatch } from "@std/assert";
import { hostsOf, withOverlay } from "../double/overlay_rig.ts";
import { DOCUMENT, formatMatrix, NO_OBJECT, outcomeKey, sectionOf, writeSection } from "./document.ts";
import { FAULTS } from "./faults.ts";
import { HostState } from "./host_state.ts";
import { type Outcome, runFault } from "./run_fault.ts";
import { applies, BACKENDS, KINDS, MODES } from "./site.ts";
import { AGENT_FLAGS, startHosts } from "./start_hosts.ts";

/** Milliseconds, packets lost elsewhere, which are none, packets lost on the way. */
const CELL = /^\d+(?:\.\d)? · 0 · \d+(?:\.\d)?$/;
const outcomes = new Map<string, Outcome>();

/** All of it takes minutes; hosts of both families meet every fault too. */
const isWhole = Deno.env.get("LODEN_FAULTS") === "all";
const kinds = isWhole ? KINDS : KINDS.filter(({ families }) => families.length === 2);

for (const mode of MODES) {
  for (const { name: kind, families, network } of kinds) {
    Deno.test(`${mode}, ${kind}: after any fault of a host all is as before, and others lose no packet`, async (t) => {
      const networkConfig = { ...network, Backend: BACKENDS[mode] };
      await withOverlay({ families, networkConfig, withAgents: false }, async (lab, libc) => {
        await using _disks = await startHosts(lab, libc);
        const [host, peer] = hostsOf(lab);
        for (const fault of FAULTS) {
          if (!applies(fault, mode, families)) continue;
          const isRepaired = await t.step(fault.name, async () => {
            const site = { lab, libc, host, peer, agentFlags: AGENT_FLAGS, state: new HostState(host) };
            outcomes.set(outcomeKey(mode, kind, fault.name), await runFault(fault, site));
          });
          // What is not whole tells nothing about the next fault.
          if (!isRepaired) break;
        }
      });
    });
  }
}

Deno.test("every fault of the matrix was made, and its row can be written", async () => {
  const lines = await formatMatrix(outcomes);
  // deno-lint-ignore no-console
  console.log(lines.join("\n"));
  const missing = MODES.flatMap((mode) =>
    kinds.flatMap(({ name, families }) =>
      FAULTS.filter((fault) => applies(fault, mode, families)).map((fault) =>
        outcomeKey(mode, name, fault.name)
      )
    )
  ).filter((key) => !outcomes.has(key));
  assertEquals(missing, []);
  if (isWhole && Deno.env.get("LODEN_WRITE") === "1") await writeSection("matrix", lines);
});

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
