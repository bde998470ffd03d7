import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Table } from "../../src/model/table.ts";
import { SEED } from "../double/random.ts";

const LAYOUT = { words: 3, keyWords: 1 };

type Action = ["push", number[]] | ["pop"] | ["truncate", number] | ["clear"];

const word = fc.constantFrom(1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
const push: fc.Arbitrary<Action> = fc.tuple(word, word, word).map((row) => ["push", row]);
const truncate: fc.Arbitrary<Action> = fc.nat(50).map((count) => ["truncate", count]);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: push },
  { weight: 2, arbitrary: fc.constant<Action>(["pop"]) },
  { weight: 2, arbitrary: truncate },
  { weight: 1, arbitrary: fc.constant<Action>(["clear"]) },
);

Deno.test("Table holds what an array of rows would hold, and pushes rows of zeros", () => {
  fc.assert(
    fc.property(fc.nat(20), fc.array(action, { maxLength: 200 }), (capacity, actions) => {
      const table = new Table(LAYOUT, capacity);
      let rows: number[][] = [];
      for (const [kind, value] of actions) {
        if (kind === "push") {
          const at = table.push();
          assertEquals(at, rows.length * LAYOUT.words);
          assertEquals([...table.storage.subarray(at, at + LAYOUT.words)], [0, 0, 0]);
          table.storage.set(value, at);
          rows.push(value);
        } else if (kind === "pop") {
          table.pop();
          rows.pop();
        } else if (kind === "truncate") {
          table.truncate(value);
          rows = rows.slice(0, value);
        } else {
          table.clear();
          rows = [];
        }
        assertEquals(table.count, rows.length);
        assertEquals([...table.words], rows.flat());
      }
    }),
    { seed: SEED, numRuns: 200 },
  );
});

const dropped: [name: string, drop: (table: Table) => void, left: number][] = [
  ["pop()", (table) => table.pop(), 39],
  ["truncate(7)", (table) => table.truncate(7), 7],
  ["truncate(0)", (table) => table.truncate(0), 0],
  ["truncate(40), which drops nothing,", (table) => table.truncate(40), 40],
  ["truncate(41), which drops nothing,", (table) => table.truncate(41), 40],
  ["clear()", (table) => table.clear(), 0],
];

for (const [name, drop, left] of dropped) {
  Deno.test(`Table keeps ${left} of 40 rows on ${name} and has zeros behind them`, () => {
    const table = new Table(LAYOUT);
    for (let row = 0; row < 40; row++) {
      const at = table.push();
      table.storage.fill(row + 1, at, at + LAYOUT.words);
    }
    drop(table);
    assertEquals(table.count, left);
    assertEquals([...table.words], Array.from({ length: left * 3 }, (_, at) => Math.floor(at / 3) + 1));
    assertEquals(table.storage.subarray(left * 3).every((word) => word === 0), true);
    const at = table.push();
    assertEquals([...table.storage.subarray(at, at + 3)], [0, 0, 0]);
  });
}

Deno.test("Table.clear() keeps the memory, so that the next pass need not grow it", () => {
  const table = new Table(LAYOUT, 1);
  for (let row = 0; row < 100; row++) table.push();
  const { storage } = table;
  table.clear();
  for (let row = 0; row < 100; row++) table.push();
  assertEquals(table.storage === storage, true);
});

Deno.test("Table.pop() leaves an empty table empty", () => {
  const table = new Table(LAYOUT);
  table.pop();
  assertEquals([table.count, table.words.length, table.push()], [0, 0, 0]);
});
