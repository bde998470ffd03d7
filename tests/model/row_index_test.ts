import { assert, assertEquals } from "@std/assert";
import { RowIndex } from "../../src/model/row_index.ts";
import { Table } from "../../src/model/table.ts";
import { SEED, seededRandom } from "../double/random.ts";

const LAYOUT = { words: 3, keyWords: 2 };

function row(...words: number[]): Uint32Array {
  return Uint32Array.from(words);
}

/** The rows of a table, as text, in the order of their words. */
function textOf({ words, count, layout }: Table): string[] {
  return Array.from(
    { length: count },
    (_, at) => words.subarray(at * layout.words, (at + 1) * layout.words).join(" "),
  ).sort();
}

Deno.test("RowIndex knows the rows that were there, and refuses a table with one key twice", () => {
  const table = new Table(LAYOUT);
  for (const words of [[1, 2, 3], [1, 3, 3]]) table.storage.set(words, table.push());
  const index = RowIndex.of(table)!;
  assertEquals([index.find(row(1, 2), 0), index.find(row(9, 1, 3), 1), index.find(row(2, 2), 0)], [0, 1, -1]);
  table.storage.set([1, 2, 4], table.push());
  assertEquals(RowIndex.of(table), undefined);
});

Deno.test("RowIndex does what a map of keys does, and its table holds nothing else", () => {
  const next = seededRandom(SEED);
  const random = (below: number) => Math.floor(next() * below);
  const table = new Table(LAYOUT, 1);
  const index = RowIndex.of(table)!;
  const oracle = new Map<string, string>();
  for (let step = 0; step < 20_000; step++) {
    // Few keys that come and go, beside more and more that stay.
    const key = [random(3), random(step < 10_000 ? 40 : 4000)];
    const words = row(...key, step);
    if (random(2) === 0) {
      index.put(words, 0);
      oracle.set(key.join(" "), words.join(" "));
    } else assertEquals(index.remove(words, 0), oracle.delete(key.join(" ")), `seed ${SEED}, step ${step}`);
    const found = index.find(words, 0);
    assertEquals(found >= 0, oracle.has(key.join(" ")), `seed ${SEED}, step ${step}`);
    if (found >= 0) assertEquals(table.words[found * LAYOUT.words + 1], key[1]);
  }
  assert(oracle.size > 100);
  assertEquals(textOf(table), [...oracle.values()].sort(), `seed ${SEED}`);
});
