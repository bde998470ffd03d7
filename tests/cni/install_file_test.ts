import { assert, assertEquals, assertThrows } from "@std/assert";
import { installProgram } from "../../src/cni/install_file.ts";

async function withFolder(body: (path: string) => void | Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "lodentest-install-" });
  try {
    await body(path);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("installProgram() installs what is not there, replaces what differs, and leaves what is the same", async () => {
  await withFolder((folder) => {
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
});

Deno.test("installProgram() replaces a link by a file, and not what it points to", async () => {
  await withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    Deno.writeTextFileSync(`${folder}/target`, "mine");
    Deno.symlinkSync(`${folder}/target`, `${folder}/flannel`);
    assertEquals(installProgram(`${folder}/source`, `${folder}/flannel`), true);
    assertEquals(Deno.readTextFileSync(`${folder}/target`), "mine");
  });
});

Deno.test("installProgram() leaves nothing behind where it fails", async () => {
  await withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/source`, "new");
    Deno.mkdirSync(`${folder}/flannel`);
    assertThrows(() => installProgram(`${folder}/source`, `${folder}/flannel`), Error);
    assertThrows(() => installProgram(`${folder}/source`, `${folder}/missing/flannel`), Deno.errors.NotFound);
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["flannel", "source"]);
  });
});

Deno.test("installProgram() replaces a program while it is started all the time, and no start fails", async () => {
  await withFolder(async (folder) => {
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
