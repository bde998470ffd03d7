/**
 * Builds the container image of manifests/Dockerfile with buildah, and unpacks it: `deno task image`.
 *
 * With an argument it is also copied there: `deno task image registry.example/loden:v0.1.0`, with what `buildah login` or
 * `docker login` has noted, or to a file: `deno task image oci-archive:loden.tar`.
 *
 * The base comes from its registry if that answers, else it is made from this machine's own glibc. Everything lies in
 * build/image. The same binary makes the same image, and is built once.
 *
 * @module
 */
import { compiledBinary } from "./binary.ts";
import { run, runScript } from "./run.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const FOLDER = `${ROOT}build/image`;
const DOCKERFILE = `${ROOT}manifests/Dockerfile`;
const BASE = "gcr.io/distroless/cc-debian12";
/** Bases that are made of this machine's files: of the image, and of the stage that needs a shell. */
const OWN_BASE = "localhost/loden-base";
const OWN_TOOLS = "localhost/loden-tools";
/** What buildah-push(1) reads before a place that is no registry. */
const TRANSPORT = /^(?:docker:\/\/|oci:|oci-archive:|docker-archive:|dir:|containers-storage:)/;
const ANSWER_DEADLINE_MS = 4000;

/** Libraries that glibc loads by itself, beside those that the binary names. */
const LOADED_LATER = ["libresolv.so.2", "libnss_dns.so.2", "libnss_files.so.2"];
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
/** What the Dockerfile's first stage runs. */
const TOOLS = ["/bin/sh", "/bin/ln", "/usr/bin/od", "/bin/mkdir"];

/** A built image, and where it is unpacked. */
export interface Image {
  /** `localhost/loden:0.1.0`. */
  readonly name: string;
  /** What the image was made of; another binary makes another digest. */
  readonly inputs: string;
  /** Whether the base is of this machine's files. */
  readonly isOwnBase: boolean;
  /** The folder that holds the image's files. */
  readonly rootfs: string;
  readonly config: ImageConfig;
}

/** What the image says about the process in it, as in the OCI image format. */
export interface ImageConfig {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
}

/**
 * Builds the image unless it is there, of `LODEN_BINARY` or of build/loden, compiled if it is older than its sources.
 *
 * @throws {Error} If a program is missing or fails, in its own words.
 */
