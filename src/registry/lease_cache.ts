import { errorText } from "../log/error_text.ts";
import {
  array,
  literal,
  maxLength,
  NEVER,
  nonnegative,
  nullable,
  number,
  object,
  optional,
  pipe,
  string,
  transform,
  unknown,
} from "zod/mini";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";

/** A larger file was not written by this program: 20,000 leases take 4 MiB. */
export const MAX_CACHE_BYTES = 64 * 1024 * 1024;

/** What was known last, for a start while the registry is away. */
export interface LeaseCache {
  /** Which registry it is from; of another one it says nothing. */
  readonly registry: string;
  /** The network configuration, where the registry keeps it. */
  readonly networkConfig: string | undefined;
  readonly own: Lease;
  readonly leases: readonly Lease[];
}

/** Text that `parse` understands. */
function parsed<T>(parse: (text: string) => T) {
  return pipe(
    string(),
    transform((text, context): T => {
      try {
        return parse(text);
      } catch (error) {
        const message = errorText(error);
        context.issues.push({ code: "custom", message, input: text });
        return NEVER;
      }
    }),
  );
}

const leaseSchema = pipe(
  object({
    host: string(),
    backendType: string(),
    parts: array(object({
      subnet: parsed(parsePrefix),
      underlayAddress: parsed(parseAddress),
      backendData: unknown(),
    })).check(maxLength(2)),
    expiresAtMs: optional(number().check(nonnegative())),
    since: optional(number()),
    dataSince: optional(number()),
    addressSince: optional(number()),
  }),
  transform(({ expiresAtMs, since, dataSince, addressSince, ...lease }): Lease => ({
    ...lease,
    ...expiresAtMs !== undefined && { expiresAtMs },
    ...since !== undefined && { since },
    ...dataSince !== undefined && { dataSince },
    ...addressSince !== undefined && { addressSince },
  })),
);

const headSchema = object({
  version: literal(1),
  registry: string(),
  networkConfig: nullable(string()),
  own: leaseSchema,
});

/** Writes what is known as lines of JSON: what concerns this host, then one line a lease. */
export function* formatLeaseCache({ registry, networkConfig, own, leases }: LeaseCache): Generator<string> {
  const written = ({ parts, ...lease }: Lease) => ({
    ...lease,
    parts: parts.map(({ subnet, underlayAddress, backendData }) => ({
      subnet: formatPrefix(subnet),
      underlayAddress: formatAddress(underlayAddress),
      backendData,
    })),
  });
  const head = { version: 1, registry, networkConfig: networkConfig ?? null, own: written(own) };
  yield `${JSON.stringify(head)}\n`;
  for (const lease of leases) yield `${JSON.stringify(written(lease))}\n`;
}

/**
 * Reads what `formatLeaseCache()` wrote. A line of another's lease that is damaged costs that lease only.
 *
 * @throws {SyntaxError} If the first line is anything else.
 */
export function parseLeaseCache(text: string): LeaseCache {
  const [first = "", ...lines] = text.split("\n");
  const { data, error } = headSchema.safeParse(JSON.parse(first));
  if (data === undefined) {
    const { path, message } = error.issues[0]!;
    throw new SyntaxError(`${path.join(".") || "its first line"}: ${message}`);
  }
  const leases = lines.flatMap((line) => {
    try {
      return line === "" ? [] : [leaseSchema.parse(JSON.parse(line))];
    } catch {
      return [];
    }
  });
  const { registry, networkConfig, own } = data;
  return { registry, networkConfig: networkConfig ?? undefined, own, leases };
}
