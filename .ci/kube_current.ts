/**
 * Sees to a kube-apiserver of a current Kubernetes, and to the etcd that it wants, which the tests of `deno task test:kube`
 * run against: they are built once, from the Go module proxy, in the versions and with the digests that `kube/go.mod` and
 * `kube/go.sum` name, and kept in the cache folder. That takes some minutes of two cores.
 *
 * @module
 */
import { isFile, keep, placeOf } from "./kube_apiserver.ts";

/** What says the version, and holds the digests of all that it is made of. */
const MODULE = new URL("kube", import.meta.url).pathname;
/**
 * What is built of what: the names that `KUBEBUILDER_ASSETS` has for them. With Debian's etcd 3.4 the API server has no
 * streaming list.
 */
const PROGRAMS = {
  "etcd": "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
} as const;
/** Where the API server is told its version, which no build but Kubernetes' own does by itself. */
const STAMPED = "k8s.io/component-base/version";

/** What is to be built, and with what: the words of a `go.mod`. */
interface Wanted {
  /** `1.36.3`. */
  readonly version: string;
  /** The least minor version of Go 1 that builds it. */
  readonly goMinor: number;
}

/** Reads what a `go.mod` asks for. */
export function readWanted(goMod: string): Wanted {
  const version = /^\s*(?:require )?k8s\.io\/kubernetes v(\S+)/m.exec(goMod)?.[1];
  const goMinor = /^go 1\.(\d+)/m.exec(goMod)?.[1];
  if (version === undefined || goMinor === undefined) {
    throw new Error(`Cannot read ${MODULE}/go.mod: it names no version of Kubernetes or of Go`);
  }
  return { version, goMinor: Number(goMinor) };
}

/**
 * The folder with a current kube-apiserver, as `KUBEBUILDER_ASSETS` names one; builds what is not there.
 *
 * @throws {Error} If it can't be built, and what is missing: one line.
 */
export async function currentKubeAssets(go = "go", place = placeOf): Promise<string> {
  const wanted = readWanted(await Deno.readTextFile(`${MODULE}/go.mod`));
  const target = place(wanted.version);
  const assets = target.slice(0, target.lastIndexOf("/"));
  const missing: (keyof typeof PROGRAMS)[] = [];
  for (const name of ["etcd", "kube-apiserver"] as const) {
    if (!await isFile(`${assets}/${name}`)) missing.push(name);
  }
  if (missing.length > 0) await build(go, wanted, missing, assets);
  return assets;
}

async function build(
  go: string,
  { version, goMinor }: Wanted,
  names: readonly (keyof typeof PROGRAMS)[],
  assets: string,
): Promise<void> {
  const needs = `Cannot build kube-apiserver ${version}`;
  const hint = `it takes Go 1.${goMinor} or newer, and a way to the Go module proxy that GOPROXY names`;
  const found = await runGo(go, ["env", "GOVERSION"]);
  if (found === undefined) throw new Error(`${needs}: there is no program ${go}; ${hint}`);
  const minor = Number(/^go1\.(\d+)/.exec(found.stdout)?.[1]);
  if (!(minor >= goMinor)) throw new Error(`${needs}: ${go} is ${found.stdout.trim()}; ${hint}`);
  // deno-lint-ignore no-console
  console.log(`building kube-apiserver ${version} from the Go module proxy, once: this takes some minutes`);
  const folder = await Deno.makeTempDir({ prefix: "loden-kube-" });
  try {
    for (const name of names) {
      const flags = ["-mod=readonly", "-trimpath", "-ldflags", ["-s", "-w", ...stamps(version)].join(" ")];
      const built = await runGo(go, ["build", ...flags, "-o", `${folder}/${name}`, PROGRAMS[name]]);
      if (built?.code !== 0) throw new Error(`${needs}: ${firstFault(built?.stderr ?? "")}; ${hint}`);
      await keep(`${folder}/${name}`, `${assets}/${name}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Tells the API server its version; of a package that is not linked in, the linker takes no notice. */
function stamps(version: string): string[] {
  const [major, kubeMinor] = version.split(".");
  const values = { gitVersion: `v${version}`, gitMajor: major, gitMinor: kubeMinor, gitTreeState: "clean" };
  return Object.entries(values).map(([name, value]) => `-X ${STAMPED}.${name}=${value}`);
}

/** Runs Go, beside which others work on this machine; `undefined` if it is not there. */
async function runGo(go: string, args: readonly string[]) {
  const env = { CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "", GOWORK: "off" };
  try {
    // It would be said by nice(1) what is not there.
    await new Deno.Command(go, { args: ["version"], stdin: "null", stdout: "null", stderr: "null" }).output();
    const { code, stdout, stderr } = await new Deno.Command("nice", {
      args: ["-n", "10", go, ...args],
      cwd: MODULE,
      env,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The line of Go's that says what went wrong, among those that say what it does. */
export function firstFault(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const isNews = (line: string) => /^go: downloading |^# /.test(line);
  return lines.find((line) => !isNews(line)) ?? "Go says nothing about it";
}
