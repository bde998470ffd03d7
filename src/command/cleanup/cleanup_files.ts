import { join } from "node:path";
import { agentLockPath } from "../../pods/agent_lock.ts";
import { agentStatePath } from "../../pods/agent_state.ts";
import { isOurConflist, MAX_CONFLIST_BYTES } from "../../pods/conflist.ts";
import { readUnlessOdd, removeIfThere, statIfThere } from "../../file/read_file.ts";
import { isSameFile } from "../../pods/install_file.ts";
import { installPlaces, pluginIn, USUAL_CONFLIST_NAME } from "../../pods/install_places.ts";
import { readStates } from "../../leftovers/leftover_facts.ts";
import { StateFolder } from "../../pods/state.ts";
import type { Options } from "../../config/options.ts";
import { bootIdentityPath } from "../../host/boot_identity.ts";
import { earlierHistoryPaths, historyPath } from "../../host/history.ts";
import { unmanagedFiles } from "../../host/unmanaged_files.ts";
import { fileReason } from "../../file/file_reason.ts";
import { notedFlagsPath } from "../../agent/noted_flags.ts";
import { doorPath } from "../../status/door_path.ts";
import type { CleanupPlan, CleanupStep } from "./cleanup_step.ts";

/** What says where our files are. */
export interface FilePlaces {
  readonly options: Pick<Options, "subnetFilePath" | "leaseCachePath" | "conflist" | "pluginFolder">;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** This host's root folder. */
  readonly root: string;
  /** The folder of the plugin's state. */
  readonly dataDir: string;
  /** This program's own file, by which the plugin is known; absent where it is no compiled binary. */
  readonly program: string | undefined;
  /** Whether pods are attached, whose state is still needed. */
  readonly hasPods: boolean;
  /** The networks of other agents that run on this host. */
  readonly others: readonly string[];
}

/** The conflist, with which the host stops to take pods, and the plugin; only if they are ours. */
export function planPodFiles({ options, environment, program }: FilePlaces): CleanupPlan {
  const { pluginPath, conflistFolder, conflistName } = installPlaces(environment);
  const conflist = options.conflist?.path ?? join(conflistFolder, conflistName || USUAL_CONFLIST_NAME);
  const plugin = options.pluginFolder === undefined ? pluginPath : pluginIn(options.pluginFolder);
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
    () => program !== undefined && Deno.statSync(plugin).isFile && isSameFile(program, plugin),
    program === undefined
      ? "only the compiled binary knows its own plugin"
      : "it is another program than this one",
  );
  return { steps, kept };
}

/** What the agent has written for others and for itself, and the plugin's state if no pod needs it. */
export function planOwnFiles({ options, root, dataDir, hasPods, others }: FilePlaces): CleanupPlan {
  const { subnetFilePath } = options;
  const steps = fileSteps([["subnet file", subnetFilePath], ...agentFiles({ options })]);
  const parts = [{ steps, kept: [] }, planManagerFiles(root, others), planState(dataDir, hasPods)];
  return { steps: parts.flatMap(({ steps }) => steps), kept: parts.flatMap(({ kept }) => kept) };
}

/** A file, and what it is. */
export type NamedFile = readonly [what: string, path: string | undefined];

/** What an agent has written for itself alone. */
export function agentFiles({ options }: Pick<FilePlaces, "options">): readonly NamedFile[] {
  const { subnetFilePath, leaseCachePath } = options;
  return [
    ["lease cache", leaseCachePath],
    ["agent's state", agentStatePath(subnetFilePath)],
    ["agent's lock", agentLockPath(subnetFilePath)],
    ["agent's socket", doorPath(subnetFilePath)],
    ["agent's flags", notedFlagsPath(subnetFilePath)],
    ["boot identity", bootIdentityPath(subnetFilePath)],
    ["host's history", historyPath(subnetFilePath)],
    ...earlierHistoryPaths(subnetFilePath).map((path): NamedFile => ["host's history", path]),
  ];
}

/** What agents of this host share: the files for network managers, which the last one takes with it. */
export function planManagerFiles(root: string, others: readonly string[]): CleanupPlan {
  const files = unmanagedFiles(root).map((path): NamedFile => ["network manager's file", path]);
  if (others.length === 0) return { steps: fileSteps(files), kept: [] };
  const whose = `the agent of network ${others.join(" and of ")} on this host needs it`;
  return { steps: [], kept: files.map(([what, path]) => `${what} ${path}: ${whose}`) };
}

/** The steps that remove those of the files that are there. */
export function fileSteps(files: readonly NamedFile[]): CleanupStep[] {
  return files.flatMap(([what, path]): CleanupStep[] => {
    if (path === undefined) return [];
    try {
      return statIfThere(path) === undefined ? [] : [fileStep(what, path)];
    } catch (error) {
      return [failing(what, path, error)];
    }
  });
}

/** Of the state's folder only what is state is removed: the folder that was named may be a wrong one. */
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
  return step(what, path, () => removeIfThere(path));
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
  const text = readUnlessOdd(path, MAX_CONFLIST_BYTES);
  return text !== undefined && isOurConflist(text);
}
