/**
 * Builds the WebAssembly core, wasm/build/core.wasm, where its sources or its compiler are not those of the last
 * build: `deno task wasm`.
 *
 * @module
 */
import { LOCKED, run, runScript } from "./run.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const SOURCES = `${ROOT}wasm/assembly`;
const BUILD = `${ROOT}wasm/build`;
const COMPILER = "npm:assemblyscript@0.28.20/asc";
/** No allocator and no imports: the module is a plain import everywhere. */
const FLAGS = ["-O3", "--runtime", "stub", "--use", "abort="];

/** A digest of all that the module is made from. */
export async function sourceDigest(folder: string, command: readonly string[]): Promise<string> {
  const names = (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name))
    .filter((name) => name.endsWith(".ts")).sort();
  const parts = [command.join("\0")];
  for (const name of names) parts.push(name, await Deno.readTextFile(`${folder}/${name}`));
  const bytes = new TextEncoder().encode(parts.join("\0"));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function readOrNothing(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function build(): Promise<void> {
  const module = `${BUILD}/core.wasm`;
  const record = `${BUILD}/core.sources.sha256`;
  const digest = await sourceDigest(SOURCES, [COMPILER, ...FLAGS]);
  if (await isFile(module) && await readOrNothing(record) === digest) return;
  await Deno.mkdir(BUILD, { recursive: true });
  // Renamed when it is whole: another task may be about to import the module.
  const temporary = `core.${Deno.pid}.wasm`;
  await run(
    Deno.execPath(),
    [
      "run",
      "-A",
      "--quiet",
      ...LOCKED,
      COMPILER,
      "wasm/assembly/core.ts",
      "-o",
      `wasm/build/${temporary}`,
      ...FLAGS,
    ],
    { cwd: ROOT },
  );
  await Deno.rename(`${BUILD}/${temporary}`, module);
  await Deno.writeTextFile(record, digest);
}

if (import.meta.main) await runScript(build);
