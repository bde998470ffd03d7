import { writeUnmanagedFiles } from "../../../src/host/unmanaged_files.ts";
import { replaceFile } from "../../../src/file/replace_file.ts";
import { assertEquals } from "@std/assert";
import { type FilePlaces, planOwnFiles, planPodFiles } from "../../../src/command/cleanup/cleanup_files.ts";

const CONFLIST = JSON.stringify({ name: "cbr0", plugins: [{ type: "flannel" }] });

/** A folder with a program, and the places of files in it. */
async function inFolder(body: (folder: string, places: FilePlaces) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-files-" });
  const places: FilePlaces = {
    options: { subnetFilePath: `${folder}/run/subnet.env` },
    environment: { CNI_NET_DIR: `${folder}/net.d`, CNI_BIN_DIR: `${folder}/bin` },
    root: folder,
    dataDir: `${folder}/state`,
    program: `${folder}/loden`,
    hasPods: false,
    others: [],
  };
  try {
    for (const name of ["net.d", "bin", "state", "run"]) await Deno.mkdir(`${folder}/${name}`);
    await Deno.writeTextFile(`${folder}/loden`, "a program");
    await body(folder, places);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("planPodFiles() finds the conflist and the plugin where install-cni puts them", () =>
  inFolder(async (folder, places) => {
    await Deno.writeTextFile(`${folder}/net.d/10-flannel.conflist`, CONFLIST);
    await Deno.copyFile(`${folder}/loden`, `${folder}/bin/flannel`);
    const { steps, kept } = planPodFiles(places);
    assertEquals(steps.map(({ object }) => object), [
      `conflist ${folder}/net.d/10-flannel.conflist`,
      `plugin ${folder}/bin/flannel`,
    ]);
    assertEquals(kept, []);
    for (const step of steps) await step.run();
    assertEquals(planPodFiles(places), { steps: [], kept: [] });
  }));

const plugins: [name: string, install: (folder: string) => Promise<void>, isOurs: boolean][] = [
  ["a link to this program", (folder) => Deno.symlink(`${folder}/loden`, `${folder}/bin/flannel`), true],
  ["as long as this program", (folder) => Deno.writeTextFile(`${folder}/bin/flannel`, "b program"), false],
  ["a longer program", (folder) => Deno.writeTextFile(`${folder}/bin/flannel`, "a program!"), false],
  ["a folder", (folder) => Deno.mkdir(`${folder}/bin/flannel`), false],
];
for (const [name, install, isOurs] of plugins) {
  Deno.test(`planPodFiles() ${isOurs ? "removes" : "keeps"} a plugin that is ${name}`, () =>
    inFolder(async (folder, places) => {
      await install(folder);
      const { steps, kept } = planPodFiles(places);
      assertEquals([steps.length, kept.length], isOurs ? [1, 0] : [0, 1]);
      for (const step of steps) await step.run();
      assertEquals(await Deno.readTextFile(`${folder}/loden`), "a program", "what it leads to stays");
    }));
}

Deno.test("planOwnFiles() removes nothing but state from the folder that is said to be the state's", () =>
  inFolder(async (folder, places) => {
    const files = {
      hosts: "127.0.0.1 localhost",
      "a.json": '{"name":"x"}',
      "c1@eth0": '{"name":"n","type":"bridge"}',
    };
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/state/${name}`, text);
    }
    await Deno.symlink("hosts", `${folder}/state/link`);
    const [step] = planOwnFiles(places).steps;
    assertEquals(step!.object, `state folder ${folder}/state`);
    let message = "";
    try {
      await step!.run();
    } catch (error) {
      message = (error as Error).message;
    }
    assertEquals(message, "3 files in it are not state");
    const left = (await Array.fromAsync(Deno.readDir(`${folder}/state`))).map(({ name }) => name);
    assertEquals(left.sort(), ["a.json", "hosts", "link"]);
  }));

Deno.test("planOwnFiles() removes what an unfinished ADD has left beside its state", () =>
  inFolder(async (folder, places) => {
    await Deno.writeTextFile(`${folder}/state/c1@eth0`, '{"name":"n","type":"bridge"}');
    await Deno.writeTextFile(`${folder}/state/.c1@eth0`, "{");
    for (const step of planOwnFiles(places).steps) await step.run();
    assertEquals(planOwnFiles(places).steps, []);
  }));

Deno.test("planOwnFiles() finds the boot identity, the host's history and the files for network managers, and not those of others", () =>
  inFolder(async (folder, places) => {
    await Deno.writeTextFile(`${folder}/run/boot.json`, "{}");
    for (const name of ["history", "applied", "held"]) {
      await Deno.writeTextFile(`${folder}/run/${name}.json`, "{}");
    }
    for (const name of ["NetworkManager/conf.d", "systemd/network"]) {
      await Deno.mkdir(`${folder}/etc/${name}`, { recursive: true });
    }
    writeUnmanagedFiles({ root: folder, replaceFile });
    await Deno.writeTextFile(`${folder}/etc/systemd/network/00-loden.link`, "[Match]\nName=another's\n");
    const objects = planOwnFiles(places).steps.map(({ object }) => object.replaceAll(folder, ""));
    assertEquals(objects.slice(0, 6), [
      "boot identity /run/boot.json",
      "host's history /run/history.json",
      "host's history /run/applied.json",
      "host's history /run/held.json",
      "network manager's file /etc/NetworkManager/conf.d/zz-loden.conf",
      "network manager's file /etc/systemd/network/00-loden.network",
    ]);
  }));
