import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { QuietLines } from "../loop/quiet_lines.ts";
import type { Condition } from "../model/condition.ts";

/** What an error that nobody caught comes as; as in {@linkcode ErrorEvent} and {@linkcode PromiseRejectionEvent}. */
const EVENTS = ["error", "unhandledrejection"] as const;

/**
 * The last guard: an error that no part of the agent caught would end the process, and with it the repair of all that has
 * nothing to do with it. It is told, for good, as it is not known what has ended by it.
 */
export class Uncaught implements Disposable {
  readonly #target: EventTarget;
  readonly #log: Log;
  readonly #lines: QuietLines;
  #reason: string | undefined;

  /** @param deps.elapsedMs A clock that nobody sets. */
  constructor(target: EventTarget, deps: { readonly log: Log; readonly elapsedMs?: () => number }) {
    this.#target = target;
    this.#log = deps.log;
    this.#lines = new QuietLines(deps.elapsedMs ?? (() => performance.now()));
    for (const name of EVENTS) target.addEventListener(name, this.#hear);
  }

  /** That there was one. */
  get conditions(): readonly Condition[] {
    if (this.#reason === undefined) return [];
    const sentence =
      `a part of the agent failed where no other expected it: ${this.#reason}; the agent goes on, maybe without that part`;
    return [{ code: "fault-uncaught", sentence }];
  }

  readonly #hear = (event: Event) => {
    event.preventDefault();
    const { error, reason } = event as Partial<ErrorEvent & PromiseRejectionEvent>;
    const text = errorText(error ?? reason);
    // What comes again and again must not be a new condition each time.
    this.#reason ??= text;
    if (this.#lines.isDue(text)) this.#log.write("error", "fault not caught", { reason: text });
  };

  [Symbol.dispose](): void {
    for (const name of EVENTS) this.#target.removeEventListener(name, this.#hear);
  }
}
