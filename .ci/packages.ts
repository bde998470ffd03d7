/**
 * Sees to the programs that the demo and the tests run: installs their Debian packages where this is root on
 * Debian, else names what is missing.
 *
 * @module
 */
import { run, runScript } from "./run.ts";

/** A program or library, by name or, where it is in no path, by file; and the Debian package that it is in. */
type Program = readonly [program: string, debianPackage: string];

const FOR_DEMO: readonly Program[] = [
  ["ip", "iproute2"],
  ["ping", "iputils-ping"],
  ["iperf3", "iperf3"],
];
const FOR_IMAGE: readonly Program[] = [["buildah", "buildah"]];
/** What the tests run: hundreds of megabytes. */
const FOR_TESTS: readonly Program[] = [
  ...FOR_DEMO,
  ...FOR_IMAGE,
  ["bridge", "iproute2"],
  ["ethtool", "ethtool"],
  ["openssl", "openssl"],
  ["etcd", "etcd-server"],
  ["etcdctl", "etcd-client"],
  ["/usr/lib/cni/bridge", "containernetworking-plugins"],
  ["iptables", "iptables"],
  ["nft", "nftables"],
  ["crun", "crun"],
  ["kubectl", "kubernetes-client"],
  ["/usr/lib/go-1.19/bin/go", "golang-1.19-go"],
  ["/usr/share/gocode/src/github.com/Masterminds/sprig/functions.go", "golang-github-masterminds-sprig-dev"],
  ["/usr/share/gocode/src/gopkg.in/yaml.v3/yaml.go", "golang-gopkg-yaml.v3-dev"],
  ["podman", "podman"],
  ["prometheus", "prometheus"],
  ["setpriv", "util-linux"],
  ["flock", "util-linux"],
  ["strace", "strace"],
  ["systemd-analyze", "systemd"],
  ["zsh", "zsh"],
  ["fish", "fish"],
  ["mandoc", "mandoc"],
  // Another program of this name may be in the path; its library is this package's.
  ["/usr/bin/aws", "awscli"],
  ["/usr/lib/python3.11/ensurepip/__init__.py", "python3-venv"],
];
/** What is needed for what. */
const SETS = { demo: FOR_DEMO, image: FOR_IMAGE, tests: FOR_TESTS } as const;
/** Where programs are that only root uses, also if `PATH` does not say so. */
const FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** What {@linkcode ensurePackages} needs of the machine. */
export interface PackageDeps {
  readonly isInstalled: (program: string) => Promise<boolean>;
  readonly isRoot: boolean;
  readonly run: (command: string, args: readonly string[], env: Record<string, string>) => Promise<void>;
}

/**
 * Installs what is missing; does nothing if nothing is.
 *
 * @param purpose What it is for: who only looks at the demo need not install a compiler.
 * @throws {Error} If something is missing and can't be installed.
 */
export async function ensurePackages(deps: PackageDeps, purpose: keyof typeof SETS): Promise<void> {
  const missing = new Set<string>();
  for (const [program, debianPackage] of SETS[purpose]) {
    if (!await deps.isInstalled(program)) missing.add(debianPackage);
  }
  if (missing.size === 0) return;
  if (!deps.isRoot || !await deps.isInstalled("apt-get")) {
    const names = [...missing].join(" ");
    throw new Error(
      `Cannot go on without ${names}: install what is missing, on Debian: apt-get install ${names}`,
    );
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await deps.run("apt-get", ["-qq", "update"], env);
  await deps.run("apt-get", ["-qq", "install", "--yes", "--no-install-recommends", ...missing], env);
}

async function isInstalled(program: string): Promise<boolean> {
  const searched = (Deno.env.get("PATH") ?? "").split(":").filter((folder) => folder !== "");
  const paths = program.startsWith("/")
    ? [program]
    : [...searched, ...FOLDERS].map((folder) => `${folder}/${program}`);
  for (const path of paths) {
    try {
      if ((await Deno.stat(path)).isFile) return true;
    } catch {
      // Not in this folder.
    }
  }
  return false;
}

if (import.meta.main) {
  const [purpose = "tests"] = Deno.args as (keyof typeof SETS)[];
  await runScript(() =>
    ensurePackages({
      isInstalled,
      isRoot: Deno.uid() === 0,
      run: (command, args, env) => run(command, args, { env }),
    }, purpose)
  );
}
