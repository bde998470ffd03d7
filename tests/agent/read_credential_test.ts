import { assertEquals, assertRejects } from "@std/assert";
import { OddFileError } from "../../src/file/read_text.ts";
import { readCredential } from "../../src/agent/read_credential.ts";

Deno.test("readCredential() reads a file, and rejects with what is none", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "token");
    assertEquals(await readCredential(path), "token");
    await assertRejects(() => readCredential("/dev/zero"), OddFileError, "it is a device");
    await Deno.truncate(path, 2 ** 20 + 1);
    await assertRejects(() => readCredential(path), OddFileError, "it has more than 1048576 bytes");
  } finally {
    await Deno.remove(path);
  }
});
