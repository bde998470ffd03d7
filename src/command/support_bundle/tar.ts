/** One file of an archive. */
export interface TarFile {
  /** Relative, at most 100 bytes, in ASCII. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
/** Only who unpacks an archive reads what is in it. */
const MODE = 0o600;
const REGULAR_FILE = "0";

/**
 * Writes an archive of regular files.
 *
 * | offset | bytes | C field    | here                                 |
 * | -----: | ----: | ---------- | ------------------------------------ |
 * |      0 |   100 | `name`     | the name                             |
 * |    100 |     8 | `mode`     | 600, octal text                      |
 * |    108 |     8 | `uid`      | 0                                    |
 * |    116 |     8 | `gid`      | 0                                    |
 * |    124 |    12 | `size`     | of the file, octal text              |
 * |    136 |    12 | `mtime`    | in seconds since 1970, octal text    |
 * |    148 |     8 | `chksum`   | of this header, with spaces here     |
 * |    156 |     1 | `typeflag` | `0`                                  |
 * |    257 |     8 | `magic`    | `ustar`, a zero, and the version `00` |
 *
 * Source: POSIX.1-2017, pax, "ustar Interchange Format".
 *
 * @throws {RangeError} If a name is too long.
 */
export function tarOf(
  files: readonly TarFile[],
  { mtimeMs }: { readonly mtimeMs: number },
): Uint8Array<ArrayBuffer> {
  const sizes = files.map(({ bytes }) => BLOCK_BYTES + roundedUp(bytes.length));
  // Two empty blocks are the end.
  const archive = new Uint8Array(sizes.reduce((sum, size) => sum + size, 2 * BLOCK_BYTES));
  let at = 0;
  for (const [index, { name, bytes }] of files.entries()) {
    writeHeader(archive.subarray(at, at + BLOCK_BYTES), { name, size: bytes.length, mtimeMs });
    archive.set(bytes, at + BLOCK_BYTES);
    at += sizes[index]!;
  }
  return archive;
}

/** Compresses with gzip. */
export async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function roundedUp(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}

function writeHeader(
  header: Uint8Array,
  { name, size, mtimeMs }: { readonly name: string; readonly size: number; readonly mtimeMs: number },
): void {
  const encoded = new TextEncoder().encode(name);
  if (encoded.length > NAME_BYTES) throw new RangeError(`Cannot archive ${name}: its name is too long`);
  const text = (offset: number, value: string) => header.set(new TextEncoder().encode(value), offset);
  const octal = (offset: number, bytes: number, value: number) =>
    text(offset, value.toString(8).padStart(bytes - 1, "0"));
  header.set(encoded);
  octal(100, 8, MODE);
  octal(108, 8, 0);
  octal(116, 8, 0);
  octal(124, 12, size);
  octal(136, 12, Math.floor(mtimeMs / 1000));
  text(148, "        ");
  text(156, REGULAR_FILE);
  text(257, "ustar\u000000");
  const sum = header.reduce((sum, byte) => sum + byte, 0);
  text(148, `${sum.toString(8).padStart(6, "0")}\u0000 `);
}
