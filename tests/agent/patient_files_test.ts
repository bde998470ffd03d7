import { assertEquals, assertRejects } from "@std/assert";
import { PatientFiles } from "../../src/agent/patient_files.ts";
import { credentialReader } from "../../src/agent/read_credential.ts";
import { OddFileError } from "../../src/file/read_text.ts";
import { Libc } from "../../src/linux/libc.ts";

async function inFolder(run: (folder: string, files: PatientFiles) => Promise<void>): Promise<void> {
  using libc = new Libc();
  const folder = await Deno.makeTempDir({ prefix: "loden-files-" });
  try {
    await run(folder, new PatientFiles(libc, 200));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("PatientFiles.read() reads a file of any length, to its end", () =>
  inFolder(async (folder, files) => {
    for (const text of ["", "a", "ä".repeat(200_000)]) {
      await Deno.writeTextFile(`${folder}/file`, text);
      assertEquals(await files.read(`${folder}/file`, 2 ** 20), text);
    }
    assertEquals(
      (await files.read("/proc/self/status", 2 ** 20)).startsWith("Name:"),
      true,
      "it says no length",
    );
  }));

Deno.test("PatientFiles.read() says what is no file, too large, or not there", () =>
  inFolder(async (folder, files) => {
    const path = `${folder}/file`;
    await Deno.writeTextFile(path, "12345");
    await assertRejects(() => files.read(path, 4), OddFileError, "it has more than 4 bytes");
    await assertRejects(() => files.read("/proc/self/status", 4), OddFileError, "it has more than 4 bytes");
    await assertRejects(() => files.read("/dev/zero", 4), OddFileError, "it is a device");
    await assertRejects(() => files.read(folder, 4), OddFileError, "it is a folder");
    await assertRejects(() => files.read(`${folder}/none`, 4), Deno.errors.NotFound);
    const read = credentialReader(files);
    assertEquals(await read(path), "12345");
    await Deno.truncate(path, 2 ** 20 + 1);
    await assertRejects(() => read(path), OddFileError, "it has more than 1048576 bytes");
  }));
