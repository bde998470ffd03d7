import { fileReason } from "../file/file_reason.ts";
import { withinHearing } from "../loop/pause.ts";
import { doorPath } from "../status/door_path.ts";

/** An agent that works answers within milliseconds; one that stands still is told as such. */
const PATIENCE_MS = 2000;
/** A longer answer is none of an agent's. */
const MAX_ANSWER_BYTES = 256 << 20;

/** An agent that is there and can't be asked: one sentence. */
export class AgentDoorError extends Error {}

/** An agent that shows that it runs, and whose socket leads to nobody: a clause. */
export const NO_DOOR = "an agent runs on this host that can't be asked";

/** How an agent is asked. */
export interface AskOptions {
  /** How long it may take in all, in milliseconds. */
  readonly timeoutMs?: number;
}

/**
 * Asks the agent of a subnet file.
 *
 * @param target What is asked for, as `/status`, with a query where the route takes one.
 * @returns What it answers; `undefined` if no agent is there.
 * @throws {AgentDoorError} If there is one that does not answer, or refuses.
 */
export async function askAgent(
  subnetFilePath: string,
  target: string,
  { timeoutMs = PATIENCE_MS }: AskOptions = {},
): Promise<unknown> {
  const path = doorPath(subnetFilePath);
  const asked: { conn?: Deno.Conn; isLate?: true } = {};
  const answer = exchange(path, target, asked);
  // What it fails with later is of no interest.
  answer.catch(() => {});
  const came = await withinHearing(answer.then((text) => ({ text })), timeoutMs);
  if (came === undefined) {
    asked.isLate = true;
    asked.conn?.close();
    throw new AgentDoorError(
      `the agent at ${path} has not answered within ${timeoutMs / 1000} s: it is halted, or very busy`,
    );
  }
  return came.text === undefined ? undefined : bodyOf(came.text, path);
}

/** All that comes; `undefined` if nobody listens. */
async function exchange(
  path: string,
  target: string,
  asked: { conn?: Deno.Conn; isLate?: true },
): Promise<string | undefined> {
  let conn: Deno.Conn;
  try {
    conn = await Deno.connect({ transport: "unix", path });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) {
      return undefined;
    }
    const advice = error instanceof Deno.errors.PermissionDenied ? "; it answers root alone" : "";
    throw new AgentDoorError(`Cannot ask the agent at ${path}: ${fileReason(error)}${advice}`, {
      cause: error,
    });
  }
  if (asked.isLate) {
    conn.close();
    return undefined;
  }
  asked.conn = conn;
  try {
    const request = new TextEncoder().encode(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    for (let at = 0; at < request.length;) at += await conn.write(request.subarray(at));
    const decoder = new TextDecoder();
    const parts: string[] = [];
    let length = 0;
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await conn.read(buffer);
      if (count === null) return parts.join("") + decoder.decode();
      length += count;
      if (length > MAX_ANSWER_BYTES) throw new AgentDoorError(`the agent at ${path} says too much`);
      parts.push(decoder.decode(buffer.subarray(0, count), { stream: true }));
    }
  } catch (error) {
    if (error instanceof AgentDoorError) throw error;
    throw new AgentDoorError(`the agent at ${path} has hung up: ${fileReason(error)}`, { cause: error });
  } finally {
    if (!asked.isLate) conn.close();
  }
}

/** @throws {AgentDoorError} If the agent refuses, or it is no answer of an agent. */
function bodyOf(text: string, path: string): unknown {
  const end = text.indexOf("\r\n\r\n");
  const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(text) ?? [];
  let body: unknown;
  try {
    body = JSON.parse(text.slice(end + 4));
  } catch {
    throw new AgentDoorError(`Cannot read what the agent at ${path} answers: it is not JSON`);
  }
  if (status === "200") return body;
  const reason = (body as { readonly error?: unknown } | null)?.error;
  throw new AgentDoorError(typeof reason === "string" ? reason : `the agent at ${path} answers ${status}`);
}
