import { catch as fallback, object, optional, pipe, regex, string, transform } from "zod/mini";
import type { Lease, LeasePart } from "../../model/lease.ts";
import { type ClaimAges, keptAges } from "../claim_age.ts";

/** As Kubernetes writes times. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

const time = fallback(
  optional(pipe(string().check(regex(TIME)), transform((text): number => Date.parse(text)))),
  undefined,
);
const sinceSchema = object({ Data: time, Address: time });

/**
 * When the claims of a node began: that on its subnets when it was made, as the cluster gives them. Since when it says
 * what else it says its host tells; never earlier than the node, so that nobody can have been there before. Who does not
 * tell, as flanneld, may have said so a moment ago.
 *
 * @param creation When the node was made, as Kubernetes writes it.
 * @param said What the host has written.
 */
export function agesOf(creation: string, said: unknown): ClaimAges {
  const since = Date.parse(creation);
  if (Number.isNaN(since)) return {};
  const { Data: data, Address: address } = readSince(said);
  const isTold = (time: number | undefined) => time !== undefined && !Number.isNaN(time);
  return {
    since,
    ...isTold(data) && { dataSince: Math.max(since, data!) },
    ...isTold(address) && { addressSince: Math.max(since, address!) },
  };
}

/**
 * What a host has to write about its claims.
 *
 * @param before The lease that the node has.
 * @param now Milliseconds since 1970.
 */
export function sinceText(before: Lease | undefined, parts: readonly LeasePart[], now: number): string {
  const { dataSince = now, addressSince = now } = keptAges(before, parts);
  return JSON.stringify({ Data: timeText(dataSince), Address: timeText(addressSince) });
}

function readSince(said: unknown): { Data?: number | undefined; Address?: number | undefined } {
  try {
    return typeof said === "string" ? sinceSchema.safeParse(JSON.parse(said)).data ?? {} : {};
  } catch {
    return {};
  }
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
