import { assertEquals, assertLess, assertThrows } from "@std/assert";
import { readGoYaml } from "../../../src/registry/kube/go_yaml.ts";

// What kubectl 1.32 makes of each, by `kubectl config view --raw -o json --kubeconfig=FILE`.
const values: [text: string, value: unknown, why: string][] = [
  ["yes", true, "YAML 1.1 has more words for it"],
  ["On", true, "they may begin with a capital"],
  ["y", true, "a letter is enough"],
  ["off", false, "and more words against it"],
  ["N", false, "a letter is enough"],
  ["!!bool yes", true, "a tag says what it is anyway"],
  ["'yes'", "yes", "what is quoted is text"],
  ["yEs", "yEs", "it is no word of YAML's"],
  ["~", null, "it is null"],
  ["", null, "nothing is null"],
  ["0o17", NaN, "Go writes octal so"],
  ["017", NaN, "and C so"],
  ["1_000", NaN, "digits may be grouped"],
  ["1e3", NaN, "it has an exponent"],
  [".5", NaN, "it is a fraction"],
  [".inf", NaN, "it is a number without end"],
  ["!!str 12", "12", "a tag says what it is"],
  ["e2", "e2", "an exponent alone is a name"],
  [".", ".", "a point alone is a path"],
  ["1:20", "1:20", "Go has no numbers to base 60"],
  ["2001-01-01", "2001-01-01", "a date stays text"],
  ["1.2.3", "1.2.3", "a version is text"],
  ["!of-ours abc", "abc", "an unknown tag says nothing"],
  ["{ a: x, a: z }", { a: "z" }, "the last of two equal keys counts"],
  ["{ <<: { a: x, b: x }, a: z }", { a: "z", b: "x" }, "an own member that follows replaces a merged one"],
  ["{ a: z, <<: { a: x } }", { a: "x" }, "and is replaced by one that follows"],
  ["{ <<: [{ a: x }, { a: w, b: w }] }", { a: "x", b: "w" }, "the first of a list is the strongest"],
  ["<<", "<<", "it merges only as a key"],
];

for (const [text, value, why] of values) {
  Deno.test(`readGoYaml() reads ${JSON.stringify(text)} as kubectl does: ${why}`, () => {
    const { found } = readGoYaml(`found: ${text}\n`) as { found: unknown };
    // Which number it is makes no difference: kubectl takes none where a kubeconfig has text.
    assertEquals(typeof found === "number" ? NaN : found, value);
  });
}

const files: [text: string, value: unknown, why: string][] = [
  ["", null, "an empty file"],
  ["# nothing\n", null, "a comment alone"],
  ["a: x\n---\na: [", { a: "x" }, "only the first document is read"],
  [
    "\ufeffa: x\r\nb: z\r\n",
    { a: "x", b: "z" },
    "a byte order mark, and lines that end as Windows ends them",
  ],
  ["a: &a { b: x }\nc: *a\n", { a: { b: "x" }, c: { b: "x" } }, "a name for what stands elsewhere"],
  ["a: [\n]\n", { a: [] }, "a bracket in the column of its key"],
  ["a:\tx\t\n", { a: "x" }, "tabs are blanks within a line"],
];

for (const [text, value, why] of files) {
  Deno.test(`readGoYaml() reads the file ${JSON.stringify(text)} as kubectl does: ${why}`, () => {
    assertEquals(readGoYaml(text), value);
  });
}

const refused: [text: string, message: string, why: string][] = [
  ["a: x\nb: @", "Plain value cannot start with reserved character @ at line 2, column 4", "a reserved sign"],
  ["a:\n\tb: x", "Tabs are not allowed as indentation at line 2, column 1", "a tab as indentation"],
  [
    "a: [\nb\n]",
    "Flow sequence in block collection must be sufficiently indented and end with a ] at line 2, column 1",
    "brackets whose lines are not indented, unlike kubectl,",
  ],
  ["a: *b", "Unresolved alias (the anchor must be set before the alias): b", "a name that nothing has"],
  ["{ <<: x }", "<< must name maps", "a merge of text"],
  [
    bomb(12),
    "Excessive alias count indicates a resource exhaustion attack",
    "9 to the twelfth words by aliases",
  ],
  ["- x\n".repeat(100_000), "it has more than 50000 words and signs", "what takes seconds to read"],
];

for (const [text, message, why] of refused) {
  Deno.test(`readGoYaml() refuses ${why} in one line`, () => {
    const startMs = performance.now();
    assertEquals(assertThrows(() => readGoYaml(text), Error).message, message);
    assertLess(performance.now() - startMs, 10_000);
  });
}

/** Lists of lists, each of nine times the one before it. */
function bomb(depth: number): string {
  const nine = (word: string) => `[${Array(9).fill(word).join()}]`;
  return Array.from({ length: depth }, (_, n) => `a${n}: &a${n} ${nine(n === 0 ? "x" : `*a${n - 1}`)}\n`)
    .join("");
}
