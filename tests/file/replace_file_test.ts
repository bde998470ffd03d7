import { assert, assertEquals, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { stub } from "@std/testing/mock";
import { removeAbandoned, replaceFile } from "../../src/file/replace_file.ts";
import { fileReason } from "../../src/file/file_reason.ts";

const UUID = "01234567-89ab-cdef-0123-456789abcdef";
const namesIn = (path: string) => [...Deno.readDirSync(path)].map(({ name }) => name).sort();

describe("replaceFile()", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await Deno.makeTempDir({ prefix: "lodentest-replace-" });
  });

  afterEach(() => Deno.remove(folder, { recursive: true }));

  it("writes pieces of any length, and its rights", () => {
    const pieces = ["a", "b".repeat(200_000), "ä".repeat(70_000)];
    replaceFile(`${folder}/file`, pieces, 0o640);
    assertEquals(Deno.readTextFileSync(`${folder}/file`), pieces.join(""));
    assertEquals(Deno.statSync(`${folder}/file`).mode! & 0o777, 0o640);
    assertEquals(namesIn(folder), ["file"]);
  });

  it("writes first under a name that nobody can know before", () => {
    const made = new Set<string>();
    for (let round = 0; round < 3; round++) {
      using _ = stub(Deno, "renameSync", (from) => {
        made.add(String(from));
        throw new Error("not renamed");
      });
      assertThrows(() => replaceFile(`${folder}/file`, ["text"], 0o600), Error, "not renamed");
    }
    assertEquals(made.size, 3);
    assertEquals(namesIn(folder), []);
  });

  for (
    const [what, plant] of [
      ["a link", (path: string) => Deno.symlinkSync(`${path}.target`, path)],
      ["a FIFO", (path: string) => void new Deno.Command("mkfifo", { args: [path] }).outputSync()],
      ["a file", (path: string) => Deno.writeTextFileSync(path, "theirs")],
    ] as const
  ) {
    it(`writes nothing through ${what} that stands at its first name, and leaves it there`, () => {
      const planted = `${folder}/.file${UUID}`;
      plant(planted);
      const { ino } = Deno.lstatSync(planted);
      using _ = stub(crypto, "randomUUID", () => UUID);
      assertThrows(() => replaceFile(`${folder}/file`, ["text"], 0o600), Deno.errors.AlreadyExists);
      assertEquals(Deno.lstatSync(planted).ino, ino);
      assertEquals(namesIn(folder), [`.file${UUID}`]);
    });
  }

  it("has the name on the disk, and not before the text is", async () => {
    const log = `${folder}/calls`;
    const script = `import { replaceFile } from "${import.meta.resolve("../../src/file/replace_file.ts")}";
      replaceFile("${folder}/file", ["text"], 0o600);`;
    await Deno.writeTextFile(`${folder}/run.ts`, script);
    const { success } = await new Deno.Command("strace", {
      args: ["-f", "-y", "-e", "trace=fsync,rename,renameat,renameat2,openat", "-o", log, Deno.execPath()]
        .concat(["run", "-A", "--no-check", `${folder}/run.ts`]),
      stdout: "null",
      stderr: "null",
    }).output();
    assert(success);
    const calls = (await Deno.readTextFile(log)).split("\n");
    const made = calls.find((line) => line.includes("/.file") && line.includes("O_CREAT"))!;
    for (const flag of ["O_WRONLY", "O_EXCL", "O_NOFOLLOW", "O_CLOEXEC", "0600"]) {
      assert(made.includes(flag), made);
    }
    const order = calls.flatMap((line) => {
      const [, call] = /(fsync|rename)\w*\(/.exec(line) ?? [];
      if (call === undefined) return [];
      if (line.includes(`${folder}/.file`)) return [`${call} file`];
      return line.includes(`<${folder}>`) ? [`${call} folder`] : [];
    });
    assertEquals(order, ["fsync file", "rename file", "fsync folder"]);
  });

  it("removes what writers of the same file left that were killed, and nothing else", () => {
    const old = new Date(Date.now() - 120_000);
    const others = [".file", ".filebackup", `.other${UUID}`, `file${UUID}`, `.file${UUID}.txt`];
    for (const name of [`.file${UUID}`, ...others]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "");
      Deno.utimeSync(`${folder}/${name}`, old, old);
    }
    const living = `.file${UUID.replace("0", "1")}`;
    Deno.writeTextFileSync(`${folder}/${living}`, "");
    replaceFile(`${folder}/file`, ["text"], 0o600);
    assertEquals(namesIn(folder), [...others, living, "file"].sort());
    const ahead = new Date(Date.now() + 120_000);
    Deno.utimeSync(`${folder}/${living}`, ahead, ahead);
    removeAbandoned(`${folder}/file`);
    assertEquals(namesIn(folder), [...others, "file"].sort(), "the clock was set back since");
    removeAbandoned(`${folder}/none/file`);
  });

  it("names a full disk as one, leaves the old file, and nothing beside it", async () => {
    const small = `${folder}/small`;
    await Deno.mkdir(small);
    const mount = await new Deno.Command("mount", {
      args: ["-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "lodentest-replace", small],
    }).output();
    assert(mount.success);
    try {
      replaceFile(`${small}/file`, ["old"], 0o600);
      const reasonOf = (text: string) => {
        try {
          replaceFile(`${small}/file`, [text], 0o600);
        } catch (error) {
          return fileReason(error);
        }
        return "none";
      };
      const full = "no space or no inodes are left on its file system; make room there";
      assertEquals(reasonOf("x".repeat(100_000)), full);
      assertEquals([namesIn(small), await Deno.readTextFile(`${small}/file`)], [["file"], "old"]);
      for (let at = 0; at < 14; at++) await Deno.writeTextFile(`${small}/${at}`, "");
      assertEquals(reasonOf("new"), full);
      assertEquals(await Deno.readTextFile(`${small}/file`), "old");
      const remount = ["-o", "remount,ro", small];
      assert((await new Deno.Command("mount", { args: remount }).output()).success);
      assertEquals(
        reasonOf("new"),
        "its file system is read-only",
      );
    } finally {
      await new Deno.Command("umount", { args: [small] }).output();
    }
  });
});
