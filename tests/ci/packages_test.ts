import { assertEquals, assertRejects } from "@std/assert";
import { ensurePackages, type PackageDeps } from "../../.ci/packages.ts";

/** A machine without some programs, and the commands that were run on it. */
function machine(missing: readonly string[], isRoot: boolean): { deps: PackageDeps; commands: string[] } {
  const commands: string[] = [];
  return {
    commands,
    deps: {
      isInstalled: (program) => Promise.resolve(!missing.includes(program)),
      isRoot,
      run: (command, args) => Promise.resolve(void commands.push([command, ...args].join(" "))),
    },
  };
}

Deno.test("ensurePackages() runs nothing where nothing is missing", async () => {
  const { deps, commands } = machine([], false);
  await ensurePackages(deps);
  assertEquals(commands, []);
});

Deno.test("ensurePackages() installs each missing package once, as root", async () => {
  const { deps, commands } = machine(["ip", "bridge", "iperf3"], true);
  await ensurePackages(deps);
  assertEquals(commands, [
    "apt-get -qq update",
    "apt-get -qq install --yes --no-install-recommends iproute2 iperf3",
  ]);
});

for (
  const [who, missing, isRoot] of [["not root", [], false], ["not on Debian", ["apt-get"], true]] as const
) {
  Deno.test(`ensurePackages() names what is missing where it is ${who}`, async () => {
    const { deps, commands } = machine(["ping", ...missing], isRoot);
    await assertRejects(() => ensurePackages(deps), Error, "apt-get install iputils-ping");
    assertEquals(commands, []);
  });
}
