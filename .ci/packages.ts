/**
 * Sees to the programs that the demo and the tests run: installs their Debian packages where this is root on
 * Debian, else names what is missing.
 *
 * @module
 */
import { run } from "./run.ts";

/** Each program, and the Debian package that it is in. */
const PROGRAMS: readonly (readonly [program: string, debianPackage: string])[] = [
  ["ip", "iproute2"],
  ["bridge", "iproute2"],
  ["ping", "iputils-ping"],
  ["iperf3", "iperf3"],
];
const FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

async function isInstalled(program: string): Promise<boolean> {
  for (const folder of FOLDERS) {
    if (await Deno.stat(`${folder}/${program}`).then(({ isFile }) => isFile, () => false)) return true;
  }
  return false;
}

const missing = new Set<string>();
for (const [program, debianPackage] of PROGRAMS) {
  if (!await isInstalled(program)) missing.add(debianPackage);
}
if (missing.size > 0) {
  const names = [...missing].join(" ");
  if (Deno.uid() !== 0 || !await isInstalled("apt-get")) {
    // deno-lint-ignore no-console
    console.error(
      `Cannot go on without the packages ${names}: install them, as root on Debian: apt-get install ${names}`,
    );
    Deno.exit(1);
  }
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["-qq", "update"], { env });
  await run("apt-get", ["-qq", "install", "--yes", "--no-install-recommends", ...missing], { env });
}
