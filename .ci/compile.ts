/**
 * Bundles the program, then compiles the bundle to one binary: `deno task compile`, which writes build/loden.
 *
 * Bundled first, because a compiled binary carries whole packages and keeps them in memory; split in chunks, because
 * what an agent does not use it does not load.
 *
 * @module
 */
import { type DenortSource, findDenort } from "./denort.ts";
import { run } from "./run.ts";

/**
 * What the binary may do. The network and files it is there for; FFI is the door to the kernel, and so the real
 * privilege; no other program is ever started but ip(8), which the lab makes its hosts with.
 */
const PERMISSIONS = [
  "--allow-ffi",
  "--allow-net",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-run=ip",
];
/**
 * This runs on every host, so memory counts more than peak speed: small young generation, no last optimizing tier
 * (its code alone is megabytes, and passes are rare), and the agent may ask for a collection when it comes to rest.
 */
const V8_FLAGS = "--v8-flags=--expose-gc,--no-turbofan,--max-semi-space-size=2";
const ROOT = new URL("..", import.meta.url).pathname;
/** From the bundle to the module, the path is the one from the source: two folders down. */
const WASM = "../../wasm/build/core.wasm";
const BUNDLE = "build/bundle";
const DOWNLOAD_DEADLINE_MS = 5000;

async function canDownload(): Promise<boolean> {
  const target = `${Deno.build.arch}-unknown-linux-gnu`;
  const address = `https://dl.deno.land/release/v${Deno.version.deno}/denort-${target}.zip`;
  try {
    const response = await fetch(address, {
      method: "HEAD",
      signal: AbortSignal.timeout(DOWNLOAD_DEADLINE_MS),
    });
    return response.ok;
  } catch {
    return false;
  }
}

async function fetchExecutable(source: DenortSource): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir({ prefix: "denort-" });
  try {
    await run("npm", ["pack", "--silent", source.npmPackage], { cwd: folder });
    const [archive] = await Array.fromAsync(Deno.readDir(folder));
    await run("tar", ["xzf", archive!.name, source.path], { cwd: folder });
    return await Deno.readFile(`${folder}/${source.path}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const cache = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
const denort = await findDenort({
  denoVersion: Deno.version.deno,
  arch: Deno.build.arch,
  named: Deno.env.get("DENORT_BIN"),
  cacheFolder: `${cache}/loden`,
  canDownload,
  fetchExecutable,
});

const output = `${ROOT}build/loden`;
await Deno.remove(`${ROOT}${BUNDLE}`, { recursive: true }).catch(() => {});
await run(Deno.execPath(), [
  "bundle",
  "--quiet",
  "--code-splitting",
  "--outdir",
  BUNDLE,
  "--external",
  WASM,
  "mod.ts",
], {
  cwd: ROOT,
});
// No code cache: the runtime would keep it in a file of a predictable name in the folder for temporary files.
await run(
  Deno.execPath(),
  [
    "compile",
    "--quiet",
    "--no-check",
    "--no-code-cache",
    V8_FLAGS,
    ...PERMISSIONS,
    "--output",
    output,
    `${BUNDLE}/mod.js`,
  ],
  { cwd: ROOT, env: denort === undefined ? {} : { DENORT_BIN: denort } },
);
const { size } = await Deno.stat(output);
// deno-lint-ignore no-console
console.log(`build/loden: ${(size / 2 ** 20).toFixed(1)} MiB`);
