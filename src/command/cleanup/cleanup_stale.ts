import { Delegates } from "../../plugin/delegate.ts";
import { type HostFacts, readFacts } from "../../leftovers/leftover_facts.ts";
import { type Finding, findLeftovers, formatAddresses } from "../../leftovers/leftovers.ts";
import { release, type ReleaseDeps } from "../../agent/release.ts";
import { StateFolder } from "../../pods/state.ts";
import { fileReason } from "../../file/file_reason.ts";
import type { CleanupOptions } from "./cleanup_flags.ts";
import { errorText } from "../../log/error_text.ts";

/** What it needs of the process and the host. */
export interface StaleDeps {
  /** Writes one line. */
  readonly write: (text: string) => void;
  readonly host: () => HostFacts;
}

const HEADER = ["NETWORK", "CONTAINER", "LINK", "ADDRESS", "RESULT", "WHY"];
/** A container's id is shown up to this length, as runtimes show it. */
const SHOWN_ID_LENGTH = 13;

/**
 * Releases what pods that have vanished have left, and prints a table of it and a count of what was left alone.
 *
 * @returns Whether all of it was released.
 * @throws {Error} If it can't be found out what there is.
 */
export async function cleanUpStale(
  options: CleanupOptions,
  deps: StaleDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const state = new StateFolder(options.dataDir);
  const facts = read(() => readFacts({ ...options, state }, deps.host()));
  const findings = findLeftovers(facts);
  const stale = findings.filter(({ fate }) => fate === "stale");
  const releaseDeps: ReleaseDeps = { delegates: new Delegates(options.pluginFolders), state };
  const rows: string[][] = [];
  let failures = 0;
  for (const finding of stale) {
    signal.throwIfAborted();
    const { result, reason, isFailure } = options.isDryRun
      ? { result: "would be released", reason: finding.reason, isFailure: false }
      : await tryRelease(finding, releaseDeps);
    if (isFailure) failures++;
    rows.push([
      shown(finding.network),
      finding.containerId.slice(0, SHOWN_ID_LENGTH),
      shown(finding.ifname),
      formatAddresses(finding) || "-",
      result,
      reason,
    ]);
  }
  if (rows.length > 0) { for (const line of table([HEADER, ...rows])) deps.write(line); }
  deps.write(summary(findings, stale.length - failures, options.isDryRun));
  if (failures > 0) deps.write(`${failures} not released: mend what stands above and run this again`);
  for (const path of facts.unreadable) deps.write(`left alone: ${shown(path)} names no container`);
  return failures === 0;
}

function read<T>(body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw new Error(`Cannot look for leftovers: ${fileReason(error)}`);
  }
}

async function tryRelease(
  finding: Finding,
  deps: ReleaseDeps,
): Promise<{ result: string; reason: string; isFailure: boolean }> {
  const { reason } = finding;
  try {
    switch (await release(finding, deps)) {
      case "released":
        return { result: "released", reason, isFailure: false };
      case "gone":
        return { result: "gone already", reason, isFailure: false };
      case "changed":
        return { result: "left alone", reason: "its state has changed meanwhile", isFailure: false };
    }
  } catch (error) {
    return { result: "not released", reason: errorText(error), isFailure: true };
  }
}

function summary(findings: readonly Finding[], released: number, isDryRun: boolean): string {
  const counts = new Map<string, number>();
  const others = findings.filter(({ fate }) => fate !== "stale");
  // What is in use first, then the doubts as they came.
  const inOrder = [...others].sort((a, b) => Number(b.fate === "alive") - Number(a.fate === "alive"));
  for (const { reason } of inOrder) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const why = [...counts].map(([reason, count]) => `${count} ${reason}`).join("; ");
  const left = `${others.length} left alone${why === "" ? "" : `: ${why}`}`;
  return `${released} ${isDryRun ? "would be released" : "released"}, ${left}`;
}

/** Names that others chose, in ASCII. */
function shown(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]/g, "?");
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
}
