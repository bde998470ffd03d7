/**
 * The text of an answer.
 *
 * @throws {Error} If it is larger than `maxBytes`.
 */
export async function readCapped(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.byteLength;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes / 1024} KiB`);
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}
