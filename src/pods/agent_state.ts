import { besideSubnetFile } from "../config/beside_subnet_file.ts";
import { readIfThere } from "../file/read_file.ts";
import { replaceFile } from "../file/replace_file.ts";

/**
 * Why pods can or can't be started, as the agent says beside the subnet file: the plugin repeats it in its error, where
 * an operator looks first.
 */
export interface AgentState {
  /** Why pods can't be started, the cause first; empty if they can. The code is absent where an earlier version wrote it. */
  readonly reasons: readonly { readonly code?: string; readonly sentence: string }[];
  /** When the reasons last changed. */
  readonly at: Date;
}

/** What names a kind of reason. */
const CODE = /^[a-z]+(?:-[a-z]+)*$/;
/** The runtime's plugin reads it, as root. */
const FILE_MODE = 0o600;
const MAX_BYTES = 64 * 1024;

/** Where the agent says it: beside the subnet file. */
export function agentStatePath(subnetFilePath: string): string {
  return besideSubnetFile(subnetFilePath, "agent.json");
}

/**
 * Writes what the agent says, whole or not at all.
 *
 * @throws What the file system says.
 */
export function writeAgentState(path: string, { reasons, at }: AgentState): void {
  const content = {
    reasons: reasons.map(({ sentence }) => sentence),
    codes: reasons.map(({ code }) => code ?? ""),
    at: at.toISOString(),
  };
  replaceFile(path, [`${JSON.stringify(content)}\n`], FILE_MODE);
}

/** Reads what the agent said last; absent if it never did, or it can't be read. */
export function readAgentState(path: string): AgentState | undefined {
  try {
    const { reasons, codes, at } = JSON.parse(readIfThere(path, MAX_BYTES) ?? "");
    const date = new Date(at);
    if (!Array.isArray(reasons) || Number.isNaN(date.getTime())) return undefined;
    const codeOf = (index: number) => {
      const code: unknown = Array.isArray(codes) ? codes[index] : undefined;
      return typeof code === "string" && CODE.test(code) ? { code } : {};
    };
    return {
      reasons: reasons.map((sentence, index) => ({ ...codeOf(index), sentence: String(sentence) })),
      at: date,
    };
  } catch {
    return undefined;
  }
}
