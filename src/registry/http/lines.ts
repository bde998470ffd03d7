import { chunksOf } from "./chunks.ts";
import { ConnectionError } from "./connection_error.ts";

/** A longer line is not read: 100,000 leases have some 40 MB. */
const MAX_LINE_LENGTH = 64 * 1024 * 1024;

/** The lines of an answer, as they come. */
export async function* linesOf(
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  // The pieces of a line that is not whole yet: joined once, since a long one comes in many.
  let pieces: string[] = [];
  let length = 0;
  for await (const chunk of chunksOf(response, signal)) {
    const lines = decoder.decode(chunk, { stream: true }).split("\n");
    const rest = lines.pop()!;
    for (const line of lines) {
      const whole = pieces.join("") + line;
      pieces = [];
      length = 0;
      if (whole !== "") yield whole;
    }
    pieces.push(rest);
    length += rest.length;
    if (length > MAX_LINE_LENGTH) {
      throw new ConnectionError(`an answer has more than ${MAX_LINE_LENGTH} characters`);
    }
  }
  const last = pieces.join("");
  if (last !== "") yield last;
}
