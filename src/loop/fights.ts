import { Damper, type DamperLimits, FIGHT } from "./damper.ts";

/** From when on a fight is told of, and slowed. */
export interface FightLimits {
  /** Times within the window that one thing may have to be put back without a word. */
  readonly silentTurns: number;
  /** What slows it. */
  readonly slowing: DamperLimits;
}

const LIMITS: FightLimits = { silentTurns: 6, slowing: FIGHT };
/** For what pods are cut off without: it is never left undone for long. */
export const VITAL: FightLimits = { silentTurns: 6, slowing: { ...FIGHT, pauseMs: 1000 } };
/** Things that are kept in mind: of more than these the ones that have been quiet for longest are forgotten. */
const MOST_THINGS = 128;

/** Something that another program changes each time that it was put back. */
export interface Fight<About> {
  readonly thing: string;
  /** What was told of it when it was met last. */
  readonly about: About;
  /** How often it had to be put back within a minute, at least. */
  readonly times: number;
  /** How often it is put back in the end; `undefined` while that is at once. */
  readonly everySeconds: number | undefined;
  /** Whether the last look has left it as the other program makes it. */
  readonly isLeft: boolean;
}

interface Thing<About> {
  readonly telling: Damper;
  readonly slowing: Damper;
  /** Once there is something to tell. */
  readonly about: About | undefined;
}

/**
 * Fights over many things, each by its name: what another program changes each time that this host has put it back. Each
 * is slowed by itself.
 */
export class Fights<About> {
  readonly #elapsedMs: () => number;
  readonly #limits: FightLimits;
  /** Those that were undone last are at the end. */
  readonly #things = new Map<string, Thing<About>>();
  /** What was left as it is by the look before this one, and by this one. */
  #left: ReadonlySet<string> = new Set();
  #leaving = new Set<string>();
  /** Whether what was met in this look is left. */
  readonly #met = new Map<string, boolean>();

  /** @param elapsedMs A clock that nobody sets. */
  constructor(elapsedMs: () => number, limits: FightLimits = LIMITS) {
    this.#elapsedMs = elapsedMs;
    this.#limits = limits;
  }

  /** Takes note that another program has undone something that this host had put there. */
  turn(thing: string, about: () => About): void {
    const { telling, slowing } = this.#things.get(thing) ?? this.#dampers();
    telling.turn();
    slowing.turn();
    this.#things.delete(thing);
    this.#things.set(thing, { telling, slowing, about: telling.isFight ? about() : undefined });
    if (this.#things.size > MOST_THINGS) this.#things.delete(this.#things.keys().next().value!);
  }

  /** Whether something is left as another program has made it for now. */
  isSlowed(thing: string): boolean {
    return (this.#things.get(thing)?.slowing.waitMs ?? 0) > 0;
  }

  /** Begins a look at all that there is. */
  look(): void {
    this.#left = this.#leaving;
    this.#leaving = new Set();
    this.#met.clear();
  }

  /**
   * Takes note that a look finds something that is not as wanted; what it finds twice counts once.
   *
   * @param isUndone Whether the look before has left it as wanted: then another program has changed it.
   * @param about Asked for what is to be told of it once that is of interest.
   * @returns Whether it is to be left so for now.
   */
  meet(thing: string, isUndone: boolean, about: () => About): boolean {
    const known = this.#met.get(thing);
    if (known !== undefined) return known;
    // What was left is there still.
    if (isUndone && !this.#left.has(thing)) this.turn(thing, about);
    const isLeft = this.isSlowed(thing);
    this.#met.set(thing, isLeft);
    if (isLeft) this.#leaving.add(thing);
    return isLeft;
  }

  #dampers(): Pick<Thing<About>, "telling" | "slowing"> {
    const { silentTurns, slowing } = this.#limits;
    return {
      telling: new Damper({ ...slowing, freeTurns: silentTurns }, this.#elapsedMs),
      slowing: new Damper(slowing, this.#elapsedMs),
    };
  }

  /**
   * Milliseconds until a look is due: something that is left is to be put back, or a fight is over and is told of no
   * more. `undefined` where neither is to come.
   */
  get waitMs(): number | undefined {
    const waits = [...this.#things.values()]
      .map(({ slowing, telling }) => slowing.waitMs || telling.overInMs).filter((ms) => ms > 0);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /** The fights of this moment: each is over once a minute has gone by without it. */
  get standing(): readonly Fight<About>[] {
    const { silentTurns, slowing: { freeTurns, pauseMs } } = this.#limits;
    return [...this.#things].flatMap(([thing, { telling, slowing: { isFight }, about }]) =>
      !telling.isFight || about === undefined ? [] : {
        thing,
        about,
        times: (isFight ? freeTurns : silentTurns) + 1,
        everySeconds: isFight ? pauseMs / 1000 : undefined,
        isLeft: this.#leaving.has(thing),
      }
    );
  }
}

/** Who changes what is fought over: a program, one that had closed its socket when it was looked for; absent if unknown. */
export type Opponent = { readonly pid: number; readonly program: string } | "closed" | undefined;

/** Says what a fight is about, by whom as far as that is known, and what is done about it. */
export function fightText(
  { thing, times, everySeconds }: Pick<Fight<unknown>, "thing" | "times" | "everySeconds">,
  found: string,
  opponent?: Opponent,
): string {
  const answer = everySeconds === undefined
    ? "at once each time"
    : everySeconds === 1
    ? "every 1 s only from now on"
    : `ever more rarely, every ${everySeconds} s only in the end`;
  const [who, what] = opponent === undefined
    ? ["another program", "find that program, and end it"]
    : opponent === "closed"
    ? ["a program that ends at once, as one that a script calls,", "find what calls it, and end that"]
    : [`the program ${opponent.program} (process ${opponent.pid})`, "end it"];
  return `${who} has changed ${thing} ${times} times within a minute, after each repair (${found}); repairs are ` +
    `made ${answer}; ${what} or have it leave ${thing} alone`;
}
