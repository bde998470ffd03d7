import type { DroppedPacket, TraceEvent } from "../../linux/drop_trace.ts";
import { ARRIVED, dropWords } from "./drop_words.ts";

/** Reasons that are told of. */
const MOST_REASONS = 10;

/** What else was dropped meanwhile, by reason and place, the most first. */
export function heard(
  events: readonly TraceEvent[],
): readonly (readonly [what: string, some: readonly DroppedPacket[]])[] {
  const drops = events.filter((event): event is DroppedPacket =>
    event.kind === "drop" && !ARRIVED.has(event.reason) && event.reason !== "NOT_SPECIFIED"
  );
  return [...Map.groupBy(drops, ({ reason, place }) => `${reason} in ${place}`)]
    .sort(([, a], [, b]) => b.length - a.length);
}

/** The same for a person. */
export function heardLines(events: readonly TraceEvent[], listenMs: number): string[] {
  const counted = heard(events);
  const all = counted.reduce((sum, [, some]) => sum + some.length, 0);
  const lost = events.some(({ kind }) => kind === "lost") ? ", and more than could be read" : "";
  const head = `in ${listenMs / 1000} s the kernel dropped ${all} other packets of this machine${lost}`;
  return [
    counted.length === 0 ? head : `${head}:`,
    ...counted.slice(0, MOST_REASONS)
      .map(([what, some]) => `  ${some.length} × ${what}: ${dropWords(some[0]!).text}`),
  ];
}
