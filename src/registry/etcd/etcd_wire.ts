import { array, catch as fallback, int, nullish, object, optional, string, unknown } from "zod/mini";

/** One key and its value. */
export interface EtcdEntry {
  readonly key: string;
  /** Not decoded yet: it may be anything. */
  readonly value: string;
  /** The revision of the last change. */
  readonly modRevision: number;
  /** The revision that made the key: it was there before every key with a larger one. */
  readonly createRevision: number;
  /** The lease that the key lives by; `0` if it does not end. */
  readonly lease: string;
}

const entrySchema = object({
  key: string(),
  value: optional(string()),
  mod_revision: optional(string()),
  create_revision: optional(string()),
  lease: optional(string()),
});
const headerSchema = object({ revision: optional(string()) });
export const rangeSchema = object({ header: headerSchema, kvs: nullish(array(entrySchema)) });
export const txnSchema = object({ header: headerSchema, succeeded: optional(unknown()) });
export const grantSchema = object({ ID: string() });
export const aliveSchema = object({ result: optional(object({ TTL: optional(string()) })) });
export const leftSchema = object({ TTL: optional(string()), grantedTTL: optional(string()) });
export const tokenSchema = object({ token: string() });
export const refusalSchema = object({
  code: fallback(int(), 2),
  message: fallback(optional(string()), undefined),
});
export const watchSchema = object({
  result: optional(object({
    header: headerSchema,
    created: optional(unknown()),
    canceled: optional(unknown()),
    compact_revision: optional(string()),
    cancel_reason: optional(string()),
    events: nullish(array(object({ type: optional(string()), kv: entrySchema }))),
  })),
  error: optional(object({ message: optional(string()), grpc_code: optional(int()) })),
});

/** One change, or how far the watch has come where there is none. */
export interface EtcdChange {
  readonly entry: EtcdEntry;
  readonly isDeletion: boolean;
}

/** What came with one message of a watch. */
export interface EtcdPiece {
  /** All changes up to this one were told. */
  readonly revision: number;
  readonly changes: readonly EtcdChange[];
}

/** Text as the gateway wants it. */
export function toBase64(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

function fromBase64(base64: string): string {
  // What is no UTF-8 is no JSON either, and found out later.
  return new TextDecoder().decode(Uint8Array.fromBase64(base64));
}

/** The end of the range of all keys that begin with `prefix`. */
export function rangeEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/** Decodes a key and its value. */
export function entryOf(
  { key, value, lease, ...revisions }: { key: string } & Record<string, string | undefined>,
): EtcdEntry {
  return {
    key: fromBase64(key),
    value: fromBase64(value ?? ""),
    modRevision: Number(revisions["mod_revision"] ?? 0),
    createRevision: Number(revisions["create_revision"] ?? 0),
    lease: lease ?? "0",
  };
}
