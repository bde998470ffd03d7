import {
  array,
  catch as fallback,
  int,
  number,
  object,
  optional,
  pipe,
  regex,
  string,
  transform,
  union,
  unknown,
} from "zod/mini";
import type { CutText } from "../http/json_sieve.ts";

/** Of a value or a key so many bytes are read: flannel's values have some 150. */
export const MAX_VALUE_BYTES = 8192;
/** The same as the gateway writes it, in base64 and quotes. */
export const MAX_TEXT_BYTES = Math.ceil(MAX_VALUE_BYTES / 3) * 4 + 2;

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
  /** How many bytes the value has, where only the first of them were read. */
  readonly cutBytes?: number;
}

/** Which etcd answers, and how far it is. */
export interface EtcdHeader {
  /** Members of one cluster have the same; empty where it is not told. */
  readonly clusterId: string;
  readonly revision: number;
}

/** A larger one is no number here; etcd would need thousands of years to come to it. */
const revisionText = string().check(regex(/^\d{1,15}$/));
const bytesText = union([string(), object({ length: number(), head: string() })]);
const entrySchema = object({
  key: bytesText,
  value: optional(bytesText),
  mod_revision: optional(revisionText),
  create_revision: optional(revisionText),
  lease: optional(string()),
});
const headerSchema = pipe(
  object({ cluster_id: optional(string()), revision: optional(revisionText) }),
  transform(({ cluster_id, revision }): EtcdHeader => ({
    clusterId: cluster_id ?? "",
    revision: Number(revision ?? 0),
  })),
);
export const rangeSchema = object({
  header: headerSchema,
  more: optional(unknown()),
  count: optional(string()),
});
export const entriesSchema = array(entrySchema);
export const txnSchema = object({ header: headerSchema, succeeded: optional(unknown()) });
export const grantSchema = object({ header: optional(headerSchema), ID: string() });
export const aliveSchema = object({
  result: optional(object({ header: optional(headerSchema), TTL: optional(string()) })),
});
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
  })),
  // The gateways of different releases call it by different names.
  error: optional(object({ message: optional(string()), grpc_code: optional(int()), code: optional(int()) })),
});
export const eventsSchema = array(object({ type: optional(string()), kv: entrySchema }));

const KEPT_OF_HEADER = { cluster_id: true, revision: true } as const;
const KEPT_OF_ENTRY = {
  key: true,
  value: true,
  mod_revision: true,
  create_revision: true,
  lease: true,
} as const;
/** What is read of an answer with keys, and of a message of a watch: keys and events are handed over one by one. */
export const KEPT_OF_RANGE = {
  header: KEPT_OF_HEADER,
  more: true,
  count: true,
  kvs: [KEPT_OF_ENTRY],
} as const;
export const KEPT_OF_WATCH = {
  result: {
    header: KEPT_OF_HEADER,
    created: true,
    canceled: true,
    compact_revision: true,
    cancel_reason: true,
    events: [{ type: true, kv: KEPT_OF_ENTRY }],
  },
  error: true,
} as const;

/** One change, or how far the watch has come where there is none. */
export interface EtcdChange {
  readonly entry: EtcdEntry;
  readonly isDeletion: boolean;
}

/** What came with one message of a watch. */
export interface EtcdPiece {
  readonly header: EtcdHeader;
  /** All changes up to this one were told. */
  readonly revision: number;
  readonly changes: readonly EtcdChange[];
}

/** Text as the gateway wants it. */
export function toBase64(text: string): string {
  return new TextEncoder().encode(text).toBase64();
}

/** The bytes of a text in base64, up to where it was cut; none of what is no base64. */
export function bytesOf(text: string | CutText): Uint8Array {
  const base64 = typeof text === "string" ? text : text.head.slice(0, text.head.length & ~3);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    return new Uint8Array();
  }
}

function textOf(text: string | CutText): string {
  // What is no UTF-8 is no JSON either, and found out later.
  return new TextDecoder().decode(bytesOf(text));
}

/** The end of the range of all keys that begin with `prefix`. */
export function rangeEnd(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

/**
 * Where the keys behind `key` begin, in base64. Of one that was cut only the beginning is known: all keys that begin so
 * are passed over, as none of them is a lease's. `undefined` where there can be none.
 */
export function behindKey(key: string | CutText): string | undefined {
  const bytes = bytesOf(key);
  if (typeof key === "string") return new Uint8Array([...bytes, 0]).toBase64();
  const last = bytes.findLastIndex((byte) => byte < 0xff);
  if (last < 0) return undefined;
  const next = bytes.slice(0, last + 1);
  next[last]!++;
  return next.toBase64();
}

/** Decodes a key and its value. */
export function entryOf(
  { key, value = "", lease, mod_revision, create_revision }: {
    readonly key: string | CutText;
    readonly value?: string | CutText | undefined;
    readonly lease?: string | undefined;
    readonly mod_revision?: string | undefined;
    readonly create_revision?: string | undefined;
  },
): EtcdEntry {
  return {
    key: textOf(key),
    value: textOf(value),
    modRevision: Number(mod_revision ?? 0),
    createRevision: Number(create_revision ?? 0),
    lease: lease ?? "0",
    ...typeof value !== "string" && { cutBytes: Math.floor((value.length - 2) / 4) * 3 },
  };
}
