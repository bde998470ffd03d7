/** The next turn has more to do at once. */
const REST_MS = 1;
/**
 * It is so many times as long as the turn was, so that passes have this thread for most of the time, whoever asks; but no
 * longer than this: on a busy host a turn takes long because of others, and a probe amid a flood must be heard.
 */
const REST_TIMES = 3;
const MAX_REST_MS = 4;

/** How long others have the thread behind a turn in which many went on. */
export function restMs(tookMs: number): number {
  return Math.min(Math.max(REST_MS, REST_TIMES * tookMs), MAX_REST_MS);
}
