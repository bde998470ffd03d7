import { join } from "node:path";
import { agentLockPath } from "../cni/agent_lock.ts";
import { agentWordPath } from "../cni/agent_word.ts";
import { isOurConflist } from "../cni/conflist.ts";
import { readStates } from "../cni/leftover_facts.ts";
import { StateFolder } from "../cni/state.ts";
import { statIfThere } from "../cni/write_if_other.ts";
import type { Options } from "../config/options.ts";
import { fileReason } from "../log/file_reason.ts";
import type { CleanupPlan, CleanupStep } from "./cleanup_step.ts";

/** What says where our files are. */
export interface FilePlaces {
  readonly options: Pick<Options, "subnetFilePath" | "leaseCachePath" | "conflist" | "pluginFolder">;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The folder of the plugin's state. */
  readonly dataDir: string;
  /** This program's own file, by which the plugin is known; absent where it is no compiled binary. */
  readonly program: string | undefined;
  /** Whether pods are attached, whose state is still needed. */
  readonly hasPods: boolean;
}

/** A larger file is no conflist. */
const MAX_CONFLIST_BYTES = 1 << 20;
const READ_BYTES = 1 << 20;

/** The conflist, with which the host stops to take pods, and the plugin; only if they are ours. */
export function planPodFiles({ options, environment, program }: FilePlaces): CleanupPlan {
  const { CNI_NET_DIR, CNI_CONF_NAME, CNI_BIN_DIR } = environment;
  const conflist = options.conflist?.path ??
    join(CNI_NET_DIR || "/etc/cni/net.d", CNI_CONF_NAME || "10-flannel.conflist");
  const plugin = join(options.pluginFolder ?? (CNI_BIN_DIR || "/opt/cni/bin"), "flannel");
  const steps: CleanupStep[] = [];
  const kept: string[] = [];
  const look = (what: string, path: string, isOurs: () => boolean, isNot: string) => {
    try {
      if (statIfThere(path) === undefined) return;
      if (isOurs()) steps.push(fileStep(what, path));
      else kept.push(`${what} ${path}: ${isNot}`);
    } catch (error) {
      steps.push(failing(what, path, error));
    }
  };
  look("conflist", conflist, () => isConflistOfOurs(conflist), "it is neither ours nor flannel's");
  look(
    "plugin",
    plugin,
    () => program !== undefined && isSameFile(program, plugin),
    program === undefined
      ? "only the compiled binary knows its own plugin"
      : "it is another program than this one",
  );
  return { steps, kept };
}

/** What the agent has written for others and for itself, and the plugin's state if no pod needs it. */
export function planOwnFiles({ options, dataDir, hasPods }: FilePlaces): CleanupPlan {
  const { subnetFilePath, leaseCachePath } = options;
  const files: [what: string, path: string | undefined][] = [
    ["subnet file", subnetFilePath],
    ["lease cache", leaseCachePath],
    ["agent's word", agentWordPath(subnetFilePath)],
    ["agent's lock", agentLockPath(subnetFilePath)],
  ];
  const steps = files.flatMap(([what, path]): CleanupStep[] => {
    if (path === undefined) return [];
    try {
      return statIfThere(path) === undefined ? [] : [fileStep(what, path)];
    } catch (error) {
      return [failing(what, path, error)];
    }
  });
  const state = planState(dataDir, hasPods);
  return { steps: [...steps, ...state.steps], kept: state.kept };
}

/** Of the state's folder only what is state is removed, whatever folder was named. */
function planState(dataDir: string, hasPods: boolean): CleanupPlan {
  const what = "state folder";
  try {
    if (statIfThere(dataDir) === undefined) return { steps: [], kept: [] };
    const folder = new StateFolder(dataDir);
    const states = readStates(folder).filter(({ network }) => network !== undefined);
    if (hasPods && states.length > 0) {
      return { steps: [], kept: [`${what} ${dataDir}: pods are attached that can't be detached without it`] };
    }
    const run = () => {
      for (const state of states) folder.remove(state);
      const others = [...Deno.readDirSync(dataDir)].length;
      if (others > 0) {
        throw new Error(`${others === 1 ? "a file in it is" : `${others} files in it are`} not state`);
      }
      Deno.removeSync(dataDir);
    };
    return { steps: [step(what, dataDir, run)], kept: [] };
  } catch (error) {
    return { steps: [failing(what, dataDir, error)], kept: [] };
  }
}

function fileStep(what: string, path: string): CleanupStep {
  return step(what, path, () => {
    try {
      Deno.removeSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  });
}

function step(what: string, path: string, run: () => void): CleanupStep {
  return {
    verb: "remove",
    object: `${what} ${path}`,
    run: () => {
      try {
        run();
      } catch (error) {
        throw new Error(fileReason(error));
      }
    },
  };
}

/** A file that can't even be looked at: what is wrong is told when its turn comes. */
function failing(what: string, path: string, error: unknown): CleanupStep {
  return step(what, path, () => {
    throw error;
  });
}

function isConflistOfOurs(path: string): boolean {
  const { isFile, size } = Deno.statSync(path);
  return isFile && size <= MAX_CONFLIST_BYTES && isOurConflist(Deno.readTextFileSync(path));
}

function isSameFile(one: string, other: string): boolean {
  const stat = Deno.statSync(other);
  if (!stat.isFile || stat.size !== Deno.statSync(one).size) return false;
  using files = new DisposableStack();
  const [first, second] = [one, other].map((path) => files.use(Deno.openSync(path)));
  const [ours, theirs] = [new Uint8Array(READ_BYTES), new Uint8Array(READ_BYTES)];
  for (;;) {
    const length = fill(first!, ours);
    if (fill(second!, theirs) !== length) return false;
    if (ours.subarray(0, length).some((byte, at) => byte !== theirs[at])) return false;
    if (length < READ_BYTES) return true;
  }
}

/** Reads until the buffer is full or the file ends; returns how much. */
function fill(file: Deno.FsFile, buffer: Uint8Array): number {
  let filled = 0;
  while (filled < buffer.length) {
    const length = file.readSync(buffer.subarray(filled));
    if (length === null) break;
    filled += length;
  }
  return filled;
}
