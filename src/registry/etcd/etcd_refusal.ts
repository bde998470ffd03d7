import { refusalSchema } from "./etcd_wire.ts";
import { retryAfterMs } from "../../loop/retry_after.ts";
import { linesOf } from "../http/lines.ts";

const MAX_SHOWN_LENGTH = 300;
/** Codes of gRPC. */
const UNKNOWN = 2;
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

/** What an answer that is none says. */
export async function refusalOf(response: Response, signal: AbortSignal): Promise<EtcdError> {
  const text = await firstLine(response, signal);
  let refusal: { code: number; message?: string | undefined } | undefined;
  try {
    refusal = refusalSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // No answer of etcd's gateway, but of something before it.
  }
  const { status, headers } = response;
  const isAway = status > 500 || status === 500 && refusal === undefined;
  const message = refusal?.message ?? `HTTP status ${status} ${text.trim()}`.trimEnd();
  const code = isAway ? UNAVAILABLE : refusal?.code ?? UNKNOWN;
  return new EtcdError(code, shown(message), retryAfterMs(headers));
}

/** The first line of an answer; empty where there is none. */
export async function firstLine(response: Response, signal: AbortSignal): Promise<string> {
  for await (const line of linesOf(response, signal)) return line;
  return "";
}

/** What a server says, fit for a line of a log. */
export function shown(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ").slice(0, MAX_SHOWN_LENGTH);
}
