import { assert, assertEquals } from "@std/assert";
import { LocalFile } from "../../../src/registry/local/local_file.ts";
import { LocalWorld } from "./local_world.ts";

const SCRIPT = new URL("../acquire_many.ts", import.meta.url).pathname;
const CONFIG = new URL("../../../deno.json", import.meta.url).pathname;
const HOSTS = 50;

function spawn(path: string, name: string): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "--config", CONFIG, SCRIPT, path, name, String(HOSTS)],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

/** Reads what a process says, as pairs of host and subnet; `heard` is called after each. */
async function listen(child: Deno.ChildProcess, heard: (count: number) => void = () => {}) {
  const said = new Map<string, string>();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const [host, subnet] = line.split(" ");
      said.set(host!, subnet!);
      heard(said.size);
    }
  }
  await child.status;
  return said;
}

/** What the file holds: subnet by host. */
function held(path: string): Map<string, string> {
  using file = new LocalFile(path);
  const rows = file.rows("read", "SELECT host, subnet, length FROM lease");
  return new Map(rows.map(([host, subnet, length]) => {
    const address = Number(subnet);
    const octets = [24, 16, 8, 0].map((shift) => address >>> shift & 255);
    return [String(host), `${octets.join(".")}/${length}`];
  }));
}

Deno.test("acquire() gives each subnet to one host when four processes race and one is killed", async () => {
  await using world = new LocalWorld();
  const killed = spawn(world.path, "killed");
  const others = ["a", "b", "c"].map((name) => spawn(world.path, name));
  const [saidByKilled, ...saidByOthers] = await Promise.all([
    listen(killed, (count) => {
      if (count === 10) killed.kill("SIGKILL");
    }),
    ...others.map((child) => listen(child)),
  ]);
  const before = held(world.path);
  for (const said of saidByOthers) assertEquals(said.size, HOSTS);
  assert(saidByKilled.size >= 10);
  for (const [host, subnet] of [saidByKilled, ...saidByOthers].flatMap((said) => [...said])) {
    assertEquals(before.get(host), subnet);
  }
  assertEquals(new Set(before.values()).size, before.size);

  const again = await listen(spawn(world.path, "killed"));
  const after = held(world.path);
  assertEquals(again.size, HOSTS);
  for (const [host, subnet] of before) assertEquals(after.get(host), subnet);
  assertEquals([after.size, new Set(after.values()).size], [4 * HOSTS, 4 * HOSTS]);
});
