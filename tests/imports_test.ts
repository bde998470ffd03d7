import { assertEquals, assertGreater } from "@std/assert";

const SRC = new URL("../src/", import.meta.url);
const TESTS = new URL("./", import.meta.url);

/** Rooms from the ground up. A file may import its own room and lower floors. */
const FLOORS: readonly (readonly string[])[] = [
  ["model", "log"],
  ["core", "netlink", "cloud", "config"],
  ["lease", "underlay", "backend", "masquerade"],
  ["reconcile"],
  ["status", "doctor", "cni"],
  ["cli", "lab"],
];
const IMPORT = /(?:from|import\()\s*"(\.[^"]+)"/g;
const MAX_LINES = 320;

interface Place {
  readonly room: string;
  readonly floor: number;
}

function placeOf(file: URL): Place {
  const room = file.href.slice(SRC.href.length).split("/")[0]!;
  return { room, floor: FLOORS.findIndex((rooms) => rooms.includes(room)) };
}

async function sourceFiles(folder = SRC): Promise<URL[]> {
  const files: URL[] = [];
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory) files.push(...await sourceFiles(new URL(`${entry.name}/`, folder)));
    else if (entry.name.endsWith(".ts")) files.push(new URL(entry.name, folder));
  }
  return files;
}

Deno.test("no file imports a room on its own floor or above", async () => {
  const wrong: string[] = [];
  let imports = 0;
  for (const file of await sourceFiles()) {
    const here = placeOf(file);
    for (const [, specifier] of (await Deno.readTextFile(file)).matchAll(IMPORT)) {
      const target = new URL(specifier!, file);
      if (!target.href.startsWith(SRC.href)) continue;
      imports++;
      const there = placeOf(target);
      // The command line starts the lab, lazily; nothing else looks sideways.
      const isLab = here.room === "cli" && there.room === "lab";
      if (there.room !== here.room && there.floor >= here.floor && !isLab) {
        wrong.push(`${file.href.slice(SRC.href.length)} imports ${specifier}`);
      }
    }
  }
  assertGreater(imports, 100, "the imports are seen at all");
  assertEquals(wrong, []);
});

Deno.test("every file is in a room that has a floor", async () => {
  const homeless = (await sourceFiles()).filter((file) => placeOf(file).floor < 0);
  assertEquals(homeless.map(({ href }) => href), []);
});

Deno.test(`no source file has more than ${MAX_LINES} lines`, async () => {
  const long: string[] = [];
  for (const file of await sourceFiles()) {
    const lines = (await Deno.readTextFile(file)).split("\n").length - 1;
    if (lines > MAX_LINES) long.push(`${file.href.slice(SRC.href.length)}: ${lines}`);
  }
  assertEquals(long, []);
});

Deno.test("no test is switched off, and none is the only one to run", async () => {
  const off = /Deno\.test\.(?:ignore|only)|\b(?:ignore|only): true/;
  const wrong: string[] = [];
  const look = async (folder: URL) => {
    for await (const entry of Deno.readDir(folder)) {
      const url = new URL(entry.isDirectory ? `${entry.name}/` : entry.name, folder);
      if (entry.isDirectory) await look(url);
      else if (
        entry.name.endsWith("_test.ts") && off.test((await Deno.readTextFile(url)).replaceAll(off.source, ""))
      ) {
        wrong.push(url.href.slice(TESTS.href.length));
      }
    }
  };
  await look(TESTS);
  assertEquals(wrong, []);
});
