import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { escaped, escapedIn, printable, printableIn } from "../../src/log/printable.ts";

/** Whatever breaks a line, is not seen, or turns what is around it. */
const UNFIT = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\p{Zl}\p{Zp}]/u;

const rows: readonly [text: string, shown: string, why: string][] = [
  ["größe – 网络 🌐 ‹x›\\n", "größe – 网络 🌐 ‹x›\\n", "letters and signs of all scripts"],
  ["a\u202egnp.exe", "a\\u202egnp.exe", "what turns the line around"],
  ["\u2066\u2067\u2069\u200e\u061c", "\\u2066\\u2067\\u2069\\u200e\\u061c", "and all others that do"],
  ["a\u2028b\u2029c\u0085d\r\ne\tf", "a b c d e f", "line breaks of all kinds, and tabs"],
  ["\x00\x1b[31mred\x7f\x9b", "\\u0000\\u001b[31mred\\u007f\\u009b", "what a terminal obeys"],
  ["a\u200bb\ufeffc\u00add", "a\\u200bb\\ufeffc\\u00add", "what has no width"],
  ["\ud800x\udc00", "\\ud800x\\udc00", "halves of signs"],
  ["\u{e0041}\u{f0000}", "\\u{e0041}\\u{f0000}", "tags, and signs of nobody's"],
];

for (const [text, shown, why] of rows) {
  Deno.test(`printable() shows ${JSON.stringify(shown)}: ${why}`, () => assertEquals(printable(text), shown));
}

Deno.test("printable() cuts what is long, and no sign in two", () => {
  assertEquals(printable("a".repeat(10_000)).length, 2001);
  assertEquals(printable("ab🌐", 3), "ab…");
  assertEquals(printable("ab🌐", 4), "ab🌐");
});

Deno.test("printable() makes one fit line of any text, and the same again of that", () => {
  const seed = Number(Deno.env.get("LODEN_SEED") ?? Date.now() % 2 ** 31);
  const unit = fc.oneof(
    fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
    fc.integer({ min: 0, max: 0x10ffff }).map((code) => String.fromCodePoint(code)),
    fc.constantFrom("\u202e", "\u2028", "\n", "\\", "\ud800", "a"),
  );
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 400 }), (units) => {
      const shown = printable(units.join(""));
      assert(!UNFIT.test(shown), JSON.stringify(shown));
      assert(shown.isWellFormed());
      assertEquals(printable(shown), shown, `seed ${seed}`);
      const lines = escaped(units.join(""));
      assert(!UNFIT.test(lines.replaceAll(/[\n\t]/g, "")), JSON.stringify(lines));
    }),
    { seed },
  );
});

Deno.test("escapedIn() escapes every text of what is told to others, names too, and nothing else", () => {
  const date = new Date(0);
  assertEquals(escapedIn({ "a\u202e": ["\u2028", 1, null, undefined, true, { b: "x\ny" }], date, big: 1n }), {
    "a\\u202e": ["\\u2028", 1, null, undefined, true, { b: "x\ny" }],
    date,
    big: 1n,
  });
});

Deno.test("printableIn() makes one line of every text, names too, and nothing else, however long it is", () => {
  const long = "a".repeat(5000);
  assertEquals(printableIn({ "a\nb": ["x\ny\x1b[31m", 1, null, { long }] }), {
    "a b": ["x y\\u001b[31m", 1, null, { long }],
  });
});
