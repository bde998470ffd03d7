import { pause } from "../loop/pause.ts";

/** Time between two looks at a condition. */
const LOOK_EVERY_MS = 20;

/** How long to wait, and what ends the wait early. */
export interface WaitOptions {
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

/**
 * Waits until `look` finds what it looks for, and returns that.
 *
 * @param action What is being waited for, as a verb phrase: `reach h2 from h1`.
 * @throws {Error} If it is not found in time, with what `state` says about it.
 * @throws The signal's reason, once it aborts.
 */
export async function waitUntil<T>(
  action: string,
  look: () => T | undefined | Promise<T | undefined>,
  options: WaitOptions,
  state: () => string = () => "it has not come about",
): Promise<T> {
  const { deadlineMs, signal } = options;
  const endsAt = performance.now() + deadlineMs;
  for (;;) {
    signal.throwIfAborted();
    const found = await look();
    signal.throwIfAborted();
    if (found !== undefined) return found;
    if (performance.now() >= endsAt) {
      throw new Error(`Cannot ${action} within ${deadlineMs / 1000} s: ${state()}`);
    }
    await pause(LOOK_EVERY_MS, { signal });
  }
}
