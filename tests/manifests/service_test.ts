import { assert, assertEquals, assertRejects } from "@std/assert";

const PATH = new URL("../../manifests/loden.service", import.meta.url).pathname;
/** How much of a host a unit is exposed to, of 10, as systemd-analyze(1) counts it: `-.service` without anything has 9.6. */
const MAX_EXPOSURE = 3;

async function analyze(...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("systemd-analyze", {
    args,
    env: { LC_ALL: "C" },
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  if (!success) throw new Error(said);
  return said;
}

Deno.test("systemd knows every line of the unit", async () => {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-unit-" });
  try {
    const unit = (await Deno.readTextFile(PATH)).replace("/usr/local/bin/loden", "/bin/true");
    await Deno.writeTextFile(`${folder}/loden.service`, unit);
    // What it says of other units of this machine is none of this one's.
    const said = await analyze("verify", "--recursive-errors=no", `${folder}/loden.service`);
    assertEquals(said.split("\n").filter((line) => line.includes("loden.service")), []);
    await Deno.writeTextFile(`${folder}/loden.service`, unit.replace("MemoryMax", "MemoryMost"));
    const verify = () => analyze("verify", "--recursive-errors=no", `${folder}/loden.service`);
    await assertRejects(verify, Error, "Unknown key 'MemoryMost'");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the unit keeps its agent from all that it does not use", async () => {
  const said = await analyze("security", "--offline=true", "--no-pager", PATH);
  const exposure = Number(/exposure level for loden\.service: ([\d.]+)/.exec(said)?.[1]);
  assert(exposure <= MAX_EXPOSURE, said);
});

Deno.test("the unit bounds what an agent may take, and has the capabilities of the manifest", async () => {
  const unit = await Deno.readTextFile(PATH);
  const values = (key: string) =>
    [...unit.matchAll(new RegExp(`^${key}=(.*)$`, "gm"))].map(([, value]) => value);
  assertEquals([values("LimitNOFILE"), values("MemoryMax"), values("TasksMax")], [["65536"], ["512M"], [
    "256",
  ]]);
  assertEquals(values("CapabilityBoundingSet"), ["CAP_NET_ADMIN CAP_NET_RAW"]);
  const manifest = await Deno.readTextFile(new URL("kube-flannel.yml", `file://${PATH}`));
  assertEquals([...manifest.matchAll(/^ +add: (.*)$/gm)].map(([, added]) => added), ["[NET_ADMIN, NET_RAW]"]);
});
