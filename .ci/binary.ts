/**
 * Sees to it that there is a binary of the sources as they are.
 *
 * @module
 */
import { run } from "./run.ts";

const PROGRAM = new URL("../mod.ts", import.meta.url).pathname;
const ROOT = PROGRAM.slice(0, -"mod.ts".length);
const BINARY = `${ROOT}build/loden`;
/** What the binary is made of. */
const SOURCES = ["mod.ts", "src", "wasm/build/core.wasm", ".ci/compile.ts", "import_map.json", "deno.lock"];

let made: Promise<string> | undefined;

/**
 * The path of the compiled binary, compiled anew if a source is newer; looked for once in a process.
 *
 * @throws {Error} If it can't be compiled.
 */
export function compiledBinary(): Promise<string> {
  return made ??= make();
}

async function make(): Promise<string> {
  const madeAtMs = await modifiedMs(BINARY);
  const newestMs = Math.max(...await Promise.all(SOURCES.map((name) => modifiedMs(`${ROOT}${name}`))));
  if (madeAtMs <= newestMs) await run(Deno.execPath(), ["task", "compile"], { cwd: ROOT });
  return BINARY;
}

/** When a file, or the newest file in a folder, was changed; 0 if there is none. */
async function modifiedMs(path: string): Promise<number> {
  try {
    const stat = await Deno.stat(path);
    if (!stat.isDirectory) return stat.mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
  const entries = await Array.fromAsync(Deno.readDir(path));
  return Math.max(0, ...await Promise.all(entries.map(({ name }) => modifiedMs(`${path}/${name}`))));
}
