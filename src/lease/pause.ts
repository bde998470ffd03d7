/** A timer cannot be set further ahead. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Waits for `ms`, or until `woken` settles or `signal` aborts, whichever comes first; whoever waited looks at the signal.
 */
export async function pause(
  ms: number,
  options: { readonly signal: AbortSignal; readonly woken?: Promise<void> },
): Promise<void> {
  const { signal, woken } = options;
  // A signal that has aborted already tells nobody any more.
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener("abort", end, { once: true });
  woken?.then(end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
}
