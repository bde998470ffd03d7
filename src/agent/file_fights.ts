import { Fights, fightText, VITAL } from "../loop/fights.ts";
import type { Condition } from "../model/condition.ts";

/** Writes files that must stay as they are, and slows down where another program writes one each time after that. */
export class FileFights {
  readonly #fights: Fights<string>;
  /** What each file was written, or found, to be. */
  readonly #texts = new Map<string, string>();

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number) {
    this.#fights = new Fights(elapsedMs, VITAL);
  }

  /** Files that another program changes each time. */
  get conditions(): readonly Condition[] {
    return this.#fights.standing.map((fight) => ({
      code: "state-fought",
      sentence: fightText(fight, fight.about),
    }));
  }

  /** Milliseconds until a file that was left is to be written; `undefined` if none is. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /**
   * Has a file be as it must be, unless it is fought for and its time has not come.
   *
   * @param write Writes it if it is other; answers whether it was.
   * @returns Whether it was written.
   * @throws What `write` throws.
   */
  keep(path: string, text: string, write: () => boolean): boolean {
    const isKnown = this.#texts.get(path) === text;
    if (isKnown && this.#fights.isSlowed(path)) return false;
    const isWritten = write();
    if (isKnown && isWritten) this.#fights.turn(path, () => "it had another text, or was gone");
    this.#texts.set(path, text);
    return isWritten;
  }
}
