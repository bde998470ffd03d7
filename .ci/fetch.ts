/**
 * Fetches the npm packages: `deno task fetch`, which the other tasks run first.
 *
 * `deno task` itself would fetch what deno.json and a lock file beside it name, before it runs a task, and so before
 * a task can say which certificates to trust. Behind a proxy that inspects TLS it would end there. Hence deno.json
 * names no packages and no lock file: import_map.json has the packages, and deno.lock is named where it counts, here
 * and where code is checked, bundled and compiled.
 *
 * @module
 */
import { LOCKED, run, runScript } from "./run.ts";

const ROOT = new URL("..", import.meta.url).pathname;

async function fetchPackages(): Promise<void> {
  const { imports } = JSON.parse(await Deno.readTextFile(`${ROOT}import_map.json`));
  const packages = Object.values<string>(imports);
  // With a lock file Deno fetches all that it names, and refuses what has another digest.
  await run(Deno.execPath(), ["cache", "--quiet", ...LOCKED, ...packages], { cwd: ROOT });
  // Without one it also wants to know each package's versions: an agent in a namespace can't ask any more.
  await run(Deno.execPath(), ["cache", "--quiet", "--no-lock", ...packages], { cwd: ROOT });
}

if (import.meta.main) await runScript(fetchPackages);
