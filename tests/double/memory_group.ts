import { waitUntil } from "../../src/lab/wait.ts";

const ROOT = "/sys/fs/cgroup";
/** What the kernel may take to forget a process that has ended. */
const REMOVE_DEADLINE_MS = 10_000;

/** How a version of control groups says things: where groups are, and what their files are called. */
interface Version {
  readonly folder: string;
  readonly sign: string;
  readonly limit: string;
  readonly peak: string;
  readonly events: string;
}

const VERSIONS: readonly Version[] = [
  {
    folder: `${ROOT}/memory`,
    sign: "memory.limit_in_bytes",
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
  },
  {
    folder: ROOT,
    sign: "cgroup.subtree_control",
    limit: "memory.max",
    peak: "memory.peak",
    events: "memory.events",
  },
];

let serial = 0;

/** A control group whose processes have so much memory together, and no more. */
export class MemoryGroup implements AsyncDisposable {
  readonly #folder: string;
  readonly #version: Version;

  private constructor(folder: string, version: Version) {
    this.#folder = folder;
    this.#version = version;
  }

  /** Makes a group; `undefined` where none may be made, as in some containers. */
  static async open(limitBytes: number): Promise<MemoryGroup | undefined> {
    for (const version of VERSIONS) {
      const folder = `${version.folder}/lodentest-${Deno.pid}-${serial++}`;
      try {
        await Deno.stat(`${version.folder}/${version.sign}`);
        // Version 2 has to be told that groups below limit memory.
        if (version.folder === ROOT) await Deno.writeTextFile(`${ROOT}/${version.sign}`, "+memory");
        await Deno.mkdir(folder);
      } catch {
        continue;
      }
      const group = new MemoryGroup(folder, version);
      try {
        await Deno.writeTextFile(`${folder}/${version.limit}`, String(limitBytes));
        return group;
      } catch {
        await group[Symbol.asyncDispose]();
      }
    }
    return undefined;
  }

  /** The file that takes a process in. */
  get procs(): string {
    return `${this.#folder}/cgroup.procs`;
  }

  /** The most that was used, with what the kernel held for it; `undefined` on kernels that do not tell. */
  async peakMiB(): Promise<number | undefined> {
    const text = await Deno.readTextFile(`${this.#folder}/${this.#version.peak}`).catch(() => undefined);
    return text === undefined ? undefined : Number(text) / 2 ** 20;
  }

  /** How many processes were ended, as there was no more. */
  async kills(): Promise<number> {
    const text = await Deno.readTextFile(`${this.#folder}/${this.#version.events}`);
    return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
  }

  /** Removes the group, once its processes have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    const options = { deadlineMs: REMOVE_DEADLINE_MS, signal: new AbortController().signal };
    await waitUntil(
      `remove ${this.#folder}`,
      () => Deno.remove(this.#folder).then(() => true, () => undefined),
      options,
    );
  }
}
