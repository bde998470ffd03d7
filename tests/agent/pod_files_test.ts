import { assertEquals, assertStringIncludes } from "@std/assert";
import { PodFiles } from "../../src/agent/pod_files.ts";
import { SUBNET_ENV } from "../plugin/plugin_world.ts";

interface World {
  readonly root: string;
  readonly log: string[];
  readonly files: PodFiles;
}

async function withPodFiles(
  body: (world: World) => void,
  options: { isSourceOptional?: boolean; isRendered?: boolean; environment?: Record<string, string> } = {},
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "lodentest-podfiles-" });
  const log: string[] = [];
  try {
    for (const folder of ["run", "net.d", "bin"]) await Deno.mkdir(`${root}/${folder}`);
    await Deno.writeTextFile(`${root}/loden`, "program");
    for (const type of ["bridge", "host-local", "portmap"]) await putPlugin(root, type);
    const files = new PodFiles({
      subnetFilePath: `${root}/run/subnet.env`,
      conflist: {
        path: `${root}/net.d/10-flannel.conflist`,
        sourcePath: `${root}/cni-conf.json`,
        isSourceOptional: options.isSourceOptional ?? true,
        isRendered: options.isRendered ?? true,
      },
      pluginFolder: `${root}/bin`,
    }, {
      log: {
        write: (level, event) => void log.push(`${level} ${event}`),
      },
      environment: options.environment ?? {},
      program: `${root}/loden`,
      elapsedMs: () => 0,
    });
    body({ root, log, files });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

async function putPlugin(root: string, type: string): Promise<void> {
  await Deno.writeTextFile(`${root}/bin/${type}`, "program", { mode: 0o755 });
}

/** What a pass does with the files. */
function keep(files: PodFiles, subnetFile = SUBNET_ENV): void {
  files.write(files.prepare(subnetFile));
}

function conflist({ root }: World) {
  return JSON.parse(Deno.readTextFileSync(`${root}/net.d/10-flannel.conflist`));
}

Deno.test("PodFiles is at fault until all is written, and then writes nothing that is as it must be", async () => {
  await withPodFiles((world) => {
    const { files, log, root } = world;
    assertEquals(files.fault, "the subnet file is not written yet");
    keep(files);
    assertEquals([files.fault, files.note], [undefined, undefined]);
    assertEquals(log, ["info subnet file written", "info plugin installed", "info conflist written"]);
    assertEquals(conflist(world).plugins[0].type, "bridge");
    assertEquals(Deno.readTextFileSync(`${root}/bin/flannel`), "program");
    keep(files);
    assertEquals(log.length, 3);
  });
});

for (const isRendered of [true, false]) {
  const how = isRendered ? "rendered" : "not rendered";
  Deno.test(`PodFiles makes a list of one plugin alone behind a byte order mark, ${how}`, async () => {
    await withPodFiles((world) => {
      const { files, root } = world;
      Deno.writeTextFileSync(`${root}/cni-conf.json`, '\ufeff{"name":"n","type":"flannel"}');
      keep(files);
      assertEquals(files.fault, undefined);
      const { name, plugins } = conflist(world);
      assertEquals([name, plugins.map(({ type }: { type: string }) => type)], [
        "n",
        [isRendered ? "bridge" : "flannel"],
      ]);
    }, { isRendered });
  });
}

Deno.test("PodFiles writes the conflist anew when subnet, MTU or source change, or it is gone", async () => {
  await withPodFiles((world) => {
    const { files, root } = world;
    keep(files);
    keep(files, SUBNET_ENV.replace("1450", "1400"));
    assertEquals(conflist(world).plugins[0].mtu, 1400);
    Deno.writeTextFileSync(`${root}/cni-conf.json`, '{"name":"n2","plugins":[{"type":"flannel"}]}');
    keep(files);
    assertEquals([conflist(world).name, conflist(world).plugins[0].mtu], ["n2", 1450]);
    for (const path of ["net.d/10-flannel.conflist", "bin/flannel", "run/subnet.env"]) {
      Deno.removeSync(`${root}/${path}`);
      keep(files);
      assertEquals(Deno.statSync(`${root}/${path}`).isFile, true, path);
    }
  });
});

Deno.test("PodFiles knows how pods will be attached before it writes, and reads the source once for both", async () => {
  await withPodFiles((world) => {
    const { files, root } = world;
    Deno.writeTextFileSync(
      `${root}/cni-conf.json`,
      '{"name":"n","plugins":[{"type":"flannel","delegate":{"bridge":"br0","isGateway":true}}]}',
    );
    const prepared = files.prepare(SUBNET_ENV);
    assertEquals([files.attachment?.bridge, [...Deno.readDirSync(`${root}/net.d`)]], ["br0", []]);
    Deno.removeSync(`${root}/cni-conf.json`);
    files.write(prepared);
    assertEquals([files.fault, conflist(world).plugins[0].bridge], [undefined, "br0"]);
  });
});

Deno.test("PodFiles keeps the conflist that there is while its source is broken, and says so", async () => {
  await withPodFiles((world) => {
    const { files, root } = world;
    keep(files);
    Deno.writeTextFileSync(`${root}/cni-conf.json`, "{");
    for (let pass = 0; pass < 3; pass++) keep(files);
    assertStringIncludes(
      files.fault!,
      `Cannot write the conflist ${root}/net.d/10-flannel.conflist: ${root}/cni-conf.json: line 1`,
    );
    assertEquals(conflist(world).name, "cbr0");
    Deno.removeSync(`${root}/cni-conf.json`);
    keep(files);
    assertEquals(files.fault, undefined);
  });
});

Deno.test("PodFiles leaves the plugin in the conflist where that was asked for, and refuses what is none", async () => {
  await withPodFiles((world) => {
    const { files, root } = world;
    keep(files);
    assertEquals(conflist(world).plugins[0].type, "flannel");
    Deno.writeTextFileSync(`${root}/cni-conf.json`, '{"name":"n"}');
    keep(files);
    assertStringIncludes(files.fault!, "plugins: must be a list of objects, and not empty");
    assertEquals(conflist(world).plugins[0].type, "flannel");
  }, { isRendered: false });
});

Deno.test("PodFiles needs the source that a flag names", async () => {
  await withPodFiles(({ files, root }) => {
    keep(files);
    assertStringIncludes(files.fault!, `${root}/cni-conf.json: there is no such file or folder`);
  }, { isSourceOptional: false });
});

Deno.test("PodFiles writes no conflist before the subnet file and the plugin are in place", async () => {
  await withPodFiles(({ files, root }) => {
    Deno.removeSync(`${root}/bin`, { recursive: true });
    keep(files);
    assertEquals(files.fault, `Cannot install ${root}/bin/flannel: there is no such file or folder`);
    assertEquals([...Deno.readDirSync(`${root}/net.d`)], []);
  });
});

Deno.test("PodFiles notes the file that the runtime uses instead, while it is there", async () => {
  await withPodFiles(({ files, root }) => {
    Deno.writeTextFileSync(`${root}/net.d/05-calico.conflist`, "{}");
    for (let pass = 0; pass < 2; pass++) keep(files);
    assertEquals(
      files.note,
      `05-calico.conflist sorts before 10-flannel.conflist in ${root}/net.d: the runtime uses that one`,
    );
    Deno.removeSync(`${root}/net.d/05-calico.conflist`);
    keep(files);
    assertEquals(files.note, undefined);
  });
});

Deno.test("PodFiles heeds the plugin's variables, and says which one can't be meant", async () => {
  await withPodFiles((world) => {
    keep(world.files);
    assertEquals(conflist(world).plugins[0].mtu, 1300);
  }, { environment: { FLANNEL_CNI_MTU: "1300" } });
  await withPodFiles(({ files }) => {
    keep(files);
    assertStringIncludes(files.fault!, "invalid variable FLANNEL_CNI_MTU");
  }, { environment: { FLANNEL_CNI_MTU: "x" } });
});

Deno.test("PodFiles knows the bridge that pods are on, before and after the conflist is written", async () => {
  await withPodFiles(({ files, root }) => {
    assertEquals(files.bridge, "cni0", "the source may be missing");
    Deno.writeTextFileSync(
      `${root}/cni-conf.json`,
      '{"name":"n","plugins":[{"type":"flannel","delegate":{"bridge":"br0"}}]}',
    );
    assertEquals(files.bridge, "br0");
    keep(files);
    Deno.writeTextFileSync(`${root}/cni-conf.json`, "{");
    assertEquals(files.bridge, "br0", "as it was written");
  });
  await withPodFiles(({ files, root }) => {
    Deno.writeTextFileSync(`${root}/cni-conf.json`, "{");
    assertEquals(files.bridge, "cni0", "a broken source says nothing");
  });
});

Deno.test("PodFiles writes no conflist while a plugin of it is missing, and says so", async () => {
  await withPodFiles(({ files, root }) => {
    Deno.removeSync(`${root}/bin/host-local`);
    for (let pass = 0; pass < 3; pass++) keep(files);
    assertStringIncludes(
      files.fault!,
      `${root}/bin/host-local is not there, which the conflist ${root}/net.d/10`,
    );
    assertEquals([...Deno.readDirSync(`${root}/net.d`)], []);
    assertEquals(files.attachment?.bridge, "cni0", "how pods will be attached is known");
    Deno.writeTextFileSync(`${root}/bin/host-local`, "program", { mode: 0o755 });
    keep(files);
    assertEquals([files.fault, [...Deno.readDirSync(`${root}/net.d`)].length], [undefined, 1]);
  });
});

Deno.test("PodFiles keeps a conflist as it must be though a plugin has gone, and is at fault for that", async () => {
  await withPodFiles((world) => {
    const { files, root } = world;
    keep(files);
    Deno.removeSync(`${root}/bin/portmap`);
    keep(files, SUBNET_ENV.replace("1450", "1400"));
    assertStringIncludes(files.fault!, `${root}/bin/portmap is not there`);
    assertEquals(conflist(world).plugins[0].mtu, 1400);
  });
});

Deno.test("PodFiles misses what the plugin flannel calls, where that is in the conflist", async () => {
  await withPodFiles(({ files, root }) => {
    Deno.removeSync(`${root}/bin/bridge`);
    keep(files);
    assertStringIncludes(files.fault!, `${root}/bin/bridge is not there`);
    assertEquals(files.attachment?.bridge, "cni0");
  }, { isRendered: false });
});

Deno.test("PodFiles has the files watched that the conflist will need", async () => {
  await withPodFiles(({ files, root }) => {
    for (const type of ["flannel", "bridge", "host-local", "portmap"]) {
      assertEquals(files.paths.includes(`${root}/bin/${type}`), true, type);
    }
  });
});
