import type { Log } from "../log/log.ts";
import { pause } from "../lease/pause.ts";

/** A loop that ended by itself is started again after this long, doubled each time. */
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;

/**
 * Runs a loop until `signal` aborts, and starts it again when it fails: a fault that can pass never ends the
 * process.
 */
export async function keepRunning(
  name: string,
  loop: (options: { signal: AbortSignal }) => Promise<void>,
  options: { signal: AbortSignal; log: Log },
): Promise<void> {
  const { signal, log } = options;
  for (let retryMs = FIRST_RETRY_MS; !signal.aborted; retryMs = Math.min(retryMs * 2, LAST_RETRY_MS)) {
    try {
      await loop({ signal });
    } catch (error) {
      if (signal.aborted) return;
      const reason = errorText(error);
      log.write("error", "loop failed", { loop: name, reason, retryInMs: retryMs });
    }
    await pause(retryMs, { signal });
  }
}

/** What an error says, whatever was thrown. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
