import { assert, assertEquals, assertRejects } from "@std/assert";
import { copyImage, ensureImage, type Image } from "../../.ci/image.ts";
import { VERSION } from "../../src/model/version.ts";
import { within } from "../../src/loop/pause.ts";
import { AF_INET } from "../../src/model/address.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { until } from "../double/overlay_rig.ts";
import { OciContainer } from "./container.ts";
import { ociConfig, type OciMount } from "./oci_config.ts";

const SIZE_BOUND_MIB = 160;
const SHELLS = ["sh", "bash", "dash", "busybox", "ash", "apt", "apt-get", "dpkg", "apk"];
/** Where the image may write; nothing else is mounted. */
const TMP: OciMount = { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev"] };
const DEADLINE_MS = 30_000;

/** What a container is started with, besides the image. */
interface RunOptions {
  /** The entrypoint of the image if empty. */
  readonly command: readonly string[];
  readonly netns: TestNetns;
  /** A folder for the container; `run` in it is /run/flannel. */
  readonly folder: string;
  /** None if absent. */
  readonly capabilities?: readonly string[];
}

/** Starts a container that may not write but where it must, and do nothing but what it is given. */
async function start(image: Image, options: RunOptions): Promise<OciContainer> {
  const { command: [program, ...args], netns, folder, capabilities = [] } = options;
  await Deno.mkdir(`${folder}/run`, { recursive: true });
  await Deno.mkdir(`${folder}/bundle`);
  const config = await ociConfig({
    spec: { hostNetwork: true, containers: [] },
    container: {
      name: "c",
      args,
      ...program !== undefined && { command: [program] },
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"], add: [...capabilities] },
      },
    },
    image: image.config,
    environment: new Map(),
    mounts: [TMP, {
      destination: "/run/flannel",
      type: "bind",
      source: `${folder}/run`,
      options: ["rbind", "rw"],
    }],
    netnsPath: netns.path,
    rootfs: "rootfs",
  });
  return await OciContainer.start({
    id: netns.name,
    folder: `${folder}/bundle`,
    imageRootfs: image.rootfs,
    config,
    hasCgroups: false,
  });
}

/** Waits for a container's own end: the exit code, and what it has written. */
async function endOf(container: OciContainer): Promise<{ code: number; lines: readonly string[] }> {
  const end = await within(container.ended, DEADLINE_MS);
  assert(end !== undefined, `it does not end:\n${container.lines.join("\n")}`);
  return { code: end.code, lines: container.lines };
}

/** Runs a command in a container without capabilities to its end. */
async function runIn(
  image: Image,
  command: readonly string[],
): Promise<{ code: number; lines: readonly string[] }> {
  await using netns = await TestNetns.create();
  const folder = await Deno.makeTempDir({ prefix: "loden-image-" });
  try {
    await using container = await start(image, { command, netns, folder });
    return await endOf(container);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Paths of all files of the image, and their sizes; links with what they name. */
async function filesOf(rootfs: string, folder = ""): Promise<Map<string, string | number>> {
  const files = new Map<string, string | number>();
  for await (const { name, isDirectory, isSymlink } of Deno.readDir(rootfs + folder)) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const [inner, kind] of await filesOf(rootfs, path)) files.set(inner, kind); }
    else {files.set(
        path,
        isSymlink ? await Deno.readLink(rootfs + path) : (await Deno.lstat(rootfs + path)).size,
      );}
  }
  return files;
}

Deno.test("the image holds one program by three names, no shell and no package manager", async () => {
  const image = await ensureImage();
  const files = await filesOf(image.rootfs);
  assertEquals(files.get("/opt/bin/flanneld"), "loden");
  assertEquals(files.get("/flannel"), "opt/bin/loden");
  const ours = [...files.keys()].filter((path) => path.startsWith("/opt/") || !path.slice(1).includes("/"));
  assertEquals(ours.sort(), ["/flannel", "/opt/bin/flanneld", "/opt/bin/loden"]);
  assertEquals([...files.keys()].filter((path) => SHELLS.includes(path.split("/").at(-1)!)), []);
  if (image.isOwnBase) {
    const others = [...files.keys()].filter((path) =>
      !ours.includes(path) && !/\/(?:lib|ld)[^/]*\.so\.\d$/.test(path)
    );
    assertEquals(others.sort(), [
      "/etc/group",
      "/etc/nsswitch.conf",
      "/etc/passwd",
      "/etc/ssl/certs/ca-certificates.crt",
    ]);
  }
  let bytes = 0;
  for (const size of files.values()) bytes += typeof size === "number" ? size : 0;
  assert(bytes < SIZE_BOUND_MIB * 2 ** 20, `${bytes} bytes`);
  assertEquals(image.config.Entrypoint, ["/opt/bin/flanneld"]);
  assertEquals(image.config.Labels?.["org.opencontainers.image.version"], VERSION);
});

Deno.test("the binary was not built again for the same image", async () => {
  const [first, second] = [await ensureImage(), await ensureImage()];
  assertEquals(second, first);
});

Deno.test("the image is copied to where it is told", async () => {
  const image = await ensureImage();
  const folder = await Deno.makeTempDir({ prefix: "loden-image-" });
  try {
    await copyImage(image, `dir:${folder}/copy`);
    const { layers } = JSON.parse(await Deno.readTextFile(`${folder}/copy/manifest.json`));
    assert(layers.length > 0);
    const error = await assertRejects(() => copyImage(image, "localhost:1/loden:v1"), Error);
    assert(error.message.includes("docker://localhost:1/loden:v1"), error.message);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("every name of the program runs in a container that may not write and may nothing else", async () => {
  const image = await ensureImage();
  for (const name of ["/opt/bin/loden", "/opt/bin/flanneld", "/flannel"]) {
    assertEquals(await runIn(image, [name, "-version"]), { code: 0, lines: [VERSION] }, name);
  }
});

Deno.test("an agent without NET_ADMIN says so in one line and ends", async () => {
  const image = await ensureImage();
  const { code, lines } = await runIn(image, ["/opt/bin/flanneld", "-net-config-path=/tmp/net-conf.json"]);
  assertEquals(lines, [
    "loden: Cannot program the network: the kernel answers EPERM; run as root, or give the process CAP_NET_ADMIN",
  ]);
  assertEquals(code, 1);
});

Deno.test("an agent with NET_ADMIN and a root that is read only writes its subnet file, and ends when asked", async () => {
  const image = await ensureImage();
  await using netns = await TestNetns.create();
  await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const folder = await Deno.makeTempDir({ prefix: "loden-image-" });
  try {
    await Deno.mkdir(`${folder}/run`);
    await Deno.writeTextFile(`${folder}/run/net-conf.json`, JSON.stringify(defaultNetworkConfig([AF_INET])));
    const flags = ["-local-registry=/run/flannel/registry.db", "-net-config-path=/run/flannel/net-conf.json"];
    const command = ["/opt/bin/flanneld", ...flags];
    await using container = await start(image, {
      command,
      netns,
      folder,
      capabilities: ["NET_ADMIN", "NET_RAW"],
    });
    await until("see the subnet file", async () => {
      assertEquals(container.end, undefined, container.lines.join("\n"));
      return await Deno.readTextFile(`${folder}/run/subnet.env`).catch(() => undefined);
    }, () => container.lines.join("\n"));
    const { code } = await container.stop("SIGTERM", DEADLINE_MS);
    assertEquals(code, 0, container.lines.join("\n"));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
