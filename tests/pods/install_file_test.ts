import { assert, assertEquals, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { assertSpyCalls, stub } from "@std/testing/mock";
import { installProgram } from "../../src/pods/install_file.ts";

describe("installProgram()", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await Deno.makeTempDir({ prefix: "lodentest-install-" });
  });

  afterEach(() => Deno.remove(folder, { recursive: true }));

  it("installs what is not there, replaces what differs, and leaves what is the same", () => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    const path = `${folder}/flannel`;
    assertEquals(installProgram(`${folder}/source`, path), true);
    assertEquals([Deno.readTextFileSync(path), Deno.statSync(path).mode! & 0o777], ["new", 0o755]);
    assertEquals(installProgram(`${folder}/source`, path), false);
    Deno.writeTextFileSync(path, "old");
    assertEquals(installProgram(`${folder}/source`, path), true);
    Deno.chmodSync(path, 0o644);
    assertEquals(installProgram(`${folder}/source`, path), true, "it could not be started");
    assertEquals([...Deno.readDirSync(folder)].length, 2);
  });

  it("replaces a link by a file, and not what it points to", () => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    Deno.writeTextFileSync(`${folder}/target`, "mine");
    Deno.symlinkSync(`${folder}/target`, `${folder}/flannel`);
    assertEquals(installProgram(`${folder}/source`, `${folder}/flannel`), true);
    assertEquals(Deno.readTextFileSync(`${folder}/target`), "mine");
  });

  it("leaves nothing behind where it fails", () => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    Deno.mkdirSync(`${folder}/flannel`);
    assertThrows(() => installProgram(`${folder}/source`, `${folder}/flannel`), Error);
    assertThrows(() => installProgram(`${folder}/source`, `${folder}/missing/flannel`), Deno.errors.NotFound);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["flannel", "source"]);
  });

  it("leaves nothing behind where the disk is full, and the program as it was", () => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    Deno.writeTextFileSync(`${folder}/flannel`, "old");
    using full = stub(Deno, "renameSync", () => {
      throw new Error("No space left on device");
    });
    assertThrows(() => installProgram(`${folder}/source`, `${folder}/flannel`), Error, "No space left");
    assertSpyCalls(full, 1);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["flannel", "source"]);
    assertEquals(Deno.readTextFileSync(`${folder}/flannel`), "old");
  });

  it("replaces a program while it is started all the time, and no start fails", async () => {
    const path = `${folder}/program`;
    const variants = ["/bin/true", "/bin/echo"];
    installProgram(variants[0]!, path);
    let installs = 0;
    let isOver = false;
    const starting = (async () => {
      for (let started = 0; started < 60; started++) {
        const { success } = await new Deno.Command(path, { stdout: "null" }).output();
        assert(success);
      }
      isOver = true;
    })();
    while (!isOver) {
      if (installProgram(variants[++installs % 2]!, path)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    await starting;
    assert(installs > 5, `only ${installs} installs`);
  });
});
