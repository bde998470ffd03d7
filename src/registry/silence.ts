import { pause } from "../loop/pause.ts";

/** Each holder of a lease shows a sign of life this often. */
export const BEAT_MS = 10_000;
/** So many signs may be missed before others take a holder for gone. */
const MISSED_BEATS = 3;

/** How long a holder that shows a sign of life every `beatMs` has to be silent to be gone. */
export function silenceMs(beatMs: number): number {
  return beatMs * MISSED_BEATS;
}

/** A look is repeated at the latest after this long: most who live show it sooner. */
const LOOK_MS = 2000;
/** Ages are told in whole seconds. */
const ROUNDING_MS = 1000;

/**
 * Finds out whether the holder of a lease is gone: it has shown no sign of life for `silentMs`. A holder that shows
 * one meanwhile lives.
 *
 * @param ageSeconds Seconds since the last sign of life; `undefined` where the lease has ended.
 * @param options.waits Whether a holder that may be gone is waited for; else it counts as living.
 */
export async function untilSilent(
  ageSeconds: () => Promise<number | undefined>,
  options: {
    readonly silentMs: number;
    readonly waits: boolean;
    /** Called before the first pause. */
    readonly waiting?: () => void;
    /** Stands in for the clock in tests. */
    readonly pause?: typeof pause;
  },
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const { silentMs, waits, waiting, pause: wait = pause } = options;
  let lastMs = -Infinity;
  let waitedMs = 0;
  for (;;) {
    const seconds = await ageSeconds();
    if (seconds === undefined) return true;
    const ageMs = seconds * 1000;
    if (ageMs >= silentMs) return true;
    // Younger than before, or than it would be by now: there was a sign of life in between.
    if (!waits || ageMs + ROUNDING_MS < lastMs || waitedMs > silentMs + ROUNDING_MS) return false;
    if (waitedMs === 0) waiting?.();
    lastMs = ageMs;
    const waitMs = Math.min(silentMs - ageMs, LOOK_MS);
    waitedMs += waitMs;
    await wait(waitMs, { signal });
    signal.throwIfAborted();
  }
}
