import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { JsonSyntaxError, parseJson, parseMembers } from "../../src/config/json.ts";

const refused: [text: string, line: number, column: number, reason: string, why: string][] = [
  ["", 1, 1, "expected a value, but the text ends", "there is nothing"],
  ["  ", 1, 3, "expected a value, but the text ends", "blanks are nothing"],
  ["{", 1, 2, "expected a key in double quotes, but the text ends", "the object does not end"],
  ['{"a":1,}', 1, 8, 'expected a key in double quotes, but there is "}"', "a comma follows the last member"],
  ['{\n  "a" 1}', 2, 7, 'expected ":", but there is "1"', "a colon is missing, and the line counts"],
  ['{"a":1 "b":2}', 1, 8, 'expected "," or "}", but there is "\\""', "a comma is missing"],
  ["[1 2]", 1, 4, 'expected "," or "]", but there is "2"', "a comma is missing in a list"],
  ["{'a':1}", 1, 2, 'expected a key in double quotes, but there is "\'"', "a key is in single quotes"],
  ['{"a":01}', 1, 7, 'expected "," or "}", but there is "1"', "a number has a leading zero"],
  ['{"a":True}', 1, 6, 'expected a value, but there is "T"', "true is lower case"],
  ['{"a":"b', 1, 6, "a string without an end", "a quote is missing"],
  ['{"a":"\\x"}', 1, 6, "a string with a bad escape or a control character", "JSON has no \\x"],
  ['{"a":"\n"}', 1, 6, "a string with a bad escape or a control character", "a line breaks in a string"],
  ["{} // end", 1, 4, 'expected the end, but there is "/"', "JSON has no comments"],
  ["[1e400]", 1, 7, "a number that is too large", "no float holds it, and Go's decoder refuses it too"],
  ["-1e400", 1, 7, "a number that is too large", "no float holds it"],
  ["{}{}", 1, 3, 'expected the end, but there is "{"', "two values follow each other"],
  [
    "\u{1f600}",
    1,
    1,
    'expected a value, but there is "\u{1f600}"',
    "a character of two units is one character",
  ],
];

for (const [text, line, column, reason, why] of refused) {
  Deno.test(`parseJson() refuses ${JSON.stringify(text)} at ${line}:${column} because ${why}`, () => {
    const error = assertThrows(() => parseJson(text), JsonSyntaxError);
    assertEquals([error.line, error.column, error.reason], [line, column, reason]);
  });
}

Deno.test("parseJson() ends on text that is nested without end", () => {
  assertThrows(() => parseJson("[".repeat(60_000)), JsonSyntaxError, "nested deeper than 64 levels");
});

Deno.test("parseJson() keeps the last of equal keys, and its place", () => {
  assertEquals(Object.entries(parseJson('{"a":1,"b":2,"a":3}') as object), [["b", 2], ["a", 3]]);
});

Deno.test('parseJson() takes "__proto__" for a key like any other', () => {
  assertEquals(Object.entries(parseJson('{"__proto__":{"a":1}}') as object).length, 1);
});

Deno.test("parseJson() agrees with JSON.parse() on any JSON", () => {
  fc.assert(fc.property(fc.json(), (text) => {
    assertEquals(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)));
  }));
});

Deno.test("parseJson() refuses what JSON.parse() refuses, and says where", () => {
  const damaged = fc.tuple(fc.json(), fc.nat(), fc.constantFrom("", "}", ",", '"', "x", "\\", "0"))
    .map(([text, at, mark]) =>
      text.slice(0, at % (text.length + 1)) + mark + text.slice(at % (text.length + 1) + 1)
    );
  fc.assert(fc.property(damaged, (text) => {
    let isJson = true;
    try {
      // A number that no float holds is JSON, and refused all the same.
      JSON.parse(text, (_key, value) => {
        isJson &&= value !== Infinity && value !== -Infinity;
        return value;
      });
    } catch {
      isJson = false;
    }
    if (isJson) return void parseJson(text);
    const { line, column } = assertThrows(() => parseJson(text), JsonSyntaxError);
    assertEquals(line >= 1 && column >= 1 && column <= text.length + 1, true);
  }));
});

Deno.test("parseMembers() has all members of an object in the order of the text", () => {
  const members = parseMembers(' {"b":1,"a":{"x":1,"x":2},"b":null} ');
  assertEquals(JSON.stringify(members), '[["b",1],["a",{"x":2}],["b",null]]');
  assertEquals(parseMembers("{}"), []);
  assertEquals(parseMembers('{"a":1e400}'), [["a", Infinity]]);
});

Deno.test("parseMembers() says that another value is no object, and refuses what is no value", () => {
  for (const text of ["[]", "1", '"{}"', "null"]) assertEquals(parseMembers(text), undefined);
  for (const text of ["", "{", "{} x", "[] x", '{"a":1,}']) {
    assertThrows(() => parseMembers(text), JsonSyntaxError);
  }
});
