/**
 * Sees to moto, an imitation of AWS by others, for the test that holds this program against it: it is installed from PyPI
 * once, into the cache folder, with each package in the version that `moto.txt` names.
 *
 * @module
 */
import { run, runScript } from "./run.ts";

const REQUIREMENTS = new URL("moto.txt", import.meta.url).pathname;
const PYTHON = "/usr/bin/python3";
/** Which packages a folder has, written when all are there. */
const DONE = "installed.txt";

function folder(): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${cache}/loden/moto`;
}

async function isInstalled(path: string, wanted: string): Promise<boolean> {
  try {
    return await Deno.readTextFile(`${path}/${DONE}`) === wanted;
  } catch {
    return false;
  }
}

/**
 * Answers with the Python that has moto; installs it first if it is not there, or is another version.
 *
 * @throws {Error} If it can't be installed, and what is missing.
 */
export async function ensureMoto(path = folder()): Promise<string> {
  const wanted = await Deno.readTextFile(REQUIREMENTS);
  const python = `${path}/bin/python`;
  if (await isInstalled(path, wanted)) return python;
  try {
    await run(PYTHON, ["-m", "venv", "--clear", path]);
    const quiet = [
      "--quiet",
      "--disable-pip-version-check",
      "--no-input",
      "--timeout",
      "15",
      "--retries",
      "1",
    ];
    await run(python, ["-m", "pip", "install", ...quiet, "--requirement", REQUIREMENTS]);
  } catch (error) {
    throw new Error(
      `Cannot install moto from PyPI into ${path}: ${
        error instanceof Error ? error.message : error
      }; the test needs ` +
        "Debian's python3-venv, and a way to PyPI or to the index that PIP_INDEX_URL names",
      { cause: error },
    );
  }
  await Deno.writeTextFile(`${path}/${DONE}`, wanted);
  return python;
}

if (import.meta.main) await runScript(async () => void await ensureMoto());
