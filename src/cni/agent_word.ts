import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { readUpTo } from "./file.ts";
import { replaceFile } from "./replace_file.ts";

/**
 * What the agent says of itself to whoever finds no subnet file: the plugin repeats it in its error, where a person
 * looks first.
 */
export interface AgentWord {
  /** Why pods can't be started, the cause first; empty if they can. */
  readonly reasons: readonly string[];
  /** When the reasons last changed. */
  readonly at: Date;
}

const FILE_MODE = 0o644;
const MAX_BYTES = 64 * 1024;

/** Where the agent says it: beside the subnet file. */
export function agentWordPath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "agent.json");
}

/**
 * Writes what the agent says, whole or not at all.
 *
 * @throws What the file system says.
 */
export function writeAgentWord(path: string, { reasons, at }: AgentWord): void {
  replaceFile(path, [`${JSON.stringify({ reasons, at: at.toISOString() })}\n`], FILE_MODE);
}

/** Reads what the agent said last; absent if it never did, or it can't be read. */
export function readAgentWord(path: string): AgentWord | undefined {
  try {
    const { reasons, at } = JSON.parse(readUpTo(path, MAX_BYTES) ?? "");
    const date = new Date(at);
    if (!Array.isArray(reasons) || Number.isNaN(date.getTime())) return undefined;
    return { reasons: reasons.map(String), at: date };
  } catch {
    return undefined;
  }
}
