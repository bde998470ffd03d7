import { assert, assertEquals, assertThrows } from "@std/assert";
import { JsonSieve, type Kept, MAX_KEPT_BYTES } from "../../../src/registry/http/json_sieve.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";

/** What a sieve hands over for `text`, cut into chunks of at most `chunkBytes`. */
function sift(
  kept: Kept,
  text: string,
  chunkBytes = 1 << 20,
): { documents: unknown[]; elements: unknown[]; sieve: JsonSieve } {
  const documents: unknown[] = [];
  const elements: unknown[] = [];
  const sieve = new JsonSieve(kept, {
    document: (value) => documents.push(value),
    element: (value) => elements.push(value),
  });
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += chunkBytes) sieve.write(bytes.subarray(at, at + chunkBytes));
  return { documents, elements, sieve };
}

const cases: [name: string, kept: Kept, text: string, documents: unknown[], elements?: unknown[]][] = [
  ["keeps the members that are named", { a: true, b: { c: true } }, '{"x":1,"a":2,"b":{"c":[3],"d":4}}', [
    { a: 2, b: { c: [3] } },
  ]],
  ["keeps a member of one name in its place alone", { a: { b: true } }, '{"b":1,"a":{"b":2,"a":{"b":3}}}', [
    { a: { b: 2 } },
  ]],
  ["keeps nothing of an object that has nothing of it", { a: true }, '{"b":{"a":1}}', [{}]],
  ["reads documents behind each other", { a: true }, '{"a":1}\n{"a":2}\n\n{"a":3}', [{ a: 1 }, { a: 2 }, {
    a: 3,
  }]],
  [
    "hands over the elements of a list one by one",
    { items: [{ n: true }], m: true },
    '{"items":[{"n":1,"x":0},{"n":2}],"m":5}',
    [
      { items: [], m: 5 },
    ],
    [{ n: 1 }, { n: 2 }],
  ],
  ["reads an empty list", { items: [true] }, '{ "items" : [ ] }', [{ items: [] }], []],
  ["reads a list of null", { items: [true] }, '{"items":null}', [{ items: null }], []],
  [
    "is not misled by brackets and quotes in texts that are dropped",
    { a: true },
    String.raw`{"x":"}]\"\\","y":["{"],"a":"\"}"}`,
    [
      { a: '"}' },
    ],
  ],
  ["reads keys with escapes", { 'a"b': true, "ä": true }, String.raw`{"a\"b":1,"\u00e4":2}`, [{
    'a"b': 1,
    "ä": 2,
  }]],
  ["drops keys that are longer than any of interest", { "": true }, `{"${"k".repeat(300)}":1}`, [{}]],
  ["keeps what is no object as it is where one was expected", { a: { b: true } }, '{"a":"text"}', [{
    a: "text",
  }]],
  ["keeps numbers and words of JSON", { a: true, b: true, c: true }, '{"a":-1.5e3,"b":true ,"c": null}', [
    { a: -1500, b: true, c: null },
  ]],
  ["takes the last of two members with one name", { a: true }, '{"a":1,"a":2}', [{ a: 2 }]],
  [
    "does not take names of the prototype for kept",
    { a: true },
    '{"constructor":1,"__proto__":{"x":1},"a":2}',
    [{ a: 2 }],
  ],
];

for (const [name, kept, text, documents, elements = []] of cases) {
  for (const chunkBytes of [1 << 20, 1, 3]) {
    Deno.test(`JsonSieve ${name}, in chunks of ${chunkBytes} bytes`, () => {
      const sifted = sift(kept, text, chunkBytes);
      assertEquals(sifted.documents, documents);
      assertEquals(sifted.elements, elements);
      assert(sifted.sieve.isAtRest);
    });
  }
}

for (
  const [what, value] of [["text", "x".repeat(MAX_KEPT_BYTES)], [
    "array",
    Array(MAX_KEPT_BYTES).fill(1),
  ]] as const
) {
  Deno.test(`JsonSieve puts its length in place of a ${what} that is too long, and reads on`, () => {
    const json = JSON.stringify({ n: 1, a: value, b: 2 });
    for (const chunkBytes of [1 << 20, 100]) {
      const length = JSON.stringify(value).length;
      assertEquals(sift({ n: true, a: true, b: true }, json, chunkBytes).documents, [{
        n: 1,
        a: length,
        b: 2,
      }]);
    }
  });
}

Deno.test("JsonSieve stores nothing of what it drops, however long it is", () => {
  const { documents, sieve } = sift({ a: true }, `{"x":"`);
  const chunk = new TextEncoder().encode("y".repeat(1 << 20));
  for (let count = 0; count < 64; count++) sieve.write(chunk);
  sieve.write(new TextEncoder().encode(`","a":1}`));
  assertEquals(documents, [{ a: 1 }]);
});

const refused: [name: string, text: string][] = [
  ["a text without a colon", '{"a" 1}'],
  ["a bracket that closes something else", '{"a":{"b":1]}'],
  ["a member without a value", '{"a":,}'],
  ["a word that JSON does not have", '{"a":nope}'],
  ["a text that is no object", "404 page not found"],
];

