import type { Libc } from "../../linux/libc.ts";
import type { ChainFacts } from "./facts.ts";
import type { LiveReport } from "./live_report.ts";
export function probeLive(
  _l: Libc,
  _f: ChainFacts,
  _o: { listenMs: number; signal: AbortSignal },
): Promise<LiveReport> {
  throw new Error("not yet");
}
