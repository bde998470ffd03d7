import { assertEquals, assertThrows } from "@std/assert";
import { makeFolder } from "../../src/file/make_folder.ts";
import { asNobody } from "../double/nobody.ts";

async function inFolder(run: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-folder-" });
  await Deno.chmod(folder, 0o755);
  const umask = Deno.umask(0);
  try {
    await run(folder);
  } finally {
    Deno.umask(umask);
    await Deno.remove(folder, { recursive: true });
  }
}

const modeOf = (path: string) => Deno.statSync(path).mode! & 0o777;

Deno.test("folders that are made are no other user's to write to, whatever the umask", () =>
  inFolder(async (folder) => {
    makeFolder(`${folder}/a/b`);
    makeFolder(`${folder}/state`, 0o700);
    assertEquals([modeOf(`${folder}/a`), modeOf(`${folder}/a/b`), modeOf(`${folder}/state`)], [
      0o755,
      0o755,
      0o700,
    ]);
    assertEquals(await asNobody("touch", `${folder}/a/b/file`), false);
    assertEquals(await asNobody("ls", `${folder}/a/b`), true);
    assertEquals(await asNobody("ls", `${folder}/state`), false);
  }));

Deno.test("a folder that is there keeps its rights, also behind a link", () =>
  inFolder((folder) => {
    Deno.mkdirSync(`${folder}/theirs`, { mode: 0o775 });
    Deno.symlinkSync(`${folder}/theirs`, `${folder}/link`);
    makeFolder(`${folder}/theirs`);
    makeFolder(`${folder}/link`);
    assertEquals(modeOf(`${folder}/theirs`), 0o775);
  }));

Deno.test("where a file is in the way, no folder is made", () =>
  inFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/file`, "");
    assertThrows(() => makeFolder(`${folder}/file`), Deno.errors.AlreadyExists);
    assertThrows(() => makeFolder(`${folder}/file/below`), Deno.errors.NotADirectory);
  }));
