import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { diffTables } from "../../src/core/table.ts";
import type { RowLayout } from "../../src/model/table.ts";
import { Table } from "../../src/model/table.ts";
import { SEED } from "../double/random.ts";

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
  const hasKeyOf = (row: readonly number[]) => (other: readonly number[]) =>
    compare(row, other, keyWords) === 0;
  const additions: number[] = [];
  const replacements: number[] = [];
  const kept = new Set<number>();
  for (const index of inKeyOrder(desired)) {
    const row = desired[index]!;
    const same = observed.map((_, at) => at).filter((at) => hasKeyOf(row)(observed[at]!));
    const equal = same.find((at) => compare(row, observed[at]!, words) === 0);
    if (same.length === 0) additions.push(index);
    else if (equal === undefined) replacements.push(index);
    if (same.length > 0) kept.add(equal ?? same[0]!);
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

/** Words that collide often, and some whose highest bit is set. */
const word = fc.constantFrom(0, 1, 2, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff);
const tables = fc.integer({ min: 1, max: 15 }).chain((words) =>
  fc.integer({ min: 1, max: words }).chain((keyWords) => {
    const row = fc.array(word, { minLength: words, maxLength: words });
    return fc.record({
      layout: fc.constant({ words, keyWords }),
      desired: fc.uniqueArray(row, {
        comparator: (a, b) => compare(a, b, keyWords) === 0,
        maxLength: 60,
      }),
      observed: fc.array(row, { maxLength: 60 }),
    });
  })
);

Deno.test("diffTables() agrees with a plain comparison, for tables of any layout with keys in common", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired, observed }) => {
      assertEquals(diff(layout, desired, observed), oracle(layout, desired, observed));
    }),
    { seed: SEED, numRuns: 500 },
  );
});

Deno.test("diffTables() finds nothing to do between a table and its rows in another order", () => {
  fc.assert(
    fc.property(tables, ({ layout, desired }) => {
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
  ["the first of several unequal rows with one key as replaced", [[1, 2, 3]], [[1, 9, 9], [1, 0, 0]], {
    additions: [],
    replacements: [0],
    deletions: [1],
  }],
];

for (const [name, desired, observed, expected] of cases) {
  Deno.test(`diffTables() answers ${name}`, () => {
    assertEquals(diff(LAYOUT, desired, observed), expected);
  });
}

Deno.test("diffTables() answers with arrays that later calls do not touch", () => {
  const first = diffTables(tableOf(LAYOUT, [[1, 0, 0]]), tableOf(LAYOUT, [[2, 0, 0]]));
  diffTables(tableOf(LAYOUT, [[5, 0, 0], [6, 0, 0], [7, 0, 0]]), tableOf(LAYOUT, []));
  assertEquals([[...first.additions], [...first.deletions]], [[0], [0]]);
});

const orders: [name: string, order: (rows: number[][]) => number[][]][] = [
  ["sorted", (rows) => rows],
  ["reversed", (rows) => rows.toReversed()],
  ["scattered", (rows) => rows.toSorted((a, b) => a[0]! * 7919 % 20_011 - b[0]! * 7919 % 20_011)],
];

for (const [name, order] of orders) {
  Deno.test(`diffTables() answers the same of 20,000 ${name} rows`, () => {
    const rows = Array.from({ length: 20_000 }, (_, key) => [key, key, 0]);
    const desired = rows.filter(([key]) => key! % 5 !== 0).map((
      [key, value],
    ) => [key!, value!, key! % 7 === 0 ? 1 : 0]);
    const answer = diff(LAYOUT, desired, order(rows));
    assertEquals(answer.additions, []);
    assertEquals(answer.replacements.length, desired.filter(([key]) => key! % 7 === 0).length);
    assertEquals(answer.deletions.length, 4000);
  });
}

Deno.test("diffTables() has room for 200,000 rows, and for few again", () => {
  const layout = { words: 15, keyWords: 7 };
  const table = new Table(layout, 200_000);
  for (let row = 0; row < 200_000; row++) table.storage[table.push()] = row;
  assertEquals(diffTables(table, new Table(layout)).additions.length, 200_000);
  assertEquals(diffTables(table, table).deletions.length, 0);
  assertEquals(diff(LAYOUT, [[1, 0, 0]], [[1, 0, 0]]), { additions: [], replacements: [], deletions: [] });
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
