/** Bytes that are appended and taken back, in memory that is used again. */
export class ByteBuffer {
  readonly #maxBytes: number;
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(4096);
  /** How many bytes there are; making it smaller takes back the last ones. */
  length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The bytes from `start` on, until the next change. */
  from(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.length);
  }

  put(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.length++] = byte;
  }

  putBytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  putText(text: string): void {
    this.putBytes(this.#encoder.encode(text));
  }

  #reserve(bytes: number): void {
    const needed = this.length + bytes;
    if (needed > this.#maxBytes) {
      throw new SyntaxError(
        `Cannot read JSON: more than ${this.#maxBytes} bytes of a document are of interest`,
      );
    }
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.from(0));
    this.#bytes = grown;
  }
}
