/** Where lines are said. */
export interface Output {
  /** Writes one line. */
  readonly write: (line: string) => void;
  /** Whether a line that was written can be written over. */
  readonly isTerminal: boolean;
}

/** To the start of the line above, and everything from there on away: console_codes(4). */
const TAKE_BACK = "\x1b[1F\x1b[J";

/** Says what is being done: line by line, or on a terminal in one line that changes. */
export class Progress {
  readonly #output: Output;
  #last: string | undefined;

  constructor(output: Output) {
    this.#output = output;
  }

  /** Says what is being done now. */
  step(text: string): void {
    if (text === this.#last) return;
    this.#write(text);
    this.#last = text;
  }

  /** Says something that stays. */
  line(text: string): void {
    this.#write(text);
    this.#last = undefined;
  }

  #write(text: string): void {
    const isOver = this.#output.isTerminal && this.#last !== undefined;
    this.#output.write(`${isOver ? TAKE_BACK : ""}${text}`);
  }
}
