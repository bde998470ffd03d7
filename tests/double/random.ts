/** The seed of this run's random tests: `LODEN_SEED`, or one of the clock's. A failing test prints it. */
export const SEED = Number(Deno.env.get("LODEN_SEED") ?? Date.now() % 2 ** 31);

/** Numbers from 0 up to 1, always the same for one seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

/** One of `choices`. */
export function pick<T>(random: () => number, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)]!;
}
