import { assertEquals, assertThrows } from "@std/assert";
import { gzip, tarOf } from "../../../src/command/support_bundle/tar.ts";

Deno.test("tar(1) reads what tarOf() and gzip() write: names, sizes, times, modes", async () => {
  const folder = await Deno.makeTempDir({ prefix: "loden-tar-" });
  try {
    const files = [0, 1, 511, 512, 513, 100_000].map((length) => ({
      name: `top/file-${length}.txt`,
      bytes: new Uint8Array(length).map((_, at) => 97 + at % 26),
    }));
    const archive = await gzip(tarOf(files, { mtimeMs: Date.parse("2026-11-30T12:00:00Z") }));
    await Deno.writeFile(`${folder}/a.tar.gz`, archive);
    const run = async (...args: string[]) => {
      const { code, stdout, stderr } = await new Deno.Command("tar", { args, env: { TZ: "UTC" } }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
      return new TextDecoder().decode(stdout);
    };
    const [first] = (await run("tzvf", `${folder}/a.tar.gz`)).split("\n");
    assertEquals(first?.replaceAll(/\s+/g, " "), "-rw------- 0/0 0 2026-11-30 12:00 top/file-0.txt");
    await run("xzf", `${folder}/a.tar.gz`, "-C", folder);
    for (const { name, bytes } of files) assertEquals(await Deno.readFile(`${folder}/${name}`), bytes);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("tarOf() refuses a name that has no room in a header", () => {
  assertThrows(
    () => tarOf([{ name: "x".repeat(101), bytes: new Uint8Array() }], { mtimeMs: 0 }),
    RangeError,
    "too long",
  );
});
