import { assertEquals, assertNotEquals } from "@std/assert";
import { sourceDigest } from "../../.ci/wasm.ts";

Deno.test("sourceDigest() changes with a source, its name and the compiler, and with nothing else", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-wasm-" });
  try {
    const digest = (command = "asc") => sourceDigest(folder, [command]);
    await Deno.writeTextFile(`${folder}/core.ts`, "a");
    const first = await digest();
    await Deno.writeTextFile(`${folder}/notes.txt`, "b");
    assertEquals(await digest(), first);
    assertNotEquals(await digest("asc -O3"), first);
    await Deno.writeTextFile(`${folder}/core.ts`, "b");
    const second = await digest();
    assertNotEquals(second, first);
    await Deno.rename(`${folder}/core.ts`, `${folder}/other.ts`);
    assertNotEquals(await digest(), second);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
