import { assertEquals, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { ExclusiveFile, keepPrivate, makePrivate, syncFolder } from "../../src/file/exclusive_file.ts";
import { nobodyLocks, nobodyReads } from "../double/nobody.ts";
import { ODD_FILES } from "../double/odd_files.ts";

const modeOf = (path: string) => Deno.lstatSync(path).mode! & 0o777;

describe("ExclusiveFile", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await Deno.makeTempDir({ prefix: "lodentest-exclusive-" });
    await Deno.chmod(folder, 0o755);
  });

  afterEach(() => Deno.remove(folder, { recursive: true }));

  for (const umask of [0, 0o022, 0o077]) {
    it(`has the rights that were asked for under the umask ${umask.toString(8)}`, () => {
      const before = Deno.umask(umask);
      try {
        for (const mode of [0o600, 0o644, 0o755]) {
          ExclusiveFile.make(`${folder}/${mode}`, mode)[Symbol.dispose]();
          assertEquals(modeOf(`${folder}/${mode}`), mode);
        }
      } finally {
        Deno.umask(before);
      }
    });
  }

  it("takes nothing that is there, a link least of all", () => {
    Deno.writeTextFileSync(`${folder}/target`, "theirs");
    for (const target of ["target", "nowhere"]) {
      Deno.symlinkSync(`${folder}/${target}`, `${folder}/to-${target}`);
      assertThrows(() => ExclusiveFile.make(`${folder}/to-${target}`, 0o600), Deno.errors.AlreadyExists);
    }
    assertThrows(() => ExclusiveFile.make(`${folder}/target`, 0o600), Deno.errors.AlreadyExists);
    assertEquals(Deno.readTextFileSync(`${folder}/target`), "theirs");
    assertThrows(() => Deno.lstatSync(`${folder}/nowhere`), Deno.errors.NotFound);
  });

  for (const { what, make } of ODD_FILES) {
    it(`neither opens nor changes what is ${what}`, async () => {
      const path = `${folder}/odd`;
      await make(path);
      const before = (await Deno.lstat(path)).ino;
      assertThrows(() => ExclusiveFile.make(path, 0o600), Deno.errors.AlreadyExists);
      assertEquals((await Deno.lstat(path)).ino, before);
    });
  }

  it("sets its rights on itself: what takes its name meanwhile keeps its own", () => {
    Deno.writeTextFileSync(`${folder}/theirs`, "", { mode: 0o600 });
    using file = ExclusiveFile.make(`${folder}/own`, 0o644);
    Deno.renameSync(`${folder}/theirs`, `${folder}/own`);
    file.write(new TextEncoder().encode("text"));
    file.sync();
    assertEquals([modeOf(`${folder}/own`), Deno.readTextFileSync(`${folder}/own`)], [0o600, ""]);
  });

  it("is its owner's alone if private, and so is what an earlier version made", async () => {
    makePrivate(`${folder}/new`);
    await Deno.writeTextFile(`${folder}/old`, "text");
    await Deno.chmod(`${folder}/old`, 0o644);
    assertEquals([await nobodyReads(`${folder}/old`), await nobodyLocks(`${folder}/old`)], [true, true]);
    makePrivate(`${folder}/old`);
    for (const name of ["new", "old"]) {
      assertEquals(modeOf(`${folder}/${name}`), 0o600);
      assertEquals(await nobodyReads(`${folder}/${name}`), false, name);
      assertEquals(await nobodyLocks(`${folder}/${name}`), false, name);
    }
    assertEquals(await Deno.readTextFile(`${folder}/old`), "text");
  });

  it("follows no link to a file that is to be private", () => {
    Deno.writeTextFileSync(`${folder}/theirs`, "");
    Deno.chmodSync(`${folder}/theirs`, 0o644);
    Deno.symlinkSync(`${folder}/theirs`, `${folder}/link`);
    keepPrivate(`${folder}/link`);
    keepPrivate(`${folder}/nothing`);
    assertEquals(modeOf(`${folder}/theirs`), 0o644);
  });

  it("is an error where a folder that is to be on the disk is none", () => {
    syncFolder(folder);
    // The kernel's own files can't be synced: there is nothing to do.
    syncFolder("/proc/self");
    assertThrows(() => syncFolder(`${folder}/nothing`), Deno.errors.NotFound);
    Deno.writeTextFileSync(`${folder}/file`, "");
    assertThrows(() => syncFolder(`${folder}/file`), Deno.errors.NotADirectory);
  });
});
