import { assertEquals } from "@std/assert";
import { fileReason } from "../../src/file/file_reason.ts";

const FOLDER = await Deno.makeTempDir({ prefix: "loden-reason-" });

const cases: [what: string, use: () => unknown, reason: string][] = [
  ["nothing is there", () => Deno.readTextFileSync(`${FOLDER}/nothing`), "there is no such file or folder"],
  ["a folder is read", () => Deno.readTextFileSync(FOLDER), "it is a folder"],
  ["a file stands in the path", () => {
    Deno.writeTextFileSync(`${FOLDER}/file`, "");
    Deno.mkdirSync(`${FOLDER}/file/folder`);
  }, "a part of its path is not a folder"],
  [
    "the name is too long",
    () => Deno.readTextFileSync(`${FOLDER}/${"x".repeat(300)}`),
    "File name too long (os error 36)",
  ],
  [
    "the disk is full",
    () => Deno.writeTextFileSync("/dev/full", "x"),
    "no space or no inodes are left on its file system; make room there",
  ],
  [
    "the process has no descriptors left",
    () => fail(TooManyOpen),
    "this process has as many files open as it may; raise its limit (LimitNOFILE, ulimit -n)",
  ],
  ["the user has no right", () => fail(Deno.errors.PermissionDenied), "this user may not"],
  ["the program has none", () => fail(Deno.errors.NotCapable), "loden is built without the right to use it"],
];

class TooManyOpen extends Error {
  readonly code = "EMFILE";
}

function fail(Reason: new (message: string) => Error): never {
  throw new Reason("x");
}

for (const [what, use, reason] of cases) {
  Deno.test(`fileReason() says "${reason}" when ${what}`, () => {
    try {
      use();
    } catch (error) {
      assertEquals(fileReason(error), reason);
      return;
    }
    throw new Error("it could be used");
  });
}

Deno.test("the folder of these tests is removed", () => Deno.remove(FOLDER, { recursive: true }));
