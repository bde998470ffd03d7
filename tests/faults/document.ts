import { formatTable } from "../../src/lab/table.ts";
import { describeMachine } from "../bench/machine.ts";
import { REGISTRIES, type RegistryName } from "../double/overlay_registries.ts";
import { agentCommand } from "../double/overlay_rig.ts";
import { FAULTS } from "./faults.ts";
import type { Outcome } from "./run_fault.ts";
import { applies, KINDS, type Mode, MODES } from "./site.ts";
import { registriesOf, type StandingFault } from "./standing_faults.ts";

/** The document that the tables are in; all else in it is written by hand. */
export const DOCUMENT = new URL("../../.github/FAULTS.md", import.meta.url);
/** In a cell: with this mode and these families there is no such object. */
export const NO_OBJECT = "–";

/** A fault with 1,000 peers, and what came of it. */
export interface ScaleOutcome {
  readonly name: string;
  /** The backend and the family. */
  readonly where: string;
  /** Of several rounds. */
  readonly timesMs: readonly number[];
}

/** What came of every fault, by `outcomeKey()` or `standingKey()`. */
export type Outcomes = ReadonlyMap<string, Outcome>;

/** The name of one cell of the matrix. */
export function outcomeKey(mode: Mode, kind: string, fault: string): string {
  return `${mode}, ${kind}: ${fault}`;
}

/** The tables of the matrix, one a mode. A cell: ms until whole, packets lost elsewhere, packets lost on the way. */
export async function formatMatrix(outcomes: Outcomes): Promise<string[]> {
  const lines = [await figuresFrom(), ""];
  for (const mode of MODES) {
    const rows = [["fault", "hit", ...KINDS.map(({ name }) => name)]];
    for (const fault of FAULTS) {
      const cells = KINDS.map(({ name, families }) => {
        if (!applies(fault, mode, families)) return NO_OBJECT;
        const outcome = outcomes.get(outcomeKey(mode, name, fault.name));
        return outcome === undefined ? "" : formatOutcome(outcome);
      });
      if (cells.some((cell) => cell !== NO_OBJECT)) rows.push([fault.name, fault.reach, ...cells]);
    }
    lines.push(`### ${mode}`, "", ...markdownTable(rows), "");
  }
  return lines;
}

/** The name of one cell of the table by registry. */
export function standingKey(registry: RegistryName, fault: string): string {
  return `${registry}: ${fault}`;
}

/** Who may lose packets. */
export function reachOf({ hits }: StandingFault): string {
  return ["nobody", "host", "two hosts", "all"][hits.length]!;
}

/** A table by registry; cells as in the matrix. */
export async function formatStanding(
  faults: readonly StandingFault[],
  outcomes: Outcomes,
): Promise<string[]> {
  const rows = faults.map((fault) => {
    const cells = REGISTRIES.map((registry) => {
      if (!registriesOf(fault, REGISTRIES).includes(registry)) return NO_OBJECT;
      const outcome = outcomes.get(standingKey(registry, fault.name));
      return outcome === undefined ? "" : formatOutcome(outcome);
    });
    return [fault.name, reachOf(fault), ...cells];
  });
  return [await figuresFrom(), "", ...markdownTable([["fault", "hit", ...REGISTRIES], ...rows])];
}

/** The table of faults with many peers. */
export async function formatScale(outcomes: readonly ScaleOutcome[]): Promise<string[]> {
  const rows = outcomes.map(({ name, where, timesMs }) => {
    const sorted = timesMs.toSorted((a, b) => a - b);
    return [
      name,
      where,
      ...[sorted[0]!, sorted[sorted.length >> 1]!, sorted.at(-1)!].map((ms) => ms.toFixed(0)),
    ];
  });
  return [
    await figuresFrom(),
    "",
    ...markdownTable([["fault", "where", "best", "median", "worst"], ...rows]),
  ];
}

async function figuresFrom(): Promise<string> {
  const agent = agentCommand.length === 2 ? "compiled binary" : "from source";
  return `${await describeMachine()}; agent: ${agent}.`;
}

function formatOutcome({ wholeAfterMs, lostElsewhere, lostOnWay }: Outcome): string {
  const lost = Number.isInteger(lostOnWay) ? String(lostOnWay) : lostOnWay.toFixed(1);
  return `${wholeAfterMs.toFixed(wholeAfterMs < 10 ? 1 : 0)} · ${lostElsewhere} · ${lost}`;
}

/** A table of Markdown; the first row is the heading. */
export function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const [heading, ...rest] = formatTable(rows.map((row) => row.flatMap((cell) => ["|", cell]).concat("|")))
    .map((line) => line.replaceAll("|  ", "| ").replaceAll("  |", " |"));
  return [heading!, heading!.replaceAll(/[^|]/g, "-").replaceAll(/(?<=\|)-|-(?=\|)/g, " "), ...rest];
}

/** The lines of the document between the marks of a section. */
export function sectionOf(text: string, name: string, document = DOCUMENT): string {
  const [from, to] = marks(name);
  const start = text.indexOf(from);
  const end = text.indexOf(to);
  if (start < 0 || end < start) {
    throw new Error(`Cannot find section ${name} in ${document.pathname}: no marks`);
  }
  return text.slice(start + from.length, end);
}

/** Writes lines between the marks of a section. */
export async function writeSection(
  name: string,
  lines: readonly string[],
  document = DOCUMENT,
): Promise<void> {
  const text = await Deno.readTextFile(document);
  const [from, to] = marks(name);
  const section = sectionOf(text, name, document);
  const body = `\n\n${lines.join("\n").trim()}\n\n`;
  await Deno.writeTextFile(document, text.replace(from + section + to, () => from + body + to));
}

function marks(name: string): [from: string, to: string] {
  return [`<!-- ${name}: written by LODEN_WRITE=1 deno task test:faults -->`, `<!-- end of ${name} -->`];
}
