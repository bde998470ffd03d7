import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { parseJson, parseMembers } from "../../src/config/json.ts";
import { goJson, hasHugeNumber, sortedEntries, structOf } from "../../src/pods/go_json.ts";

// Go 1.26: `json.Unmarshal([]byte(text), &struct{ Ask string; Maps map[string]any; Mops map[string]any }{})`.
const structs: [text: string, expected: string, why: string][] = [
  ['{"ask":"a"}', '{"ask":"a"}', "the very key"],
  ['{"ASK":"a"}', '{"ask":"a"}', "in capitals"],
  ['{"a\u017f\u212a":"a"}', '{"ask":"a"}', "long s and Kelvin"],
  ['{"\u00e4sk":"a","as":"b","asks":"c","":"d"}', "{}", "other keys"],
  ['{"ask":"a","Ask":"b"}', '{"ask":"b"}', "the last counts, whatever its case"],
  ['{"Ask":"b","ask":"a"}', '{"ask":"a"}', "the last counts"],
  ['{"ask":"a","ask":null}', '{"ask":"a"}', "null leaves text"],
  ['{"ask":null,"ask":"a"}', '{"ask":"a"}', "text behind null"],
  ['{"maps":{"a":1,"b":1},"MAPS":{"b":2}}', '{"maps":{"a":1,"b":2}}', "maps are put together"],
  ['{"maps":{"a":{"x":1}},"maps":{"a":{"y":1}}}', '{"maps":{"a":{"y":1}}}', "what is in them is not"],
  ['{"maps":{"a":1},"maps":null}', '{"maps":null}', "null takes a map away"],
  ['{"maps":{"a":1},"maps":null,"maps":{"b":1}}', '{"maps":{"b":1}}', "and then it is a new one"],
];
for (const [text, expected, why] of structs) {
  Deno.test(`structOf() reads ${text} as Go does: ${why}`, () => {
    assertEquals(JSON.stringify(structOf(parseMembers(text)!, { ask: "text", maps: "object" })), expected);
  });
}

for (const text of ['{"ask":7,"ask":"a"}', '{"ASK":7,"ask":null}', '{"ask":"a","ask":7}']) {
  Deno.test(`structOf() keeps what is of the wrong kind, as Go keeps the error, in ${text}`, () => {
    assertEquals(structOf(parseMembers(text)!, { ask: "text" }), { ask: 7 });
  });
}

Deno.test("structOf() prefers the key that is spelled so to one that folds to it", () => {
  assertEquals(structOf([["Ab", 1], ["AB", 2]], { ab: "any", AB: "any" }), { ab: 1, AB: 2 });
});

// Go 1.26: `json.Unmarshal([]byte(text), &value); json.Marshal(value)` with `var value any`.
const texts: [text: string, expected: string][] = [
  ['{"b":1,"a":[true,null,"x"]}', '{"a":[true,null,"x"],"b":1}'],
  ['{"10":1,"9":2,"a":3}', '{"10":1,"9":2,"a":3}'],
  ['{"\ud83d\ude00":1,"\uff5e":2,"":3,"a":4,"ab":5}', '{"":3,"a":4,"ab":5,"\uff5e":2,"\ud83d\ude00":1}'],
  ['"<>&\u2028\u2029"', '"\\u003c\\u003e\\u0026\\u2028\\u2029"'],
  ['"\\u007f\\b\\f\\n\\r\\t\\u0001\\"\\\\/"', '"\u007f\\b\\f\\n\\r\\t\\u0001\\"\\\\/"'],
  ['"\\ud800"', '"\ufffd"'],
  ["[-0,1e21,1e20,1e-6,1e-7,0.1]", "[-0,1e+21,100000000000000000000,0.000001,1e-7,0.1]"],
];
for (const [text, expected] of texts) {
  Deno.test(`goJson() writes ${JSON.stringify(text)} as Go does`, () => {
    assertEquals(goJson(parseJson(text)), expected);
  });
}

Deno.test("goJson() leaves the keys of a struct in their order", () => {
  const route = { dst: "10.0.0.0/8", advmss: 1 };
  assertEquals(
    goJson({ z: [route], a: { b: 1 } }, [route]),
    '{"a":{"b":1},"z":[{"dst":"10.0.0.0/8","advmss":1}]}',
  );
});

Deno.test("goJson() writes what is read as the same value, whatever the order of its keys", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    const value = parseJson(text);
    assertEquals(goJson(parseJson(goJson(value))), goJson(value));
    assertEquals(JSON.parse(goJson(value)), JSON.parse(text));
  }));
});

Deno.test("sortedEntries() has the order of UTF-8's bytes", () => {
  const encoder = new TextEncoder();
  const key = fc.string({ unit: "grapheme" });
  fc.assert(fc.property(fc.uniqueArray(key), (keys) => {
    const object = Object.fromEntries(keys.map((key) => [key, 1]));
    const sorted = sortedEntries(object).map(([key]) => encoder.encode(key));
    sorted.slice(1).forEach((bytes, at) => assert(compareBytes(sorted[at]!, bytes) < 0));
  }));
});

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return at === -1 ? a.length - b.length : a[at]! - (b[at] ?? -1);
}

Deno.test("hasHugeNumber() finds what Go's numbers can't hold, however deep", () => {
  for (const text of ["1e400", '{"a":[{"b":-1e400}]}']) assertEquals(hasHugeNumber(JSON.parse(text)), true);
  for (const text of ["1e308", "null", '{"a":["1e400",null]}']) {
    assertEquals(hasHugeNumber(JSON.parse(text)), false);
  }
});
