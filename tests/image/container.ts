import { waitUntil } from "../../src/lab/wait.ts";
import { within } from "../../src/loop/pause.ts";

const RUNTIME = "crun";
/** What the runtime may take to clear away a container whose processes were killed. */
const KILL_DEADLINE_MS = 20_000;

/**
 * Each container has a mount namespace of its own from the start. In it the image is the lower layer of an overlay, so
 * that a container sees it whole and changes nothing of it, and a second hierarchy of control groups is gone, with
 * which crun(1) works not at all. It ends with the container, so nothing is to be unmounted.
 */
const PREPARE = `
layer=$1 rootfs=$2 image=$3
shift 3
mount -t tmpfs -o mode=755 loden "$layer"
mkdir "$layer/upper" "$layer/work"
mount -t overlay -o "lowerdir=$image,upperdir=$layer/upper,workdir=$layer/work" overlay "$rootfs"
if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
exec "$@"
`;

/** What a container is started from. */
export interface ContainerStart {
  /** Unique on this machine. */
  readonly id: string;
  /** A folder of its own, which is there. */
  readonly folder: string;
  /** The files of its image. */
  readonly imageRootfs: string;
  /** The `config.json`; its root must be `rootfs`. */
  readonly config: unknown;
  readonly hasCgroups: boolean;
}

/** A container, run by crun(1) from an OCI bundle. Disposal kills it. */
export class OciContainer implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #start: ContainerStart;
  readonly #lines: string[] = [];
  #status: Deno.CommandStatus | undefined;
  /** Resolves once it has ended and all that it wrote was read. */
  readonly ended: Promise<Deno.CommandStatus>;

  private constructor(child: Deno.ChildProcess, start: ContainerStart) {
    this.#child = child;
    this.#start = start;
    const read = [child.stdout, child.stderr].map((stream) => this.#follow(stream));
    this.ended = Promise.all(read).then(() => child.status).then((status) => this.#status = status);
  }

  /** Starts it; whether it comes up is seen in its log and its end. */
  static async start(start: ContainerStart): Promise<OciContainer> {
    const { folder, imageRootfs, id, config } = start;
    for (const name of ["layer", "rootfs"]) await Deno.mkdir(`${folder}/${name}`);
    await Deno.writeTextFile(`${folder}/config.json`, JSON.stringify(config, undefined, 2));
    const child = new Deno.Command("unshare", {
      args: [
        ...["--mount", "--propagation", "slave", "sh", "-ec", PREPARE, "sh"],
        ...[`${folder}/layer`, `${folder}/rootfs`, imageRootfs],
        ...runtime(start, "run", "--bundle", folder, "--pid-file", `${folder}/pid`, id),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin" },
    }).spawn();
    return new OciContainer(child, start);
  }

  /** What it has written, line by line, to standard output and standard error. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** How it ended, if it has. A process that a signal has ended has an exit code of 128 more than the signal. */
  get end(): Deno.CommandStatus | undefined {
    return this.#status;
  }

  /** The process outside, once there is one. */
  async pid(): Promise<number | undefined> {
    const text = await Deno.readTextFile(`${this.#start.folder}/pid`).catch(() => "");
    return text === "" ? undefined : Number(text);
  }

  /** Sends its first process a signal. Nothing happens if there is none. */
  async signal(name: Deno.Signal): Promise<void> {
    const pid = await this.pid();
    if (pid === undefined || this.#status !== undefined) return;
    try {
      Deno.kill(pid, name);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound) && !(error instanceof TypeError)) throw error;
    }
  }

  /** Asks it to end and, past the grace, kills it: as kubelet does. */
  async stop(name: Deno.Signal, graceMs: number): Promise<Deno.CommandStatus> {
    await this.signal(name);
    if (await within(this.ended, graceMs) === undefined) await this[Symbol.asyncDispose]();
    return await this.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#status !== undefined) return;
    const options = { deadlineMs: KILL_DEADLINE_MS, signal: new AbortController().signal };
    const isUp = async () => this.#status ?? await this.pid();
    await waitUntil(`see a process of ${this.#start.id}`, isUp, options).catch(() => {});
    await this.signal("SIGKILL");
    if (await within(this.ended, KILL_DEADLINE_MS) !== undefined) return;
    // It has not come so far that it has a process, or the runtime itself hangs.
    this.#child.kill("SIGKILL");
    const { folder, imageRootfs, id } = this.#start;
    await new Deno.Command("unshare", {
      args: [
        ...["--mount", "--propagation", "slave", "sh", "-ec", PREPARE, "sh"],
        ...[`${folder}/layer`, `${folder}/rootfs`, imageRootfs],
        ...runtime(this.#start, "delete", "--force", id),
      ],
      stdin: "null",
    }).output();
    await this.ended;
  }

  async #follow(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      this.#lines.push(...lines);
    }
    if (rest !== "") this.#lines.push(rest);
  }
}

/** Reports whether memory can be limited: by control groups of version 1 or 2 that this process may make. */
export async function hasCgroups(): Promise<boolean> {
  for (const [folder, sign] of [["memory/", "cgroup.procs"], ["", "cgroup.subtree_control"]]) {
    const path = `/sys/fs/cgroup/${folder}`;
    try {
      await Deno.stat(path + sign);
      await Deno.mkdir(`${path}lodentest-${Deno.pid}-try`);
      await Deno.remove(`${path}lodentest-${Deno.pid}-try`);
      return true;
    } catch {
      // Not this version, or it is read only.
    }
  }
  return false;
}

/** The limit of a process's memory, in bytes; `undefined` if it has none. */
export async function memoryLimitOf(pid: number): Promise<number | undefined> {
  const groups = await Deno.readTextFile(`/proc/${pid}/cgroup`);
  const older = /^\d+:memory:(.*)$/m.exec(groups)?.[1];
  const file = older === undefined
    ? `${/^0::(.*)$/m.exec(groups)?.[1]}/memory.max`
    : `/memory${older}/memory.limit_in_bytes`;
  const text = (await Deno.readTextFile(`/sys/fs/cgroup${file}`)).trim();
  // Version 1 says it as a number that no machine has.
  return text === "max" || Number(text) > Number.MAX_SAFE_INTEGER ? undefined : Number(text);
}

function runtime({ folder, hasCgroups }: ContainerStart, ...args: readonly string[]): string[] {
  const manager = hasCgroups ? "cgroupfs" : "disabled";
  return [RUNTIME, "--root", `${folder}/state`, "--cgroup-manager", manager, ...args];
}