export async function ensureImage(): Promise<Image> {
  const binary = Deno.env.get("LODEN_BINARY") || await compiledBinary();
  const version = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`)).version;
  const name = `localhost/loden:${version}`;
  const inputs = await digestOf([binary, DOCKERFILE, new URL(import.meta.url).pathname]);
  const known: Image | undefined = await Deno.readTextFile(`${FOLDER}/image.json`).then(JSON.parse).catch(
    () => {},
  );
  if (known?.inputs === inputs && known.name === name && await stat(known.rootfs)) return known;

  await Deno.mkdir(FOLDER, { recursive: true });
  const builder = await Buildah.open();
  const isOwnBase = !await canPull(builder);
  const context = await Deno.makeTempDir({ dir: FOLDER, prefix: "context-" });
  try {
    if (isOwnBase) await makeBases(builder, binary, context);
    await copy(binary, `${context}/loden`);
    const bases = isOwnBase
      ? ["--pull-never", `--build-arg=BASE=${OWN_BASE}`, `--build-arg=TOOLS=${OWN_TOOLS}`]
      : [];
    await builder.build(DOCKERFILE, name, context, [
      ...bases,
      "--build-arg=BINARY=loden",
      `--build-arg=VERSION=${version}`,
    ]);
    const config = await builder.configOf(name);
    const image = { name, inputs, isOwnBase, rootfs: `${FOLDER}/rootfs-${inputs.slice(0, 12)}`, config };
    await builder.unpack(name, image.rootfs);
    await Deno.writeTextFile(`${FOLDER}/image.json`, JSON.stringify(image, undefined, 2));
    await builder.prune();
    await removeOld([image.rootfs, known?.rootfs]);
    return image;
  } finally {
    await Deno.remove(context, { recursive: true });
  }
}

/** buildah(1) with a store of our own. */
class Buildah {
  readonly #flags: readonly string[];

  private constructor(flags: readonly string[]) {
    this.#flags = flags;
  }

  static async open(): Promise<Buildah> {
    const store = ["--root", `${FOLDER}/storage`, "--runroot", `${FOLDER}/run`];
    // Where this machine is a container itself there may be no overlay.
    for (const driver of ["overlay", "vfs"]) {
      const flags = [...store, "--storage-driver", driver];
      if ((await output("buildah", [...flags, "info"])).isDone) return new Buildah(flags);
    }
    throw new Error(`Cannot build images: ${(await output("buildah", [...store, "info"])).text}`);
  }

  /** The same files make the same layer: no times are in it. */
  async build(file: string, name: string, context: string, flags: readonly string[]): Promise<void> {
    const usual = [
      "--isolation",
      "chroot",
      "--format",
      "oci",
      "--timestamp",
      "0",
      "--identity-label=false",
      "--quiet",
    ];
    await this.#must("build", ...usual, ...flags, "--file", file, "--tag", name, context);
  }

  async tryPull(name: string): Promise<boolean> {
    return (await output("buildah", [...this.#flags, "pull", "--quiet", name])).isDone;
  }

  /** Copies an image to a registry or into a file; without a transport the place is a registry. */
  async push(name: string, place: string): Promise<void> {
    await this.#must("push", "--quiet", name, TRANSPORT.test(place) ? place : `docker://${place}`);
  }

  async configOf(name: string): Promise<ImageConfig> {
    return JSON.parse(await this.#must("inspect", "--type", "image", name)).OCIv1.config;
  }

  /** Writes the files of an image to a folder, all or nothing. */
  async unpack(name: string, folder: string): Promise<void> {
    const container = (await this.#must("from", "--pull-never", name)).trim();
    const partial = `${folder}.${Deno.pid}`;
    try {
      const mounted = (await this.#must("mount", container)).trim();
      await copy(mounted, partial);
      await this.#must("umount", container);
      await run("rm", ["-rf", folder]);
      await Deno.rename(partial, folder);
    } finally {
      await run("rm", ["-rf", partial]);
      await this.#must("rm", container);
    }
  }

  /** Removes images that have no name anymore. */
  async prune(): Promise<void> {
    await this.#must("rmi", "--prune", "--force");
  }

  async #must(...args: string[]): Promise<string> {
    const { isDone, text } = await output("buildah", [...this.#flags, ...args]);
    if (!isDone) throw new Error(`Cannot run buildah ${args.join(" ")}: ${text.trim()}`);
    return text;
  }
}

/** Makes both bases of what is on this machine. */
async function makeBases(builder: Buildah, binary: string, folder: string): Promise<void> {
  const libraries = await librariesOf(binary);
  const libc = libraries.find((path) => path.endsWith("/libc.so.6"))!;
  for (const name of LOADED_LATER) {
    const path = libc.replace("libc.so.6", name);
    if (await stat(path)) libraries.push(path);
  }
  await makeBase(
    builder,
    OWN_BASE,
    `${folder}/base`,
    [...libraries, CERTIFICATES],
    {
      "/etc/nsswitch.conf": "hosts: files dns\n",
      "/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\n",
      "/etc/group": "root:x:0:\n",
    },
  );
  const ofTools = await Promise.all(TOOLS.map(librariesOf));
  await makeBase(builder, OWN_TOOLS, `${folder}/tools`, [...new Set([...TOOLS, ...ofTools.flat()])], {});
}

async function makeBase(
  builder: Buildah,
  name: string,
  folder: string,
  paths: readonly string[],
  texts: Readonly<Record<string, string>>,
): Promise<void> {
  await Deno.mkdir(`${folder}/tmp`, { recursive: true });
  await Deno.chmod(`${folder}/tmp`, 0o1777);
  for (const path of [...paths, ...Object.keys(texts)]) {
    await Deno.mkdir(`${folder}${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    const text = texts[path];
    if (text === undefined) await Deno.copyFile(path, `${folder}${path}`);
    else await Deno.writeTextFile(`${folder}${path}`, text);
  }
  const file = `${folder}.dockerfile`;
  await Deno.writeTextFile(file, "FROM scratch\nCOPY . /\n");
  await builder.build(file, name, folder, ["--pull-never"]);
}

/** The libraries that a program is linked with, and what loads them. */
export async function librariesOf(program: string): Promise<string[]> {
  const { isDone, text } = await output("ldd", [program]);
  if (!isDone) throw new Error(`Cannot tell the libraries of ${program}: ${text.trim()}`);
  // Either `libc.so.6 => /lib/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
  return [...text.matchAll(/(?:^|=>)\s*(\/\S+) \(/gm)].map(([, path]) => path!);
}

/** Reports whether the registry of the base answers and hands it out. */
async function canPull(builder: Buildah): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_DEADLINE_MS);
    const response = await fetch(`https://${BASE.split("/")[0]}/v2/`, { signal });
    await response.body?.cancel();
  } catch {
    return false;
  }
  return await builder.tryPull(BASE);
}

async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`);
    else yield `${folder}/${name}`;
  }
}

async function digestOf(paths: readonly string[]): Promise<string> {
  const digests = await Promise.all(
    paths.map(async (path) =>
      new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(path)))
    ),
  );
  const all = new Uint8Array(digests.flatMap((digest) => [...digest]));
  return new Uint8Array(await crypto.subtle.digest("SHA-256", all)).toHex();
}

/** Copies files with owners, modes and links. */
async function copy(from: string, to: string): Promise<void> {
  await run("cp", ["--archive", from, to]);
}

async function stat(path: string): Promise<Deno.FileInfo | undefined> {
  return await Deno.stat(path).catch(() => undefined);
}

/** Removes what was unpacked before; the last one stays, as containers may run from it. */
async function removeOld(kept: readonly (string | undefined)[]): Promise<void> {
  for await (const { name } of Deno.readDir(FOLDER)) {
    const path = `${FOLDER}/${name}`;
    if (name.startsWith("rootfs-") && !kept.includes(path)) await run("rm", ["-rf", path]);
  }
}

async function output(command: string, args: readonly string[]): Promise<{ isDone: boolean; text: string }> {
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, { args: [...args], stdin: "null" })
      .output();
    return { isDone: success, text: new TextDecoder().decode(success ? stdout : stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`Cannot run ${command}: it is not installed; deno task packages installs it on Debian`);
  }
}

/**
 * Copies the image to a place.
 *
 * @param place `registry.example/loden:v0.1.0`, `oci-archive:loden.tar`, as buildah-push(1) has it.
 */
export async function copyImage({ name }: Image, place: string): Promise<void> {
  await (await Buildah.open()).push(name, place);
}

async function main(): Promise<void> {
  const image = await ensureImage();
  const { name, isOwnBase, rootfs } = image;
  let bytes = 0;
  for await (const path of filesIn(rootfs)) bytes += (await Deno.lstat(path)).size;
  const base = isOwnBase ? "this machine's glibc" : BASE;
  // deno-lint-ignore no-console
  console.log(
    `${name}: ${(bytes / 2 ** 20).toFixed(1)} MiB on ${base}, unpacked in ${rootfs.slice(ROOT.length)}`,
  );
  for (const place of Deno.args) {
    await copyImage(image, place);
    // deno-lint-ignore no-console
    console.log(`copied to ${place}`);
  }
}

if (import.meta.main) await runScript(main);
