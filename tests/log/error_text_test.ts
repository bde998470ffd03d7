import { assertEquals } from "@std/assert";
import { errorText } from "../../src/log/error_text.ts";

const cases: [thrown: unknown, text: string][] = [
  [new RangeError("Cannot use port 70000: at most 65535"), "Cannot use port 70000: at most 65535"],
  ["a string that a library throws", "a string that a library throws"],
  [undefined, "undefined"],
  [{ toString: () => "an object with words of its own" }, "an object with words of its own"],
];

for (const [thrown, text] of cases) {
  Deno.test(`errorText() says "${text}" of what was thrown`, () => {
    assertEquals(errorText(thrown), text);
  });
}
