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
  await ensurePackages(deps, "tests");
  assertEquals(commands, []);
});

Deno.test("ensurePackages() installs each missing package once, as root", async () => {
  const { deps, commands } = machine(["ip", "bridge", "iperf3"], true);
  await ensurePackages(deps, "tests");
  assertEquals(commands, [
    "apt-get -qq update",
    "apt-get -qq install --yes --no-install-recommends iproute2 iperf3",
  ]);
});

Deno.test("ensurePackages() asks no more for the demo and the image than they run", async () => {
  for (
    const [purpose, packages] of [["demo", "iproute2 iputils-ping iperf3"], ["image", "buildah"]] as const
  ) {
    const { deps, commands } = machine([], true);
    const bare = { ...deps, isInstalled: (program: string) => Promise.resolve(program === "apt-get") };
    await ensurePackages(bare, purpose);
    assertEquals(commands[1], `apt-get -qq install --yes --no-install-recommends ${packages}`);
  }
});

for (
  const [who, missing, isRoot] of [["not root", [], false], ["not on Debian", ["apt-get"], true]] as const
) {
  Deno.test(`ensurePackages() names what is missing where it is ${who}`, async () => {
    const { deps, commands } = machine(["ping", ...missing], isRoot);
    await assertRejects(() => ensurePackages(deps, "tests"), Error, "apt-get install iputils-ping");
    assertEquals(commands, []);
  });
}
