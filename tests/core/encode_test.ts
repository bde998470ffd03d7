import { assert, assertEquals } from "@std/assert";
import { openRowEncoder } from "../../src/core/encode.ts";
import { MESSAGE_HEADER_BYTES, MessageReader, MessageWriter, NLM_F_ACK } from "../../src/netlink/message.ts";
import { type RowLayout, Table } from "../../src/model/table.ts";
import { ROW_CODECS } from "../../src/rtnetlink/row_codecs.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

const LINK_INDEXES = [5, 0, 0x7fff_ffff];
const WORDS = [0, 0, 1, 2, 10, 76, 0x0af4_0100, 0x8000_0000, 0xffff_ffff];
const ROUNDS = 300;

/** Rows of words of chance, but for the families. */
function someRows(layout: RowLayout, familyWord: number, random: () => number): Table {
  const table = new Table(layout);
  const rows = Math.floor(random() * 200);
  for (let row = 0; row < rows; row++) {
    const at = table.push();
    const words = table.storage;
    for (let word = 0; word < layout.words; word++) {
      words[at + word] = random() < 0.5 ? pick(random, WORDS) : Math.floor(random() * 2 ** 32);
    }
    words[at + familyWord] = pick(random, [2, 10]);
  }
  return table;
}

/** What the codecs write for the same rows. */
function expected(
  kind: keyof typeof ROW_CODECS,
  operation: "add" | "replace" | "delete",
  { table, indices, sequence }: { table: Table; indices: Uint32Array; sequence: number },
): Uint8Array {
  const writer = new MessageWriter();
  for (const [position, row] of indices.entries()) {
    const at = row * table.layout.words;
    ROW_CODECS[kind].encode[operation](writer, sequence + position >>> 0, table.words, at, LINK_INDEXES);
  }
  return writer.bytes.slice();
}

const kinds: [kind: keyof typeof ROW_CODECS, familyWord: number][] = [["routes", 0], ["neighbours", 1], [
  "fdb",
  3,
]];

for (const [kind, familyWord] of kinds) {
  for (const operation of ["add", "replace", "delete"] as const) {
    Deno.test(`the core writes what the codec writes to ${operation} any ${kind}, an ack at each batch's end`, () => {
      const random = seededRandom(SEED);
      for (let round = 0; round < ROUNDS; round++) {
        const table = someRows(ROW_CODECS[kind].layout, familyWord, random);
        const indices = Uint32Array.from({ length: table.count }, () => Math.floor(random() * table.count));
        const sequence = pick(random, [1, 0xffff_ff00, 0x8000_0000]);
        const encode = openRowEncoder(kind, operation, { table, indices, linkIndexes: LINK_INDEXES })!;
        const written: number[] = [];
        for (let first = 0; first < indices.length;) {
          const { bytes, count } = encode(first, sequence + first >>> 0);
          assert(count > 0 && bytes.length <= 65536);
          written.push(...withoutAck(bytes));
          first += count;
        }
        const whole = Uint8Array.from(written);
        const plain = expected(kind, operation, { table, indices, sequence });
        if (whole.toHex() !== plain.toHex()) {
          assertEquals(whole.toHex(), plain.toHex(), `LODEN_SEED=${SEED}, round ${round}`);
        }
      }
    });
  }
}

/** The messages of a batch, after the flag that only the last may have is taken away. */
function withoutAck(bytes: Uint8Array<ArrayBuffer>): Uint8Array {
  const copy = bytes.slice();
  const reader = new MessageReader(copy);
  reader.reset(copy.length);
  let last = 0;
  while (reader.next()) {
    assertEquals((reader.flags & NLM_F_ACK) !== 0, reader.position >= copy.length);
    last = reader.start - MESSAGE_HEADER_BYTES;
  }
  copy[last + 6]! &= ~NLM_F_ACK;
  return copy;
}

Deno.test("the core writes 20,000 rows in batches that one send takes, each row once", () => {
  const table = new Table(ROW_CODECS.routes.layout);
  for (let row = 0; row < 20_000; row++) {
    const at = table.push();
    table.storage.set([2, 0x0a00_0000 + 256 * row, 0, 0, 0, 24], at);
  }
  const indices = Uint32Array.from({ length: 20_000 }, (_, row) => row);
  const encode = openRowEncoder("routes", "add", { table, indices, linkIndexes: LINK_INDEXES })!;
  let written = 0;
  let batches = 0;
  for (; written < 20_000; batches++) {
    const { bytes, count } = encode(written, written + 1);
    assert(bytes.length <= 65536);
    assert(written + count === 20_000 || bytes.length > 65_000, "batches are full");
    written += count;
  }
  assertEquals(written, 20_000);
  assert(batches < 25);
});

Deno.test("openRowEncoder() leaves links that are yet to be made, and more than it has room for, to the codecs", () => {
  const table = new Table(ROW_CODECS.fdb.layout);
  for (const linkIndexes of [[0xffff_ffff], Array.from({ length: 65 }, (_, index) => index + 1)]) {
    assertEquals(
      openRowEncoder("fdb", "add", { table, indices: new Uint32Array(0), linkIndexes }),
      undefined,
    );
  }
});
