import { assertEquals, assertStringIncludes } from "@std/assert";
import { FileFights } from "../../src/agent/file_fights.ts";
import { SubnetFileKeeper } from "../../src/agent/subnet_file_keeper.ts";
import type { Log } from "../../src/log/log.ts";

async function inFolder(
  test: (folder: string, keeper: SubnetFileKeeper, events: string[]) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-keeper-" });
  const events: string[] = [];
  const log: Log = { write: (_, event) => events.push(event) };
  const fights = new FileFights(() => 0);
  try {
    test(folder, new SubnetFileKeeper(`${folder}/run/subnet.env`, { fights, log }), events);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("SubnetFileKeeper has a fault until the file is written", () =>
  inFolder((folder, keeper, events) => {
    assertEquals(keeper.fault, "the subnet file is not written yet");
    keeper.keep("FLANNEL_MTU=1450\n");
    assertEquals(keeper.fault, undefined);
    assertEquals(Deno.readTextFileSync(`${folder}/run/subnet.env`), "FLANNEL_MTU=1450\n");
    assertEquals(events, ["subnet file written"]);
  }));

Deno.test("SubnetFileKeeper writes again what was removed, and only then", () =>
  inFolder((folder, keeper, events) => {
    keeper.keep("FLANNEL_MTU=1450\n");
    keeper.keep("FLANNEL_MTU=1450\n");
    assertEquals(events.length, 1);
    Deno.removeSync(`${folder}/run/subnet.env`);
    keeper.keep("FLANNEL_MTU=1450\n");
    assertEquals(events.length, 2);
  }));

Deno.test("SubnetFileKeeper says why it can't write, and goes on when it can", () =>
  inFolder((folder, keeper, events) => {
    Deno.writeTextFileSync(`${folder}/run`, "in the way");
    keeper.keep("FLANNEL_MTU=1450\n");
    keeper.keep("FLANNEL_MTU=1450\n");
    assertStringIncludes(keeper.fault ?? "", "a part of its path is not a folder");
    assertEquals(events, []);
    Deno.removeSync(`${folder}/run`);
    keeper.keep("FLANNEL_MTU=1450\n");
    assertEquals([keeper.fault, events.at(-1)], [undefined, "subnet file written"]);
  }));
