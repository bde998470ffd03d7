import { assertEquals, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { runTestFile } from "./run_file.ts";

const said: string[] = [];

describe("describe()", () => {
  beforeEach(() => void said.push("before"));
  beforeEach(async () => void said.push(await Promise.resolve("and before")));
  afterEach(() => void said.push("after"));

  it("runs a step", (t) => {
    said.push(t.name);
    assertEquals(t.parent?.name, "describe()");
  });
  it("runs the next", async (t) => void said.push(await Promise.resolve(t.name)));
});

Deno.test("describe() runs its steps in order, each between the hooks", () => {
  assertEquals(
    said,
    ["runs a step", "runs the next"].flatMap((step) => ["before", "and before", step, "after"]),
  );
});

Deno.test("afterEach() is done after a step that has failed too, and the next step runs", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-bdd-" });
  try {
    const { isPassed, said } = await runTestFile(
      folder,
      `import { afterEach, describe, it } from "@std/testing/bdd";
       describe("steps", () => {
         afterEach(() => Deno.writeTextFile("${folder}/after", "a", { append: true }));
         it("fails", () => { throw new Error("as it must"); });
         it("passes", () => {});
       });`,
    );
    assertEquals([isPassed, /0 passed \(1 step\) \| 1 failed \(1 step\)/.test(said)], [false, true], said);
    assertEquals(await Deno.readTextFile(`${folder}/after`), "aa");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("it() and the hooks are refused outside of a description, and one description within another", () => {
  assertThrows(() => it("step", () => {}), Error, "Cannot call it(): it is outside of describe()");
  assertThrows(() => beforeEach(() => {}), Error, "Cannot call beforeEach()");
  assertThrows(() => afterEach(() => {}), Error, "Cannot call afterEach()");
  const nested = () => describe("outer", () => describe("inner", () => {}));
  assertThrows(nested, Error, "Cannot describe inner: it is within another description");
});
