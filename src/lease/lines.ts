import { chunksOf } from "./chunks.ts";
import { ConnectionError } from "./http_door.ts";

/** A longer line is not read: 100,000 leases have some 40 MB. */
const MAX_LINE_LENGTH = 64 * 1024 * 1024;

/** The lines of an answer, as they come. */
export async function* linesOf(
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunksOf(response, signal)) {
    const text = rest + decoder.decode(chunk, { stream: true });
    if (text.length > MAX_LINE_LENGTH) {
      throw new ConnectionError(`an answer has more than ${MAX_LINE_LENGTH} characters`);
    }
    const lines = text.split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line !== "") yield line;
    }
  }
  if (rest !== "") yield rest;
}
