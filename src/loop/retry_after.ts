/** No server is left alone for longer, whatever it asks for. */
const LONGEST_MS = 60_000;
/** A date of HTTP begins so; what else a machine may take for a date is none. */
const WEEKDAY = /^(?:mon|tue|wed|thu|fri|sat|sun)/i;

/**
 * How long the answer asks to be left alone, as seconds or as a date; `undefined` if it does not.
 *
 * Source: RFC 9110, section 10.2.3.
 *
 * @param options.nowMs This host's time, for an answer that does not tell its own.
 */
export function retryAfterMs(
  headers: Headers,
  { nowMs = Date.now(), longestMs = LONGEST_MS }: { readonly nowMs?: number; readonly longestMs?: number } =
    {},
): number | undefined {
  const text = headers.get("retry-after")?.trim() ?? "";
  const sentMs = dateOf(headers.get("date") ?? "");
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : dateOf(text) - (isNaN(sentMs) ? nowMs : sentMs);
  return ms > 0 ? Math.min(ms, longestMs) : undefined;
}

/** The moment that a date of HTTP means, in any of its three forms; `NaN` for anything else. */
function dateOf(text: string): number {
  if (!WEEKDAY.test(text)) return NaN;
  return Date.parse(/gmt$/i.test(text.trim()) ? text : `${text} GMT`);
}
