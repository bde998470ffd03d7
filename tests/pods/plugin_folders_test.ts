import { assertEquals, assertStringIncludes } from "@std/assert";
import { describeMissing, missingPlugins } from "../../src/pods/plugin_folders.ts";

const files: [why: string, make: (folder: string) => void, isMissing: boolean][] = [
  ["it is a program", (folder) => write(`${folder}/x`, 0o755), false],
  ["only its group may start it", (folder) => write(`${folder}/x`, 0o610), false],
  ["it may not be started", (folder) => write(`${folder}/x`, 0o644), true],
  ["there is nothing", () => {}, true],
  ["it is a folder", (folder) => Deno.mkdirSync(`${folder}/x`), true],
  ["it is a link to a program", (folder) => {
    write(`${folder}/y`, 0o755);
    Deno.symlinkSync("y", `${folder}/x`);
  }, false],
  ["it is a link to a text", (folder) => {
    write(`${folder}/y`, 0o644);
    Deno.symlinkSync("y", `${folder}/x`);
  }, true],
  [
    "it is a link to what can't be seen from here",
    (folder) => Deno.symlinkSync("/no/x", `${folder}/x`),
    false,
  ],
];

function write(path: string, mode: number): void {
  Deno.writeTextFileSync(path, "x");
  Deno.chmodSync(path, mode);
}

for (const [why, make, isMissing] of files) {
  Deno.test(`missingPlugins() ${isMissing ? "misses" : "finds"} a plugin when ${why}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "lodentest-plugins-" });
    try {
      make(folder);
      assertEquals(missingPlugins(["x"], ["/nowhere", folder]), isMissing ? ["x"] : []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("describeMissing() names files, conflist and remedy, and the folder that has them", () => {
  const where = { folders: ["/b"], isSaid: true, elsewhere: ["/usr/lib/cni"], conflistPath: "/c" };
  assertEquals(
    describeMissing(["bridge", "host-local"], where),
    "/b/bridge, /b/host-local are not there, which the conflist /c names: no pod can be started; install them " +
      "(containernetworking-plugins), or name the folder that the runtime uses with -cni-bin-dir, as /usr/lib/cni " +
      "which has them",
  );
  assertStringIncludes(
    describeMissing(["x"], { ...where, folders: ["/a", "/b"], isSaid: false, elsewhere: [] }),
    "the plugin x is in none of /a, /b, which the conflist /c names: unless the runtime has another folder, no pod",
  );
});
