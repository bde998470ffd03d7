/** A timer cannot be set further ahead. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What ends a pause early. */
export interface PauseEnd {
  readonly signal?: AbortSignal;
  readonly woken?: Promise<void>;
}

/**
 * Waits for `ms`, or until `woken` settles or `signal` aborts, whichever comes first; the caller looks at the signal.
 */
export async function pause(ms: number, { signal, woken }: PauseEnd = {}): Promise<void> {
  // A signal that has aborted already tells nobody any more.
  if (signal?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, Math.max(ms, 0));
  signal?.addEventListener("abort", end, { once: true });
  woken?.then(end);
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", end);
}

/** Waits until `signal` aborts. */
export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** A timer that is later than this was held up with all else of the process. */
const HELD_UP_MS = 100;
/** So often what is waited for is given the time again that the process stood still. */
const HELD_UP_TIMES = 3;

/**
 * The same as {@linkcode within}, of time in which this process could hear: while its thread is held up, or it is halted, an
 * answer may lie there unread.
 */
export async function withinHearing<T>(promise: Promise<T>, deadlineMs: number): Promise<T | undefined> {
  let leftMs = deadlineMs;
  for (let times = 0; times <= HELD_UP_TIMES; times++) {
    const startedMs = performance.now();
    const found = await within(promise.then((value) => ({ value })), leftMs);
    if (found !== undefined) return found.value;
    const lateMs = performance.now() - startedMs - leftMs;
    if (lateMs < HELD_UP_MS) return undefined;
    leftMs = Math.min(lateMs, deadlineMs);
  }
  return undefined;
}

/** The value of `promise`, or `undefined` if it takes longer than `deadlineMs`. */
export async function within<T>(promise: Promise<T>, deadlineMs: number): Promise<T | undefined> {
  const ended = new AbortController();
  try {
    return await Promise.race([promise, pause(deadlineMs, ended).then(() => undefined)]);
  } finally {
    ended.abort();
  }
}
