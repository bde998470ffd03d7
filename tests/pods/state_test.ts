import { assertEquals, assertThrows } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { OddStateError, StateFolder } from "../../src/pods/state.ts";

const ETH0 = { containerId: "c1", ifname: "eth0" };
const NET1 = { containerId: "c1", ifname: "net1" };

function names(path: string): string[] {
  return [...Deno.readDirSync(path)].map(({ name }) => name).sort();
}

describe("StateFolder", () => {
  let parent: string;
  let path: string;
  let state: StateFolder;

  beforeEach(async () => {
    parent = await Deno.makeTempDir({ prefix: "lodentest-state-" });
    path = `${parent}/flannel`;
    state = new StateFolder(path);
  });

  afterEach(() => Deno.remove(parent, { recursive: true }));

  it("keeps a file of each attachment, and the first one under flannel's name too", () => {
    state.write(ETH0, "a");
    state.write(NET1, "b");
    assertEquals(names(path), ["c1", "c1@eth0", "c1@net1"]);
    assertEquals(Deno.readTextFileSync(`${path}/c1`), "a");
    assertEquals(Deno.statSync(path).mode! & 0o777, 0o700);
    assertEquals(Deno.statSync(`${path}/c1@eth0`).mode! & 0o777, 0o600);
    assertEquals(state.read(ETH0), { ...ETH0, text: "a" });
    assertEquals(state.read(NET1), { ...NET1, text: "b" });
  });

  it("leaves nothing of an attachment that is removed, and all of its neighbour", () => {
    state.write(ETH0, "a");
    state.write(NET1, "b");
    state.remove(NET1);
    assertEquals(names(path), ["c1", "c1@eth0"]);
    state.remove(ETH0);
    assertEquals(names(path), []);
    state.remove(ETH0);
  });

  it("does not take another attachment's file for one that was removed", () => {
    state.write(ETH0, "a");
    assertEquals(state.read(NET1), undefined);
    state.write(NET1, "b");
    state.remove(ETH0);
    assertEquals(state.read(ETH0), undefined);
    assertEquals(names(path), ["c1@net1"]);
  });

  it("reads what flannel's plugin wrote, for any link, and removes it", () => {
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(`${path}/c1`, "upstream");
    const saved = state.read(ETH0);
    assertEquals(saved, { containerId: "c1", ifname: undefined, text: "upstream" });
    assertEquals(state.list(), [{ containerId: "c1", ifname: undefined }]);
    state.remove(saved!);
    assertEquals(names(path), []);
  });

  it("writes beside a file of flannel's plugin, and leaves that alone", () => {
    Deno.mkdirSync(path);
    Deno.writeTextFileSync(`${path}/c1`, "upstream");
    state.write(NET1, "b");
    assertEquals(state.read(NET1)?.text, "b");
    state.remove(NET1);
    assertEquals(names(path), ["c1"]);
  });

  it("writes again what was written, and does not list what a killed process left", () => {
    state.write(ETH0, "a");
    state.write(ETH0, "a2");
    assertEquals(Deno.readTextFileSync(`${path}/c1`), "a2");
    // As versions up to 0.1 called it.
    Deno.writeTextFileSync(`${path}/.c1@eth0`, "half");
    assertEquals(state.list(), [ETH0]);
    state.remove(ETH0);
    assertEquals(names(path), []);
  });

  it("is swept of what plugins left that were killed before there was any state, and of nothing else", () => {
    state.sweep();
    const young = `.c2@eth0${crypto.randomUUID()}`;
    const foreign = [".nfs0001", ".keep", ".c1", "c3"];
    state.write(ETH0, "a");
    for (const name of [young, ...foreign, ".c1@eth0", `.c3@eth0${crypto.randomUUID()}`]) {
      Deno.writeTextFileSync(`${path}/${name}`, "half");
      const old = new Date(Date.now() - 120_000);
      if (name !== young) Deno.utimeSync(`${path}/${name}`, old, old);
    }
    state.sweep();
    assertEquals(names(path), ["c1", "c1@eth0", ...foreign, young].sort());
  });

  it("knows nothing where there is no folder, and refuses what is too large to be state", () => {
    assertEquals([state.list(), state.read(ETH0), state.has(ETH0)], [[], undefined, false]);
    state.write(ETH0, "a");
    Deno.truncateSync(`${path}/c1@eth0`, 2 << 20);
    assertThrows(() => state.read(ETH0), Error, "is no state: it has more than 1048576 bytes; remove it");
  });

  it("reads what root, the folder's owner and its own user wrote, and no other's", () => {
    const nobody = 65_534;
    state.write(ETH0, "a");
    Deno.chownSync(`${path}/c1@eth0`, nobody, null);
    assertThrows(
      () => state.read(ETH0),
      OddStateError,
      `c1@eth0 is no state: it belongs to the user ${nobody}; remove it`,
    );
    assertEquals(new StateFolder(path, () => nobody).read(ETH0)?.text, "a");
    Deno.chownSync(path, nobody, null);
    assertEquals(state.read(ETH0)?.text, "a");
    Deno.chownSync(`${path}/c1@eth0`, 0, null);
    assertEquals(state.read(ETH0)?.text, "a");
  });

  it("takes what is no regular file for no state, also a link, and its own link to the first attachment for none", () => {
    state.write(ETH0, "a");
    Deno.removeSync(`${path}/c1@eth0`);
    assertEquals(state.read(ETH0), undefined);
    Deno.symlinkSync("c1@other", `${path}/c1@eth0`);
    assertThrows(() => state.read(ETH0), OddStateError, "it is a symbolic link");
    Deno.removeSync(`${path}/c1@eth0`);
    Deno.mkdirSync(`${path}/c1@eth0`);
    assertThrows(() => state.read(ETH0), OddStateError, "it is a folder");
    assertEquals(state.read({ containerId: "c".repeat(255), ifname: "eth0" }), undefined);
  });
});
