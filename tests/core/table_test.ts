import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { diffTables } from "../../src/core/table.ts";
import { type RowLayout, Table } from "../../src/model/table.ts";
import { pick, SEED, seededRandom } from "../double/random.ts";

type Rows = readonly (readonly number[])[];

function tableOf(layout: RowLayout, rows: Rows): Table {
  const table = new Table(layout);
  for (const row of rows) {
    const at = table.push();
    table.storage.set(row, at);
  }
  return table;
}

function compare(a: readonly number[], b: readonly number[], words: number): number {
  for (let word = 0; word < words; word++) if (a[word] !== b[word]) return a[word]! < b[word]! ? -1 : 1;
  return 0;
}

/** What `diffTables()` must answer, in plain TypeScript and without a thought for speed. */
function oracle({ words, keyWords }: RowLayout, desired: Rows, observed: Rows) {
  const inKeyOrder = (rows: Rows) =>
    rows.map((_, index) => index).sort((a, b) => compare(rows[a]!, rows[b]!, keyWords) || a - b);
  const keyOf = (row: readonly number[]) => row.slice(0, keyWords).join();
  const byKey = Map.groupBy(observed.keys(), (index) => keyOf(observed[index]!));
  const seen = new Set<string>();
  const additions: number[] = [];
  const replacements: number[] = [];
  const kept = new Set<number>();
  for (const index of inKeyOrder(desired)) {
    const row = desired[index]!;
    if (seen.has(keyOf(row))) continue;
    seen.add(keyOf(row));
    const same = byKey.get(keyOf(row)) ?? [];
    const equal = same.find((at) => compare(row, observed[at]!, words) === 0);
    if (same.length === 0) additions.push(index);
    else if (equal === undefined) replacements.push(index);
    if (equal === undefined) same.slice(0, 1).forEach((at) => kept.add(at));
    else same.filter((at) => compare(row, observed[at]!, words) === 0).forEach((at) => kept.add(at));
  }
  return { additions, replacements, deletions: inKeyOrder(observed).filter((at) => !kept.has(at)) };
}

function diff(layout: RowLayout, desired: Rows, observed: Rows) {
  const { additions, replacements, deletions } = diffTables(
    tableOf(layout, desired),
    tableOf(layout, observed),
  );
  return { additions: [...additions], replacements: [...replacements], deletions: [...deletions] };
}

/** The rows whose keys no earlier row has. */
function firstOfEachKey({ keyWords }: RowLayout, rows: Rows): Rows {
  const seen = new Set<string>();
  return rows.filter((row) => {
    const key = row.slice(0, keyWords).join();
    return !seen.has(key) && seen.add(key);
  });
}

/** Words of which some have the highest bit set. */
const WORDS = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const MAX_ROWS = 200;

/**
 * Two unsorted tables of any layout, made from one seed: a few dozen keys that differ in any of their words, and
 * few values, so that keys and rows are often the same within a table and between the two.
 */
const tables = fc.record({
  words: fc.integer({ min: 1, max: 15 }),
  keyRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  keys: fc.integer({ min: 1, max: 150 }),
  desiredRows: fc.nat(MAX_ROWS),
  observedRows: fc.nat(MAX_ROWS),
  seed: fc.nat(),
}).map(({ words, keyRatio, keys, desiredRows, observedRows, seed }) => {
  const layout = { words, keyWords: 1 + Math.round(keyRatio * (words - 1)) };
  const random = seededRandom(seed);
  const some = (length: number, choices: readonly number[]) =>
    Array.from({ length }, () => pick(random, choices));
  const known = Array.from({ length: keys }, () => some(layout.keyWords, WORDS));
  const rows = (length: number): Rows =>
    Array.from(
      { length },
      () => [...pick(random, known), ...some(words - layout.keyWords, [0, 0xffff_ffff])],
    );
  return { layout, desired: rows(desiredRows), observed: rows(observedRows) };
});

