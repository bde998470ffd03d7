import { assert, assertEquals } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import { nobodyLocks, nobodyReads } from "../double/nobody.ts";
import { TestNetns } from "../double/netns.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import { attach, type Conflist } from "../plugin/runtime.ts";

const DOCUMENT = new URL("../../docs/privileges.md", import.meta.url);

/** What a file of a name may be used for, as the document has it. */
interface Row {
  readonly name: RegExp;
  readonly mode: number;
  readonly isForOthers: boolean;
}

/** The rows of the document's table of files. */
async function readRows(): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const line of (await Deno.readTextFile(DOCUMENT)).split("\n")) {
    const [, files, mode, who] = /^\| (.*`.*) \| (0\d{3}) \| (.*) \|$/.exec(line) ?? [];
    if (files === undefined) continue;
    for (const [, path] of files.matchAll(/`([^`]*)`/g)) {
      const name = path!.split("/").at(-1)!.replaceAll(".", "\\.").replace("CONTAINER@IFNAME", ".+@.+");
      rows.push({
        name: new RegExp(`^${name}$`),
        mode: parseInt(mode!, 8),
        isForOthers: !who!.endsWith("Nobody else"),
      });
    }
  }
  return rows;
}

/** The files in a folder and below, and sockets; what the lab has made is not looked at. */
async function* filesIn(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) yield* filesIn(path);
    else if (!isSymlink) yield path;
  }
}

Deno.test("the document says of each file that is nobody else's that its rights are its owner's alone", async () => {
  const rows = await readRows();
  assert(rows.length > 15, `${rows.length} rows`);
  for (const { name, mode, isForOthers } of rows) {
    assertEquals((mode & 0o007) !== 0 || mode === 0o640, isForOthers, String(name));
  }
});

Deno.test("no file that the agent, the plugin or a command writes can be read or locked by who need not, whatever the umask", async () => {
  const rows = await readRows();
  const binary = await compiledBinary();
  const umask = Deno.umask(0);
  try {
    await withOverlay({ hosts: 1, withAgents: false, agentCommand: [binary, "agent"] }, async (lab, libc) => {
      const [host] = hostsOf(lab);
      const folder = `${host.directory}/written`;
      await Deno.chmod(lab.directory, 0o755);
      await Deno.chmod(host.directory, 0o755);
      await Deno.mkdir(`${folder}/bin`, { recursive: true, mode: 0o755 });
      const run = `${folder}/run`;
      const conflistPath = `${folder}/net.d/10-flannel.conflist`;
      await Deno.mkdir(`${folder}/net.d`, { mode: 0o755 });
      host.startAgent([
        `-subnet-file=${run}/subnet.env`,
        `-local-registry=${folder}/leases/registry.db`,
        `-cni-conf=${conflistPath}`,
      ]);
      await untilReady(libc, host);
      await until("see the socket and the flags", async () => {
        const names = (await Array.fromAsync(Deno.readDir(run))).map(({ name }) => name);
        return ["loden.sock", "flags.json", "agent.json"].every((name) => names.includes(name))
          ? true
          : undefined;
      });
      await until("see the conflist", () => Deno.stat(conflistPath).catch(() => undefined));

      const { success, stderr } = await new Deno.Command(binary, {
        args: ["install-cni"],
        env: { CNI_BIN_DIR: `${folder}/bin`, CNI_NET_DIR: `${folder}/net.d`, CNI_CONF_NAME: "" },
      }).output();
      assert(success, new TextDecoder().decode(stderr));
      // Flannel's chain, for a plugin that keeps state.
      await using pod = await TestNetns.create();
      const list: Conflist = {
        name: "cbr0",
        cniVersion: "1.0.0",
        plugins: [{
          type: "flannel",
          subnetFile: `${run}/subnet.env`,
          dataDir: `${folder}/state/flannel`,
          ipam: { dataDir: `${host.directory}/networks` },
        }],
      };
      await attach(list, {
        hostNetns: host.netns.name,
        pluginFolders: [`${folder}/bin`, STANDARD_PLUGINS],
        containerId: "container",
        netns: pod.path,
      });

      const seen = new Set<string>();
      for (const path of [...await Array.fromAsync(filesIn(folder)), host.logPath]) {
        const name = path.split("/").at(-1)!;
        const found = rows.filter((row) => row.name.test(name));
        assertEquals(found.length, 1, `${path} is in the table once`);
        const [row] = found as [Row];
        seen.add(String(row.name));
        const stat = await Deno.lstat(path);
        assertEquals((stat.mode! & 0o777).toString(8), row.mode.toString(8), path);
        if ((row.mode & 0o004) !== 0) continue;
        assertEquals(await nobodyReads(path), false, `nobody reads ${path}`);
        if (stat.isFile) assertEquals(await nobodyLocks(path), false, `nobody locks ${path}`);
      }
      const here = [
        "subnet.env",
        "agent.lock",
        "agent.json",
        "boot.json",
        "history.json",
        "flags.json",
        "loden.sock",
      ];
      const others = [
        "registry.db",
        "registry.db-wal",
        "registry.db-shm",
        "10-flannel.conflist",
        "flannel",
        "agent.log",
      ];
      for (const name of [...here, ...others, "container@eth0"]) {
        assert(rows.some((row) => row.name.test(name) && seen.has(String(row.name))), `${name} was written`);
      }
      for (const place of ["run", "leases"]) {
        assertEquals((await Deno.stat(`${folder}/${place}`)).mode! & 0o777, 0o755);
      }
      assertEquals((await Deno.stat(`${folder}/state/flannel`)).mode! & 0o777, 0o700);
    });
  } finally {
    Deno.umask(umask);
  }
});
