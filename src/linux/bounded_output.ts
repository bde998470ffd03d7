/** What a program prints, up to a number of bytes. */
export class BoundedOutput {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #maxBytes: number;
  readonly #rest: "is dropped" | "is refused";
  readonly #chunks: Uint8Array[] = [];
  #length = 0;
  /** Settles at the end, or when it is cancelled. */
  readonly read: Promise<void>;

  /** @param rest What becomes of more than that: it is read and dropped, or the program's next print ends it. */
  constructor(stream: ReadableStream<Uint8Array>, maxBytes: number, rest: "is dropped" | "is refused") {
    this.#reader = stream.getReader();
    this.#maxBytes = maxBytes;
    this.#rest = rest;
    this.read = this.#readAll();
  }

  /** Whether it was more than is kept. */
  get isCut(): boolean {
    return this.#length > this.#maxBytes;
  }

  /** What has come so far. */
  get text(): string {
    const decoder = new TextDecoder();
    return this.#chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join("") + decoder.decode();
  }

  /** Reads no more: a process that the program has started may keep its output open for ever. */
  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }

  async #readAll(): Promise<void> {
    try {
      for (;;) {
        const { value } = await this.#reader.read();
        if (value === undefined) return;
        const room = Math.max(this.#maxBytes - this.#length, 0);
        this.#length += value.length;
        if (room > 0) this.#chunks.push(value.subarray(0, room));
        if (this.isCut && this.#rest === "is refused") return await this.cancel();
      }
    } catch {
      // It was cancelled, or the pipe has broken: what has come is all.
    }
  }
}
