import { type AgentWord, agentWordPath, writeAgentWord } from "../cni/agent_word.ts";
import type { Log } from "../log/log.ts";
import { errorText } from "./keep_running.ts";

/** How often it is looked whether there is something new to say. */
const LOOK_MS = 1000;

/** Keeps what the agent says of itself beside the subnet file, for the CNI plugin to repeat. */
export class AgentWordKeeper {
  readonly #path: string;
  readonly #deps: { readonly log: Log; readonly now: () => Date };
  #said: string | undefined;

  constructor(subnetFilePath: string, deps: { readonly log: Log; readonly now: () => Date }) {
    this.#path = agentWordPath(subnetFilePath);
    this.#deps = deps;
  }

  /** Says why pods can't be started, or with no reasons that they can; writes only what is new. */
  keep(reasons: AgentWord["reasons"]): void {
    const said = JSON.stringify(reasons);
    if (said === this.#said) return;
    this.#said = said;
    try {
      writeAgentWord(this.#path, { reasons, at: this.#deps.now() });
    } catch (error) {
      // Only a person's comfort: pods start without it.
      this.#deps.log.write("warn", "agent's state not written", {
        path: this.#path,
        reason: errorText(error),
      });
    }
  }

  /** Says what `reasons` returns, now and from then on, until it is disposed. */
  follow(reasons: () => AgentWord["reasons"]): Disposable {
    this.keep(reasons());
    const timer = setInterval(() => this.keep(reasons()), LOOK_MS);
    return { [Symbol.dispose]: () => clearInterval(timer) };
  }
}
