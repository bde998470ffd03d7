import { librariesOf } from "../../.ci/image.ts";
import { run } from "../../.ci/run.ts";
import type { CommandResult } from "../../src/lab/command.ts";
import { BRIDGE, type LabHost } from "../../src/lab/host.ts";
import { namesIn } from "../../src/lab/names.ts";
import { within } from "../../src/loop/pause.ts";
import { compiledBinary } from "../../.ci/binary.ts";
import { STANDARD_PLUGINS } from "../plugin/plugin_host.ts";
import type { Conflist } from "../plugin/runtime.ts";

/** What containers are made of: this machine's own. */
const PROGRAMS = ["/usr/bin/cat", "/usr/bin/iperf3", "/usr/bin/ping", "/usr/bin/sleep"];
const IMAGE = "localhost/lodentest";
/** What one command of podman(1) may take, on a machine that does other things too. */
const COMMAND_DEADLINE_S = 60;
/** What the first process of a machine may take to come up, and to go with all others. */
const BOOT_DEADLINE_MS = 10_000;
/** Files of host-local that are no reservations. */
const KEPT_BY_HOST_LOCAL = ["last_reserved_ip.0", "lock"];

/**
 * What podman(1) shares with nobody: processes, mounts, `/run` with the network namespaces of containers, `/var/lib`
 * with what CNI plugins keep. The kernel takes all of it away with the first process, which ends with its input.
 *
 * A second hierarchy of control groups is gone, with which crun(1) works not at all.
 */
const BOOT = `
mount -t tmpfs -o mode=755 lodentest /run
mkdir /run/flannel /run/netns
mount --bind "$1" /run/flannel
mount --bind "$1/podman/var" /var/lib
mount -t tmpfs lodentest /dev/shm
if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
echo ready
# As a child, so that this shell waits for orphans.
cat
:
`;

/** What is left of containers on a host. */
export interface ContainerLeftovers {
  /** The ports of the host's bridge. */
  readonly links: readonly string[];
  /** What host-local has reserved. */
  readonly addresses: readonly string[];
  /** The plugin's state files. */
  readonly state: readonly string[];
  /** Rules for published ports. */
  readonly rules: readonly string[];
}

/**
 * A host of a lab on which podman(1) runs containers, with a network `cbr0` of the plugin under test: all paths are the
 * plugin's own defaults. Disposal ends every container and leaves nothing.
 */
export class Podman implements AsyncDisposable {
  readonly #host: LabHost;
  readonly #folder: string;
  readonly #first: Deno.ChildProcess;
  /** What the first process complains of, once it has ended. */
  readonly #complaint: Promise<string>;

  private constructor(host: LabHost, folder: string, first: Deno.ChildProcess) {
    this.#host = host;
    this.#folder = folder;
    this.#first = first;
    this.#complaint = new Response(first.stderr).text();
  }

