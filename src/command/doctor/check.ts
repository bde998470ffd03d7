import { errorText } from "../../log/error_text.ts";
import { within, withinHearing } from "../../loop/pause.ts";
import { type Finding, type Said, unseen } from "./finding.ts";
import type { DoctorPlace } from "./place.ts";

/** One thing that is looked at. */
export interface Check {
  /** What it is called in the output: lower case, with dashes. */
  readonly name: string;
  /** What it may take, in milliseconds; 2000 unless told. */
  readonly limitMs?: number;
  /** Whether the others wait for it a little: it asks somebody who answers at once, and they may hold this process up. */
  readonly isFirst?: true;
  readonly look: (place: DoctorPlace) => Promise<readonly Said[]>;
}

/** What a check may take unless it says otherwise. */
const LIMIT_MS = 2000;
/** What the others wait for the first ones. */
const FIRST_MS = 500;
/** What all of them may take. */
const ALL_MS = 8000;

/** A check: what is read of the host, and a pure judge of that. */
export function check<T>(
  name: string,
  read: (place: DoctorPlace) => T | Promise<T>,
  judge: (value: T) => Said | readonly Said[],
  options: { readonly limitMs?: number; readonly isFirst?: true } = {},
): Check {
  return {
    name,
    ...options,
    look: async (place) => [judge(await read(place))].flat(),
  };
}

/**
 * Makes all checks side by side, and yields what they find in their order. One that fails, or takes too long, is told as not
 * looked at, and hides no other.
 */
export async function* runChecks(
  checks: readonly Check[],
  place: DoctorPlace,
  { signal, allMs = ALL_MS }: { readonly signal: AbortSignal; readonly allMs?: number },
): AsyncGenerator<Finding> {
  const startedMs = performance.now();
  const look = (one: Check, leftMs: number) => looked(one, place, { signal, allMs: leftMs });
  const first = new Map(checks.filter(({ isFirst }) => isFirst).map((one) => [one, look(one, allMs)]));
  let leftMs = allMs;
  if (first.size > 0) {
    await within(Promise.all(first.values()), Math.min(FIRST_MS, allMs));
    leftMs = Math.max(allMs - (performance.now() - startedMs), 0);
  }
  const looks = checks.map((one) => first.get(one) ?? look(one, leftMs));
  for (const [at, { name }] of checks.entries()) {
    const said = await looks[at]!;
    signal.throwIfAborted();
    for (const one of said) yield { check: name, ...one };
  }
}

async function looked(
  one: Check,
  place: DoctorPlace,
  { signal, allMs }: { readonly signal: AbortSignal; readonly allMs: number },
): Promise<readonly Said[]> {
  const limitMs = Math.min(one.limitMs ?? LIMIT_MS, allMs);
  try {
    const look = Promise.try(() => one.look(place));
    // It may fail when nobody waits any more.
    look.catch(() => {});
    return await withinHearing(look, limitMs) ?? [tooLate(limitMs)];
  } catch (error) {
    if (signal.aborted) return [];
    return [unseen(errorText(error))];
  }
}

function tooLate(limitMs: number): Said {
  return unseen(
    `it was not seen within ${Number((limitMs / 1000).toPrecision(2))} s`,
    "see what hangs there, and look again",
  );
}
