import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { SubnetFileError, writeSubnetFile } from "../../src/pods/subnet_file.ts";

/** A folder for one test. */
async function withFolder(body: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-subnet-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

function mode(path: string): number {
  return Deno.statSync(path).mode! & 0o7777;
}

Deno.test("writeSubnetFile() makes the folders, the file readable by all, and nothing else", () =>
  withFolder((folder) => {
    const umask = Deno.umask(0o077);
    try {
      assertEquals(writeSubnetFile(`${folder}/a/b/subnet.env`, "one\n"), true);
    } finally {
      Deno.umask(umask);
    }
    assertEquals(names(`${folder}/a/b`), ["subnet.env"]);
    assertEquals(Deno.readTextFileSync(`${folder}/a/b/subnet.env`), "one\n");
    assertEquals(mode(`${folder}/a/b/subnet.env`), 0o644);
  }));

Deno.test("writeSubnetFile() replaces a file as a whole and keeps its permission bits", () =>
  withFolder((folder) => {
    const path = `${folder}/subnet.env`;
    Deno.writeTextFileSync(path, "a much longer text than the next\n");
    Deno.chmodSync(path, 0o600);
    using reader = Deno.openSync(path);
    assertEquals(writeSubnetFile(path, "two\n"), true);
    assertEquals([Deno.readTextFileSync(path), mode(path)], ["two\n", 0o600]);
    const bytes = new Uint8Array(7);
    reader.readSync(bytes);
    assertEquals(new TextDecoder().decode(bytes), "a much ");
  }));

Deno.test("writeSubnetFile() leaves a file alone that says the same already", () =>
  withFolder((folder) => {
    const path = `${folder}/subnet.env`;
    writeSubnetFile(path, "same\n");
    const before = Deno.statSync(path).ino;
    assertEquals(writeSubnetFile(path, "same\n"), false);
    assertEquals(Deno.statSync(path).ino, before);
    Deno.removeSync(path);
    assertEquals(writeSubnetFile(path, "same\n"), true);
  }));

Deno.test("writeSubnetFile() replaces a symbolic link, and leaves what it leads to alone", () =>
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/precious`, "precious");
    Deno.symlinkSync(`${folder}/precious`, `${folder}/subnet.env`);
    writeSubnetFile(`${folder}/subnet.env`, "text\n");
    assertEquals(Deno.readTextFileSync(`${folder}/precious`), "precious");
    assertEquals(Deno.lstatSync(`${folder}/subnet.env`).isFile, true);
  }));

const unwritable: [make: (folder: string) => string, reason: RegExp, why: string][] = [
  [
    (folder) => {
      Deno.writeTextFileSync(`${folder}/file`, "");
      return `${folder}/file/subnet.env`;
    },
    /a part of its path is not a folder/,
    "its folder is a file",
  ],
  [
    (folder) => {
      Deno.mkdirSync(`${folder}/subnet.env`);
      return `${folder}/subnet.env`;
    },
    /: it is a folder;/,
    "it is a folder",
  ],
  [() => "/proc/loden/subnet.env", /there is no such file or folder/, "nobody can write there"],
];

for (const [make, reason, why] of unwritable) {
  Deno.test(`writeSubnetFile() says what to do and leaves nothing behind when ${why}`, () =>
    withFolder((folder) => {
      const path = make(folder);
      const before = names(folder);
      const error = assertThrows(() => writeSubnetFile(path, "text\n"), SubnetFileError);
      assertMatch(error.message, reason);
      assert(error.message.startsWith(`Cannot write the subnet file ${path}: `));
      assert(error.message.endsWith("; make it writable, or name another with -subnet-file"));
      assertEquals(names(folder), before);
    }));
}
