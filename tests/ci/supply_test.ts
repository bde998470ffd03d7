import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "yaml";
import { DENORT_SOURCES } from "../../.ci/denort.ts";

const ROOT = new URL("../../", import.meta.url);
const read = (path: string) => Deno.readTextFile(new URL(path, ROOT));
const DIGEST = /@sha256:[0-9a-f]{64}$/;
/** A package in a source: one that is imported at the start, or when it is needed. */
const IMPORTED = /^(?:import|export) (?!type )[^;]*? from "([^".][^"]*)";|\bimport\("([^".][^"]*)"\)/gm;
/** What the document says of packages: `name` or `@scope/*`, and who makes it. */
const ROW = /^\| `(\S+)` \| (.+) \| (.+) \|$/gm;

for (const name of ["ci.yml", "release.yml"]) {
  Deno.test(`whatever ${name} runs of others is named by its bytes, not by a tag that may move`, async () => {
    const text = await read(`.github/workflows/${name}`);
    const { jobs } = parse(text) as {
      jobs: Record<string, { container?: { image: string }; steps: { uses?: string }[] }>;
    };
    const used = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ uses }) => uses ?? []));
    assert(used.length > 2);
    for (const one of used) assertMatch(one, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    for (const { container } of Object.values(jobs)) {
      if (container !== undefined) assertMatch(container.image, DIGEST);
    }
    // A person reads which version that is.
    for (const line of text.split("\n").filter((line) => line.includes("uses: "))) {
      assertMatch(line, / # v\d+\.\d+\.\d+$/);
    }
  });
}

Deno.test("the image is made of bases that are named by their bytes", async () => {
  const dockerfile = await read("manifests/Dockerfile");
  const bases = [...dockerfile.matchAll(/^ARG (?:BASE|TOOLS)=(.*)$/gm)].map(([, base]) => base!);
  assertEquals(bases.length, 2);
  for (const base of bases) assertMatch(base, DIGEST);
  const from = [...dockerfile.matchAll(/^FROM (?:--platform=\S+ )?(\S+)/gm)].map(([, base]) => base);
  assertEquals(from, ["${TOOLS}", "${BASE}"]);
});

Deno.test("the Deno that builds, the runtime and every package are pinned by their bytes, and the document names all that ships", async () => {
  const lock = JSON.parse(await read(".ci/deno/package-lock.json"));
  const [deno] = Object.values(lock.packages).filter((one) =>
    (one as { version?: string }).version
  ) as Record<string, string>[];
  assertEquals([deno!.version, deno!.integrity?.slice(0, 7)], ["2.7.11", "sha512-"]);
  assertEquals(JSON.stringify(lock).includes("resolved"), false, "any registry may give these bytes");
  assertMatch(await read(".ci/run"), /npm ci .*--prefix \.ci\/deno/);
  assertMatch(await read(".github/workflows/release.yml"), /task compile --release/);

  const document = await read(".github/CONTRIBUTING.md");
  for (const { sha256, denoVersion } of Object.values(DENORT_SOURCES)) {
    assertEquals(denoVersion, deno!.version);
    assert(document.includes(sha256), sha256);
  }
  const { npm } = JSON.parse(await read("deno.lock")) as { npm: Record<string, { integrity?: string }> };
  for (const [name, { integrity }] of Object.entries(npm)) assertMatch(integrity ?? "", /^sha512-/, name);

  const rows = [...document.matchAll(ROW)].map(([, name]) => name!);
  const isNamed = (name: string) =>
    rows.some((row) => row === name || row.endsWith("/*") && name.startsWith(row.slice(0, -1)));
  const shipped = await shippedPackages();
  assert(shipped.includes("hono") && shipped.includes("@smithy/core"), shipped.join());
  assertEquals(shipped.filter((name) => !isNamed(name)), [], "give each a row in CONTRIBUTING.md");
  const isShipped = (row: string) =>
    shipped.some((name) => name === row || row.endsWith("/*") && name.startsWith(row.slice(0, -1)));
  assertEquals(rows.filter((row) => !isShipped(row)), [], "what does not ship has no row");
});

/** The names of the packages that the program imports, not for their types alone, and those that these need. */
async function shippedPackages(): Promise<string[]> {
  const { imports } = JSON.parse(await read("import_map.json")) as { imports: Record<string, string> };
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", "mod.ts"],
    cwd: ROOT,
    stderr: "null",
  }).output();
  const { npmPackages } = JSON.parse(new TextDecoder().decode(stdout)) as {
    npmPackages: Record<string, { name: string; dependencies: string[] }>;
  };
  const specifiers = (await Promise.all((await sourcesIn(new URL("src/", ROOT))).map(async (url) => {
    return [...(await Deno.readTextFile(url)).matchAll(IMPORTED)].map(([, one, other]) => (one ?? other)!);
  }))).flat();
  const names = specifiers.flatMap((one) =>
    /^npm:(@[^/]+\/[^@/]+|[^@/]+)@/.exec(imports[one] ?? "")?.[1] ?? []
  );
  const reached = new Set(Object.keys(npmPackages).filter((id) => names.includes(npmPackages[id]!.name)));
  for (const id of reached) for (const next of npmPackages[id]!.dependencies) reached.add(next);
  return [...new Set([...reached].map((id) => npmPackages[id]!.name))].sort();
}

async function sourcesIn(folder: URL): Promise<URL[]> {
  const found = await Array.fromAsync(Deno.readDir(folder), async ({ name, isDirectory }) => {
    return isDirectory ? await sourcesIn(new URL(`${name}/`, folder)) : [new URL(name, folder)];
  });
  return found.flat();
}
