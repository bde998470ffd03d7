import { errorText } from "../../log/error_text.ts";
import { within } from "../../loop/pause.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import type { Redactor } from "./redactor.ts";
import type { TarFile } from "./tar.ts";

/** One thing that is collected. */
export interface Entry {
  /** Its path in the archive. */
  readonly name: string;
  /** What it may take, in milliseconds; 3000 unless told. */
  readonly limitMs?: number;
  /**
   * @returns Its text.
   * @throws {Error} If it can't be had: why, in one sentence.
   */
  readonly collect: (place: DoctorPlace) => string | Promise<string>;
}

/** What became of one entry. */
export interface Collected {
  readonly name: string;
  /** Absent if it was not collected. */
  readonly bytes?: number;
  /** Whether more of it is left out. */
  readonly isCut?: true;
  /** Why it was not collected. */
  readonly reason?: string;
}

/** What an entry may take unless it says otherwise. */
const LIMIT_MS = 3000;
/** A longer text is cut. */
const MAX_ENTRY_BYTES = 512 * 1024;
/** No more is collected in all. */
const MAX_BYTES = 4 << 20;

/**
 * Collects all entries side by side. What fails, hangs or is too much is told by name, and hides nothing else. Everything that
 * is collected, and each reason, has gone through the redactor.
 */
export async function collect(
  entries: readonly Entry[],
  place: DoctorPlace,
  options: { readonly redactor: Redactor | Promise<Redactor>; readonly signal: AbortSignal },
): Promise<{ readonly files: readonly TarFile[]; readonly collected: readonly Collected[] }> {
  const texts = entries.map((entry) => textOf(entry, place));
  const { signal } = options;
  const redactor = await options.redactor;
  const files: TarFile[] = [];
  const collected: Collected[] = [];
  let leftBytes = MAX_BYTES;
  for (const [at, { name }] of entries.entries()) {
    const found = await texts[at]!;
    signal.throwIfAborted();
    if ("reason" in found) {
      collected.push({ name, reason: redactor.hide(found.reason) });
      continue;
    }
    const hidden = new TextEncoder().encode(redactor.hide(found.text.slice(0, MAX_ENTRY_BYTES)));
    const bytes = hidden.subarray(0, leftBytes);
    const isCut = found.text.length > MAX_ENTRY_BYTES || bytes.length < hidden.length;
    leftBytes -= bytes.length;
    files.push({ name, bytes });
    collected.push({ name, bytes: bytes.length, ...isCut && { isCut } });
  }
  return { files, collected };
}

async function textOf(
  { collect, limitMs = LIMIT_MS }: Entry,
  place: DoctorPlace,
): Promise<{ readonly text: string } | { readonly reason: string }> {
  try {
    const text = Promise.try(() => collect(place));
    // It may fail when nobody waits any more.
    text.catch(() => {});
    const found = await within(text, limitMs);
    return found === undefined ? { reason: `it did not come within ${limitMs / 1000} s` } : { text: found };
  } catch (error) {
    return { reason: errorText(error) };
  }
}