for (const [name, text] of refused) {
  Deno.test(`JsonSieve refuses ${name}`, () => {
    assertThrows(() => sift({ a: { b: true }, c: true }, `${text}\n`), SyntaxError);
  });
}

Deno.test("JsonSieve refuses a document of which too much is of interest", () => {
  const member = `"a":"${"x".repeat(MAX_KEPT_BYTES - 2)}"`;
  assertThrows(() => sift({ a: true }, `{${Array(40).fill(member).join()}}`), SyntaxError);
});

Deno.test("JsonSieve says whether a document is half read", () => {
  for (const text of ["{", '{"a"', '{"a":1', '{"x":[1,']) {
    assert(!sift({ a: true }, text).sieve.isAtRest, text);
  }
  assert(sift({ a: true }, "").sieve.isAtRest);
});

/** What a sieve should keep: the model, on values. */
function project(kept: Kept | undefined, value: unknown): unknown {
  if (
    kept === undefined || kept === true || typeof value !== "object" || value === null || Array.isArray(value)
  ) return value;
  return Object.fromEntries(
    Object.entries(value).filter(([key]) => Object.hasOwn(kept, key))
      .map(([key, inner]) => [key, project((kept as Record<string, Kept>)[key], inner)]),
  );
}

function randomValue(random: () => number, depth: number): unknown {
  const kind = Math.floor(random() * (depth > 0 ? 7 : 5));
  if (kind === 0) return pick(random, [null, true, false]);
  if (kind === 1) return Math.round((random() - 0.5) * 1e6) / 1000;
  if (kind < 5) return pick(random, ["", 'q"uote', "\\", "ä€𐍈", "{[", "]}", "\n\t\u0001", "a".repeat(50)]);
  const count = Math.floor(random() * 4);
  if (kind === 5) return Array.from({ length: count }, () => randomValue(random, depth - 1));
  return Object.fromEntries(
    Array.from(
      { length: count },
      () => [pick(random, ["a", "b", "c", "d", 'k"', "ü"]), randomValue(random, depth - 1)],
    ),
  );
}

function randomKept(random: () => number, depth: number): Kept {
  if (depth === 0 || random() < 0.3) return true;
  return Object.fromEntries(
    ["a", "b", 'k"', "ü"].filter(() => random() < 0.6).map((key) => [key, randomKept(random, depth - 1)]),
  );
}

Deno.test(`JsonSieve keeps what a filter of the parsed document would keep, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 3000; round++) {
    const kept = randomKept(random, 3);
    const values = Array.from(
      { length: 1 + Math.floor(random() * 3) },
      () => ({ a: randomValue(random, 4), b: randomValue(random, 3) }),
    );
    const text = values.map((value) => JSON.stringify(value, undefined, pick(random, ["", "  "]))).join("\n");
    const { documents } = sift(kept, text, 1 + Math.floor(random() * 40));
    assertEquals(
      documents,
      values.map((value) => project(kept, value)),
      `round ${round} of seed ${SEED}: ${text}`,
    );
  }
});

Deno.test(`JsonSieve refuses damaged documents or reads them, and never fails otherwise, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 3000; round++) {
    const bytes = new TextEncoder().encode(JSON.stringify({ a: randomValue(random, 4) }));
    for (let hit = 0; hit < 3; hit++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    const sieve = new JsonSieve({ a: { b: true, a: true } }, { document: () => {} });
    try {
      sieve.write(bytes);
    } catch (error) {
      assert(error instanceof SyntaxError, `round ${round} of seed ${SEED}: ${error}`);
    }
  }
});

const cuts: [text: string, head: string, why: string][] = [
  ["x".repeat(40), "x".repeat(15), "it is plain"],
  [`${"x".repeat(13)}\\n${"x".repeat(9)}`, "x".repeat(13) + "\n", "an escape ends where the cut is"],
  [`${"x".repeat(14)}\\n${"x".repeat(9)}`, "x".repeat(14), "the cut falls into an escape"],
  [`${"x".repeat(11)}\\u00e4${"x".repeat(9)}`, "x".repeat(11), "the cut falls into a long escape"],
  [`${"x".repeat(13)}\\\\${"x".repeat(9)}`, "x".repeat(13) + "\\", "a backslash ends where the cut is"],
  [`${"x".repeat(14)}ä${"x".repeat(9)}`, "x".repeat(14), "the cut falls into a character"],
];

for (const [text, head, why] of cuts) {
  Deno.test(`JsonSieve keeps the head of a long text where it is told to: ${why}`, () => {
    for (const chunkBytes of [1, 3, 1000]) {
      const elements: unknown[] = [];
      const sink = { document: () => {}, element: (value: unknown) => elements.push(value) };
      const sieve = new JsonSieve([{ a: true, b: true }], sink, { maxKeptBytes: 16, cuts: true });
      const bytes = new TextEncoder().encode(`[{"a":"${text}","b":[${"1,".repeat(20)}1]},{"a":"short"}]`);
      for (let at = 0; at < bytes.length; at += chunkBytes) sieve.write(bytes.subarray(at, at + chunkBytes));
      const length = new TextEncoder().encode(`"${text}"`).length;
      assertEquals(elements, [{ a: { length, head }, b: 43 }, { a: "short" }]);
    }
  });
}