Deno.test("diffTables() agrees with a plain comparison, for tables of any layout with keys in common", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired, observed }) => {
      assertEquals(diff(layout, desired, observed), oracle(layout, desired, observed));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

Deno.test("diffTables() answers what brings the observed table to the desired one, and then nothing", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired, observed }) => {
      const keyOf = (row: readonly number[]) => row.slice(0, layout.keyWords).join();
      const { additions, replacements, deletions } = diff(layout, desired, observed);
      const left = observed.filter((_, index) => !deletions.includes(index)).map((row) => [...row]);
      for (const index of replacements) {
        const target = left.findIndex((row) => keyOf(row) === keyOf(desired[index]!));
        left[target] = [...desired[index]!];
      }
      const reached = [...left, ...additions.map((index) => desired[index]!)];
      // What a dump told twice the kernel has once.
      const sorted = (rows: Rows) => [...new Set(rows.map(String))].sort();
      assertEquals(sorted(reached), sorted(firstOfEachKey(layout, desired)));
      assertEquals(diff(layout, desired, reached), { additions: [], replacements: [], deletions: [] });
    }),
    { seed: SEED },
  );
});

Deno.test("diffTables() finds nothing to do between a table and its rows in another order", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired: rows }) => {
      const desired = firstOfEachKey(layout, rows);
      assertEquals(diff(layout, desired, desired.toReversed()), {
        additions: [],
        replacements: [],
        deletions: [],
      });
    }),
    { seed: SEED },
  );
});

Deno.test("diffTables() leaves both tables as they are", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired, observed }) => {
      const [wanted, found] = [tableOf(layout, desired), tableOf(layout, observed)];
      diffTables(wanted, found);
      assertEquals([...wanted.words], desired.flat());
      assertEquals([...found.words], observed.flat());
    }),
    { seed: SEED },
  );
});

const LAYOUT = { words: 3, keyWords: 1 };
const cases: [name: string, desired: Rows, observed: Rows, expected: ReturnType<typeof diff>][] = [
  ["nothing of nothing", [], [], { additions: [], replacements: [], deletions: [] }],
  ["all from nothing, in the order of their keys", [[9, 0, 0], [1, 0, 0]], [], {
    additions: [1, 0],
    replacements: [],
    deletions: [],
  }],
  ["keys above 2^31 behind those below", [[0x8000_0000, 0, 0], [1, 0, 0]], [], {
    additions: [1, 0],
    replacements: [],
    deletions: [],
  }],
  ["a changed value as a replacement, not a deletion", [[1, 2, 3]], [[1, 2, 4]], {
    additions: [],
    replacements: [0],
    deletions: [],
  }],
  ["the equal one of several rows with one key as it is", [[1, 2, 3]], [[1, 0, 0], [1, 2, 3], [1, 9, 9]], {
    additions: [],
    replacements: [],
    deletions: [0, 2],
  }],
  ["a row that is there twice as it must be as one", [[1, 2, 3]], [[1, 2, 3], [1, 0, 0], [1, 2, 3]], {
    additions: [],
    replacements: [],
    deletions: [1],
  }],
  ["the first of several unequal rows with one key as replaced", [[1, 2, 3]], [[1, 9, 9], [1, 0, 0]], {
    additions: [],
    replacements: [0],
    deletions: [1],
  }],
];

const additionsOnly = (additions: number[]) => ({ additions, replacements: [], deletions: [] });
const twice: typeof cases = [
  ["the first of two desired rows with one key as added", [[1, 2, 3], [1, 4, 5]], [], additionsOnly([0])],
  ["the first also behind another key", [[2, 0, 0], [2, 1, 1], [1, 4, 5]], [[1, 4, 5]], additionsOnly([0])],
  [
    "nothing where the first of two desired rows is there",
    [[1, 2, 3], [1, 4, 5]],
    [[1, 2, 3]],
    additionsOnly([]),
  ],
  ["the first as replaced where the second is there", [[1, 2, 3], [1, 4, 5]], [[1, 4, 5]], {
    additions: [],
    replacements: [0],
    deletions: [],
  }],
];

