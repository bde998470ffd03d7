/**
 * Sees to a real kube-apiserver for the tests: the one in the folder `KUBEBUILDER_ASSETS` if that is set, else one that
 * is built once from Debian's sources of Kubernetes, and kept in the cache folder. That takes some minutes.
 *
 * @module
 */
import { run, runScript } from "./run.ts";

const VERSION = "1.20.2";
/** Debian's compiler, and what the build needs besides. */
const PACKAGES = ["golang-1.19-go", "dpkg-dev", "rsync", "make", "golang-github-modern-go-reflect2-dev"];
const COMPILER = "/usr/lib/go-1.19/bin";
/** The vendored version of this library crashes with a compiler as new as Debian's; Debian has a newer one. */
const REFLECT2 = "github.com/modern-go/reflect2";

/** Where a version is kept. */
export function placeOf(version: string): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${cache}/loden/kube-apiserver-${version}/kube-apiserver`;
}

/**
 * Where kube-apiserver is.
 *
 * @throws {Error} If there is none, and how to get one.
 */
export async function kubeApiServerPath(): Promise<string> {
  const assets = Deno.env.get("KUBEBUILDER_ASSETS");
  const path = assets ? `${assets}/kube-apiserver` : placeOf(VERSION);
  if (await isFile(path)) return path;
  throw new Error(
    assets
      ? `Cannot find kube-apiserver: KUBEBUILDER_ASSETS names ${assets}, which has none`
      : `Cannot find kube-apiserver: ${path} is missing; deno task kube-apiserver builds it on Debian`,
  );
}

/** Reports whether there is a file. */
export async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}

/** Builds kube-apiserver, unless there is one. */
async function build(): Promise<void> {
  if (Deno.env.get("KUBEBUILDER_ASSETS")) return void await kubeApiServerPath();
  const target = placeOf(VERSION);
  if (await isFile(target)) return;
  // deno-lint-ignore no-console
  console.log(`building kube-apiserver ${VERSION} from Debian's sources, once: this takes some minutes`);
  const apt = { DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["-qq", "update"], { env: apt });
  await run("apt-get", ["-qq", "install", "--yes", "--no-install-recommends", ...PACKAGES], { env: apt });
  const folder = await Deno.makeTempDir({ prefix: "loden-kube-" });
  try {
    const root = await unpack(folder, apt);
    await replaceReflect2(root);
    const env = {
      ...apt,
      PATH: `${COMPILER}:${Deno.env.get("PATH") ?? ""}`,
      HOME: folder,
      GOPATH: `${folder}/go`,
      GOCACHE: `${folder}/cache`,
      GO111MODULE: "off",
      CGO_ENABLED: "0",
      KUBE_GIT_VERSION: `v${VERSION}`,
      KUBE_GIT_MAJOR: "1",
      KUBE_GIT_MINOR: "20",
      KUBE_GIT_TREE_STATE: "clean",
      KUBE_GIT_COMMIT: "debian",
      KUBE_VERBOSE: "0",
    };
    await run("make", ["--silent", "WHAT=cmd/kube-apiserver", "GOLDFLAGS=-s -w"], { cwd: root, env });
    const [goos, goarch] = ["linux", Deno.build.arch === "x86_64" ? "amd64" : "arm64"];
    await keep(`${root}/_output/local/bin/${goos}/${goarch}/kube-apiserver`, target);
  } finally {
    // The compiler's own files are read-only.
    await run("chmod", ["-R", "u+w", folder]);
    await Deno.remove(folder, { recursive: true });
  }
}

/** Keeps what was built. Two steps, so that nobody finds half of it. */
export async function keep(program: string, target: string): Promise<void> {
  await Deno.mkdir(target.slice(0, target.lastIndexOf("/")), { recursive: true });
  await Deno.copyFile(program, `${target}.new`);
  await Deno.rename(`${target}.new`, target);
}

/** Fetches the sources through apt, which checks their signatures, and returns the folder to build in. */
async function unpack(folder: string, env: Record<string, string>): Promise<string> {
  const { stdout } = await new Deno.Command("apt-get", {
    args: ["indextargets", "--format", "$(SITE)", "Created-By: Packages"],
  }).output();
  const site = new TextDecoder().decode(stdout).split("\n")[0]!;
  const sources = `${folder}/apt`;
  await Deno.mkdir(`${sources}/lists/partial`, { recursive: true });
  await Deno.writeTextFile(`${sources}/sources.list`, `deb-src ${site} bookworm main\n`);
  const options = [
    `-oDir::Etc::sourcelist=${sources}/sources.list`,
    "-oDir::Etc::sourceparts=-",
    `-oDir::State::lists=${sources}/lists`,
    "-oAPT::Sandbox::User=root",
  ];
  await run("apt-get", ["-qq", ...options, "update"], { env });
  await run("apt-get", ["-qq", ...options, "source", "--download-only", "kubernetes"], { cwd: folder, env });
  const parent = `${folder}/go/src/k8s.io`;
  await Deno.mkdir(parent, { recursive: true });
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(".orig.tar.gz")) await run("tar", ["xzf", `${folder}/${name}`, "-C", parent]);
  }
  await Deno.rename(`${parent}/kubernetes-${VERSION}`, `${parent}/kubernetes`);
  return `${parent}/kubernetes`;
}

async function replaceReflect2(root: string): Promise<void> {
  const vendored = `${root}/vendor/${REFLECT2}`;
  await Deno.remove(vendored, { recursive: true });
  await Deno.mkdir(vendored);
  for await (const { name, isFile } of Deno.readDir(`/usr/share/gocode/src/${REFLECT2}`)) {
    if (!isFile || name.endsWith("_test.go")) continue;
    await Deno.copyFile(`/usr/share/gocode/src/${REFLECT2}/${name}`, `${vendored}/${name}`);
  }
}

if (import.meta.main) await runScript(build);
