import { assertEquals, assertStringIncludes } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { assertSnapshot } from "@std/testing/snapshot";
import { runTestFile } from "./run_file.ts";

describe("assertSnapshot()", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await Deno.makeTempDir({ prefix: "lodentest-snapshot-" });
  });

  afterEach(() => Deno.remove(folder, { recursive: true }));

  it("takes what is as it was", async (t) => {
    await assertSnapshot(t, { list: [1, undefined, "a\tb"], nested: { map: new Map([["k", 1n]]) } });
    await assertSnapshot(t, "two lines,\nof which one has `${signs}` and a \\\r\n");
    await assertSnapshot(t, 7);
  });

  it("refuses what is not, what there is no snapshot of, and takes both with --update", async () => {
    const missing = await runTestFile(folder, test("one\\ntwo"));
    assertStringIncludes(missing.said, "Cannot compare with snapshot it snaps 1: ");
    assertEquals((await runTestFile(folder, test("one\\ntwo"), "--update")).isPassed, true);
    assertEquals((await runTestFile(folder, test("one\\ntwo"))).isPassed, true);
    const other = await runTestFile(folder, test("one\\nthree"));
    assertEquals([missing.isPassed, other.isPassed], [false, false]);
    assertStringIncludes(other.said, "it is no longer as in ");
    assertEquals((await runTestFile(folder, test("one\\nthree"), "--update")).isPassed, true);
    assertEquals(
      await Deno.readTextFile(`${folder}/__snapshots__/made_test.ts.snap`),
      'export const snapshot = {};\n\nsnapshot[`it snaps 1`] = `\n"one\nthree"\n`;\n',
    );
  });
});

function test(text: string): string {
  return `import { assertSnapshot } from "@std/testing/snapshot";
    Deno.test("it snaps", (t) => assertSnapshot(t, "${text}"));`;
}
