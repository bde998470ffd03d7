import { catch as fallback, type infer as Infer, int, object, optional } from "zod/mini";
import type { ClaimAges } from "../claim_age.ts";
import type { EtcdEntry } from "./etcd_wire.ts";

const revision = fallback(optional(int()), undefined);

/**
 * Since which revision a host says what it says, as Loden writes it into its value when it writes that anew: etcd tells
 * when the key was made and last written, and not what was the same before.
 */
export const agesSchema = fallback(optional(object({ Data: revision, Address: revision })), undefined);

/**
 * How old the claims of an entry are. What a host says of itself counts as far as etcd bears it out: not before the key
 * was made, and not after it was last written. Where it says nothing, as flanneld, the last writing is the beginning.
 */
export function agesOf(
  { createRevision, modRevision }: Pick<EtcdEntry, "createRevision" | "modRevision">,
  said: Infer<typeof agesSchema>,
): ClaimAges {
  const borneOut = (revision: number | undefined) =>
    revision !== undefined && revision >= createRevision && revision <= modRevision ? revision : modRevision;
  return {
    since: createRevision,
    dataSince: borneOut(said?.Data),
    addressSince: borneOut(said?.Address),
  };
}

/** What `agesSchema` reads; `undefined` if there is nothing to say. */
export function formatAges({ dataSince, addressSince }: ClaimAges): Record<string, number> | undefined {
  if (dataSince === undefined && addressSince === undefined) return undefined;
  return {
    ...dataSince !== undefined && { Data: dataSince },
    ...addressSince !== undefined && { Address: addressSince },
  };
}

/** The ages as they stand in a value, word by word; `undefined` where there are none, or the value is not read. */
export function writtenAges(value: string): unknown {
  try {
    return (JSON.parse(value) as { LodenSince?: unknown } | null)?.LodenSince;
  } catch {
    return undefined;
  }
}
