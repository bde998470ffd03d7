import { dirname } from "node:path";
import { makePrivate } from "../file/exclusive_file.ts";
import { makeFolder } from "../file/make_folder.ts";
import { statIfThere } from "../file/read_file.ts";
import { besideSubnetFile } from "../config/beside_subnet_file.ts";

/** Where an agent shows that it runs: beside the subnet file, which pods of a DaemonSet share with their host. */
export function agentLockPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "agent.lock");
}

/** The lock as an agent holds it. */
export interface AgentLock extends Disposable {
  /** Whether others who ask still find it: its file may have been removed, or replaced. */
  readonly isInPlace: boolean;
}

/**
 * Shows that an agent runs on this host, until it is disposed of or the process ends however it ends: a lock of
 * flock(2), not the file, says so.
 *
 * @returns `undefined` if another process shows it already.
 * @throws What the file system says.
 */
export function holdAgentLock(subnetFilePath: string): AgentLock | undefined {
  const path = agentLockPath(subnetFilePath);
  makeFolder(dirname(path));
  // Who may read it may lock it, and so keep every agent from its start.
  makePrivate(path);
  const file = Deno.openSync(path, { read: true, write: true });
  if (!file.tryLockSync(true)) {
    file.close();
    return undefined;
  }
  const { dev, ino } = file.statSync();
  return {
    get isInPlace() {
      const there = statIfThere(path);
      return there?.ino === ino && there.dev === dev;
    },
    [Symbol.dispose]: () => file.close(),
  };
}

/** Reports whether an agent shows that it runs on this host; what can't be read does not say so. */
export function isAgentLockHeld(subnetFilePath: string): boolean {
  try {
    // For both, as a FIFO in its place is then not waited for.
    using file = Deno.openSync(agentLockPath(subnetFilePath), { read: true, write: true });
    return !file.tryLockSync(true);
  } catch {
    return false;
  }
}