for (const [name, desired, observed, expected] of [...cases, ...twice]) {
  Deno.test(`diffTables() answers ${name}`, () => {
    assertEquals(diff(LAYOUT, desired, observed), expected);
  });
}

Deno.test("diffTables() answers with arrays that later calls do not touch, though they grow the memory", () => {
  const first = diffTables(
    tableOf(LAYOUT, [[1, 0, 0], [3, 0, 0]]),
    tableOf(LAYOUT, [[2, 0, 0], [3, 0, 1]]),
  );
  diffTables(tableOf(LAYOUT, [[5, 0, 0], [6, 0, 0], [7, 0, 0]]), tableOf(LAYOUT, []));
  diffTables(new Table(LAYOUT), tableOf(LAYOUT, Array.from({ length: 50_000 }, (_, key) => [key, 0, 0])));
  assertEquals(Object.values(first).map((indices) => [...indices]), [[0], [1], [0]]);
});

const orders: [name: string, order: (rows: number[][]) => number[][]][] = [
  ["sorted", (rows) => rows],
  ["reversed", (rows) => rows.toReversed()],
  ["scattered", (rows) => rows.toSorted((a, b) => a[0]! * 7919 % 20_011 - b[0]! * 7919 % 20_011)],
];

for (const [name, order] of orders) {
  Deno.test(`diffTables() answers the same of 20,000 ${name} rows`, () => {
    const observed = order(Array.from({ length: 20_000 }, (_, key) => [key, key, 0]));
    const desired = order(
      Array.from({ length: 20_000 }, (_, key) => [key + 4000, key + 4000, key % 7 === 0 ? 1 : 0]),
    );
    const answer = diff(LAYOUT, desired, observed);
    const keys = (rows: Rows, indices: number[]) => indices.map((index) => rows[index]![0]);
    const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index);
    assertEquals(keys(desired, answer.additions), range(20_000, 24_000));
    assertEquals(
      keys(desired, answer.replacements),
      range(4000, 20_000).filter((key) => (key - 4000) % 7 === 0),
    );
    assertEquals(keys(observed, answer.deletions), range(0, 4000));
  });
}

Deno.test("diffTables() has room for 200,000 rows, and for few again, time after time", () => {
  const layout = { words: 15, keyWords: 7 };
  const filled = (rows: number) => {
    const table = new Table(layout, rows);
    for (let row = 0; row < rows; row++) table.storage[table.push()] = row;
    return table;
  };
  const large = filled(200_000);
  for (const rows of [0, 1, 5000, 200_000, 1, 100_000]) {
    const small = filled(rows);
    const gone = diffTables(small, large);
    assertEquals([gone.additions.length, gone.replacements.length], [0, 0]);
    assertEquals(gone.deletions, Uint32Array.from({ length: 200_000 - rows }, (_, index) => rows + index));
    assertEquals(diffTables(large, small).additions, gone.deletions);
    assertEquals(diff(LAYOUT, [[1, 0, 0]], [[1, 0, 0]]), { additions: [], replacements: [], deletions: [] });
  }
});

Deno.test("diffTables() refuses tables that no memory holds", () => {
  const huge = { layout: { words: 15, keyWords: 7 }, count: 100_000_000, words: new Uint32Array(0) };
  assertThrows(() => diffTables(huge as unknown as Table, new Table(huge.layout)), RangeError, "too many");
});

Deno.test("the core imports nothing, and shows its memory", async () => {
  const path = new URL("../../wasm/build/core.wasm", import.meta.url);
  const module = await WebAssembly.compile(await Deno.readFile(path));
  assertEquals(WebAssembly.Module.imports(module), []);
  assertEquals(
    WebAssembly.Module.exports(module).some(({ kind, name }) => kind === "memory" && name === "memory"),
    true,
  );
});
