import { assertEquals, assertRejects } from "@std/assert";
import { PatientFiles } from "../../src/agent/patient_files.ts";
import { OddFileError } from "../../src/file/read_text.ts";
import { Libc } from "../../src/linux/libc.ts";
import { mountHungDisk } from "../double/hung_disk.ts";
import { until } from "../double/overlay_rig.ts";

Deno.test("PatientFiles.read() gives a disk that hangs up, asks it once at a time, and reads it when it is back", async () => {
  using libc = new Libc();
  const files = new PatientFiles(libc, 200);
  const folder = await Deno.makeTempDir({ prefix: "loden-files-" });
  const path = `${folder}/file`;
  try {
    await Deno.writeTextFile(path, "text");
    {
      await using _hung = await mountHungDisk(folder, Deno.pid);
      for (let at = 0; at < 3; at++) {
        await assertRejects(
          () => files.read(path, 4),
          OddFileError,
          "it was not read within 0.2 s; see whether the file system that it is on hangs",
        );
        assertEquals(await threadsThatWait(), 1);
      }
    }
    await until("read it again", () => files.read(path, 4).catch(() => undefined));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function threadsThatWait(): Promise<number> {
  let count = 0;
  for await (const { name } of Deno.readDir("/proc/self/task")) {
    const where = await Deno.readTextFile(`/proc/self/task/${name}/wchan`).catch(() => "");
    if (where.includes("fuse")) count++;
  }
  return count;
}
