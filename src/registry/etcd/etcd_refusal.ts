import { refusalSchema } from "./etcd_wire.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";
import { readHead } from "../http/read_head.ts";

/** Of a refusal so much is read. */
const MAX_BYTES = 16 * 1024;
/** Codes of gRPC. */
const UNKNOWN = 2;
/** A revision is no longer known, or not yet. */
export const OUT_OF_RANGE = 11;
export const UNAVAILABLE = 14;

/** etcd answered, and refused. */
export class EtcdError extends Error {
  override readonly name = "EtcdError";

  /**
   * @param code gRPC's.
   * @param retryAfterMs How long it asks to be left alone; nobody asks it before that is over.
   */
  constructor(readonly code: number, message: string, readonly retryAfterMs?: number) {
    super(message);
  }
}

/**
 * What an answer that is none says.
 *
 * @param shown Makes etcd's words fit for a log.
 * @param hint Follows what is not of etcd's form: who may have said it.
 */
export async function refusalOf(
  response: Response,
  { shown, hint }: { readonly shown: (words: string) => string; readonly hint: string },
  signal: AbortSignal,
): Promise<EtcdError> {
  const [text = ""] = (await readHead(response, MAX_BYTES, signal)).split("\n", 1);
  let refusal: { code: number; message?: string | undefined } | undefined;
  try {
    refusal = refusalSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // No answer of etcd's gateway, but of something before it.
  }
  const { status, headers } = response;
  const isAway = status > 500 || status === 500 && refusal === undefined;
  const message = refusal?.message === undefined
    ? `${shown(`HTTP status ${status} ${text.trim()}`)}${hint}`
    : shown(refusal.message);
  const code = isAway ? UNAVAILABLE : refusal?.code ?? UNKNOWN;
  return new EtcdError(code, message, retryAfterMs(headers));
}
