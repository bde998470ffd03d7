import { waitUntil } from "../../src/lab/wait.ts";

/** From the end of the one that a process is tied to. */
const DEADLINE_MS = 10_000;

/** Reports whether a process runs: one that has ended, and that nobody has asked for its end, does not. */
export function isRunning(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2));
  } catch {
    return false;
  }
}

/** Waits until processes have ended; those that do not are killed, and the wait fails. */
export async function untilGone(pids: readonly number[]): Promise<void> {
  const { signal } = new AbortController();
  const running = () => pids.filter(isRunning);
  try {
    await waitUntil(
      "see processes end",
      () => running().length === 0 || undefined,
      { deadlineMs: DEADLINE_MS, signal },
      () => `${running().join(", ")} run`,
    );
  } finally {
    for (const pid of running()) Deno.kill(pid, "SIGKILL");
  }
}
