import { assertEquals, assertRejects } from "@std/assert";
import { LogFile } from "../../src/file/log_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-log-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("LogFile adds to what is there, and follows who removes or renames the file", () =>
  inFolder(async (folder) => {
    const path = `${folder}/a.log`;
    await Deno.writeTextFile(path, "before\n");
    let nowMs = 0;
    using file = await LogFile.open(path, () => nowMs);
    await file.write(bytes("1\n"));
    assertEquals(await Deno.readTextFile(path), "before\n1\n");
    await Deno.rename(path, `${path}.1`);
    await file.write(bytes("2\n"));
    assertEquals(await Deno.readTextFile(`${path}.1`), "before\n1\n2\n", "for a second it is not looked");
    nowMs += 1000;
    await file.write(bytes("3\n"));
    assertEquals(await Deno.readTextFile(path), "3\n");
    await Deno.remove(path);
    nowMs += 1000;
    await file.write(bytes("4\n"));
    assertEquals(await Deno.readTextFile(path), "4\n");
  }));

Deno.test("LogFile goes on with the file that it has while no other can be had", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/logs`);
    let nowMs = 0;
    using file = await LogFile.open(`${folder}/logs/a.log`, () => nowMs);
    await Deno.remove(`${folder}/logs`, { recursive: true });
    nowMs += 1000;
    assertEquals(await file.write(bytes("1\n")), 2);
    await Deno.mkdir(`${folder}/logs`);
    nowMs += 1000;
    await file.write(bytes("2\n"));
    assertEquals(await Deno.readTextFile(`${folder}/logs/a.log`), "2\n");
  }));

Deno.test("LogFile opens a FIFO that nobody reads, and writes to it", () =>
  inFolder(async (folder) => {
    const path = `${folder}/fifo`;
    await new Deno.Command("mkfifo", { args: [path] }).output();
    using file = await LogFile.open(path);
    assertEquals(await file.write(bytes("1\n")), 2);
    using reader = await Deno.open(path);
    const read = new Uint8Array(10);
    assertEquals(new TextDecoder().decode(read.subarray(0, (await reader.read(read))!)), "1\n");
  }));

Deno.test("LogFile says what the file system says", () =>
  inFolder(async (folder) => {
    await assertRejects(() => LogFile.open(folder), Error, "Is a directory");
    await assertRejects(() => LogFile.open(`${folder}/none/a.log`), Deno.errors.NotFound);
  }));
