import { isFile } from "../file/read_file.ts";
import { agentStatePath, writeAgentState } from "../pods/agent_state.ts";
import type { Condition } from "../model/condition.ts";
import { KeptFile } from "./kept_file.ts";

/** Keeps what the agent says of itself beside the subnet file, for the CNI plugin to repeat. */
export class AgentStateFile {
  readonly #path: string;
  readonly #now: () => Date;
  readonly #file: KeptFile;
  #said: string | undefined;

  constructor(subnetFilePath: string, deps: { readonly now: () => Date }) {
    this.#path = agentStatePath(subnetFilePath);
    this.#now = deps.now;
    this.#file = new KeptFile(`what the plugin is to be told, ${this.#path},`);
  }

  /** That it can't be said, if so. */
  get conditions(): readonly Condition[] {
    return this.#file.conditions;
  }

  /** Says why pods can't be started, or with no conditions that they can; writes only what is new, or gone. */
  keep(conditions: readonly Condition[]): void {
    const reasons = conditions.map(({ code, sentence }) => ({ code, sentence }));
    const said = JSON.stringify(reasons);
    if (said === this.#said && isFile(this.#path)) return;
    const isWritten = this.#file.write(() => writeAgentState(this.#path, { reasons, at: this.#now() }));
    this.#said = isWritten ? said : undefined;
  }
}