  /** Makes podman ready on a host; the host needs no subnet yet. */
  static async open(host: LabHost, conflist: Conflist): Promise<Podman> {
    const folder = `${host.directory}/podman`;
    for (const path of ["bin", "image", "net.d", "var"]) {
      await Deno.mkdir(`${folder}/${path}`, { recursive: true });
    }
    await Deno.symlink(await compiledBinary(), `${folder}/bin/flannel`);
    await Deno.writeTextFile(`${folder}/net.d/10-flannel.conflist`, JSON.stringify(conflist));
    await Deno.writeTextFile(`${folder}/containers.conf`, containersConf(folder));
    await Deno.writeTextFile(`${folder}/storage.conf`, STORAGE_CONF);
    const podman = new Podman(host, folder, boot(host));
    try {
      await podman.#untilBooted();
      await makeImage(folder);
      await podman.must("import", `${folder}/image.tar`, IMAGE);
      return podman;
    } catch (error) {
      await podman[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs podman(1) on the host; a failure is in the result. */
  async exec(...args: readonly string[]): Promise<CommandResult> {
    const { pid } = this.#first;
    const command = new Deno.Command("nsenter", {
      args: [
        ...["--target", `${pid}`, "--mount", "--net", `--pid=/proc/${pid}/ns/pid_for_children`],
        ...["timeout", "--kill-after=1", `${COMMAND_DEADLINE_S}`, "podman", ...args],
      ],
      stdin: "null",
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        HOME: this.#folder,
        CONTAINERS_CONF: `${this.#folder}/containers.conf`,
        CONTAINERS_STORAGE_CONF: `${this.#folder}/storage.conf`,
      },
    });
    const { code, stdout, stderr } = await command.output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /**
   * Runs podman(1) on the host and returns what it printed.
   *
   * @throws {Error} If it fails, with its own words.
   */
  async must(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.exec(...args);
    if (code !== 0) {
      throw new Error(`Cannot run podman ${args.join(" ")} on ${this.#host.name}: ${code} ${stderr.trim()}`);
    }
    return stdout.trim();
  }

  /**
   * Starts a container on `cbr0` and returns its address.
   *
   * @param options.command What runs in it; it only waits if absent.
   * @param options.flags More flags of `podman run`.
   */
  async start(
    name: string,
    options: { command?: readonly string[]; flags?: readonly string[] } = {},
  ): Promise<string> {
    const { command = ["/usr/bin/sleep", "infinity"], flags = [] } = options;
    await this.must("run", "--detach", "--name", name, "--network", "cbr0", ...flags, IMAGE, ...command);
    return await this.must("inspect", "--format", "{{.NetworkSettings.Networks.cbr0.IPAddress}}", name);
  }

  /** Runs a command in a container of its own, which is removed when the command ends. */
  async once(...command: readonly string[]): Promise<CommandResult> {
    return await this.exec("run", "--rm", "--network", "cbr0", IMAGE, ...command);
  }

  /** Reports whether a container has an answer from an address. */
  async answers(name: string, address: string): Promise<boolean> {
    return (await this.exec("exec", name, "/usr/bin/ping", "-nqc1", "-W1", address)).code === 0;
  }

  /** Removes containers, also those in which something runs. */
  async remove(...names: readonly string[]): Promise<void> {
    await this.must("rm", "--force", "--time", "0", ...names);
  }

  async leftovers(): Promise<ContainerLeftovers> {
    const cni = `${this.#folder}/var/cni`;
    const { stdout: links } = await this.#host.exec("ip", "-o", "link", "show", "master", BRIDGE);
    const { stdout: rules } = await this.#host.exec("iptables-save", "-t", "nat");
    const reserved = await namesIn(`${cni}/networks/cbr0`);
    return {
      links: links.split("\n").filter((line) => line !== ""),
      addresses: reserved.filter((name) => !KEPT_BY_HOST_LOCAL.includes(name)),
      state: await namesIn(`${cni}/flannel`),
      rules: rules.split("\n").filter((rule) => rule.includes("CNI-DN-")),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#first.stdin.close();
    if (await within(this.#first.status, BOOT_DEADLINE_MS) === undefined) {
      // Its child is killed with it.
      this.#first.kill("SIGKILL");
      await this.#first.status;
    }
    await this.#first.stdout.cancel();
    await this.#complaint;
  }

  async #untilBooted(): Promise<void> {
    const reader = this.#first.stdout.getReader();
    const said = await within(reader.read(), BOOT_DEADLINE_MS);
    reader.releaseLock();
    if (said?.value !== undefined) return;
    const complaint = said === undefined ? "it says nothing" : (await this.#complaint).trim();
    throw new Error(`Cannot make ${this.#host.name} ready for containers: ${complaint}`);
  }
}

/** Starts the first process of a host's own world of processes and mounts. */
function boot(host: LabHost): Deno.ChildProcess {
  return new Deno.Command("nsenter", {
    args: [
      `--net=${host.netns.path}`,
      ...[
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
      ],
      ...["sh", "-ec", BOOT, "sh", host.directory],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Limits are low, since who runs the tests may not raise them. */
function containersConf(folder: string): string {
  return `[containers]
cgroups = "disabled"
cgroupns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "crun"
[network]
network_backend = "cni"
network_config_dir = "${folder}/net.d"
cni_plugin_dirs = ["${folder}/bin", "${STANDARD_PLUGINS}"]
`;
}

/** Copies are possible everywhere, and these are small. */
const STORAGE_CONF = `[storage]
driver = "vfs"
graphroot = "/var/lib/containers"
runroot = "/run/containers"
`;

/** Packs programs and their libraries into a tarball. */
async function makeImage(folder: string): Promise<void> {
  await Deno.mkdir(`${folder}/image/tmp`);
  const libraries = (await Promise.all(PROGRAMS.map(librariesOf))).flat();
  for (const path of new Set([...PROGRAMS, ...libraries])) {
    await Deno.mkdir(`${folder}/image${path.slice(0, path.lastIndexOf("/"))}`, { recursive: true });
    await Deno.copyFile(path, `${folder}/image${path}`);
  }
  await run("tar", ["-C", `${folder}/image`, "-cf", `${folder}/image.tar`, "."]);
}
