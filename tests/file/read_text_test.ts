import { assertEquals, assertThrows } from "@std/assert";
import { OddFileError, readText } from "../../src/file/read_text.ts";
import { ODD_FILES } from "../double/odd_files.ts";

async function inFolder(run: (path: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await run(`${folder}/file`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const { what, make, reason } of ODD_FILES) {
  Deno.test(`readText() does not read ${what}`, async () => {
    await inFolder(async (path) => {
      await make(path);
      if (what === "a link to nothing") {
        return void assertThrows(() => readText(path, 64), Deno.errors.NotFound);
      }
      assertThrows(() => readText(path, 64), OddFileError, reason.replace("MAX", "64"));
    });
  });
}

const texts: readonly [why: string, text: string, maxBytes: number][] = [
  ["is empty", "", 0],
  ["is as long as may be", "x".repeat(64), 64],
  ["has a byte order mark, which is kept", "\ufeff{}", 64],
  ["is longer than one read", "long ".repeat(100_000), 2 ** 20],
  ["is not all ASCII", "größer als Ω", 64],
];
for (const [why, text, maxBytes] of texts) {
  Deno.test(`readText() reads a file that ${why}`, async () => {
    await inFolder(async (path) => {
      await Deno.writeTextFile(path, text);
      assertEquals(readText(path, maxBytes), text);
    });
  });
}

Deno.test("readText() counts bytes, and not characters", async () => {
  await inFolder(async (path) => {
    await Deno.writeTextFile(path, "Ω".repeat(33));
    assertThrows(() => readText(path, 64), OddFileError, "it has more than 64 bytes");
    assertEquals(readText(path, 66).length, 33);
  });
});

Deno.test("readText() follows links, as a cluster makes them", async () => {
  await inFolder(async (path) => {
    await Deno.mkdir(`${path}.data`);
    await Deno.writeTextFile(`${path}.data/net-conf.json`, "{}");
    await Deno.symlink(`${path}.data`, `${path}.link`);
    await Deno.symlink(`${path}.link/net-conf.json`, path);
    assertEquals(readText(path, 64), "{}");
  });
});

Deno.test("readText() reads a file that says that it is empty, and is not, and never more than it may", () => {
  assertEquals(Deno.statSync("/proc/self/maps").size, 0);
  assertEquals(readText("/proc/sys/kernel/ostype", 64), "Linux\n");
  assertEquals(readText("/proc/self/maps", 2 ** 20).length > 8192, true, "longer than the first guess");
  assertThrows(() => readText("/proc/self/maps", 8192), OddFileError, "it has more than 8192 bytes");
});

Deno.test("readText() leaves no descriptor open", async () => {
  await inFolder(async (path) => {
    await Deno.writeTextFile(path, "x".repeat(65));
    const descriptors = () => [...Deno.readDirSync("/proc/self/fd")].length;
    const before = descriptors();
    for (let time = 0; time < 10; time++) {
      readText(path, 65);
      assertThrows(() => readText(path, 64), OddFileError);
      assertThrows(() => readText("/proc/self/maps", 64), OddFileError);
    }
    assertEquals(descriptors(), before);
  });
});
