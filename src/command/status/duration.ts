import { UsageError } from "../../config/usage_error.ts";

/** Milliseconds in each unit of a duration. */
const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Milliseconds of a duration as Go writes it: `30s`, `5m`, `1h30m`, `1.5s`; seconds where a number stands alone.
 *
 * @throws {UsageError} If it is none.
 */
export function parseDuration(flag: string, text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text) * 1000;
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    throw new UsageError(
      `Cannot read --${flag}: must be a duration, as 30s or 5m, is ${JSON.stringify(text)}`,
    );
  }
  let ms = 0;
  for (const [, number, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)) {
    ms += Number(number) * UNITS[unit!]!;
  }
  return ms;
}
