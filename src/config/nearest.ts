/** How many letters must be added, removed, changed or swapped with the next to turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = isSwap ? before[j - 2]! + 1 : Infinity;
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, change, swap));
    }
    before = row;
    row = next;
  }
  return row.at(-1)!;
}

/** Longer words are nobody's typo, and comparing them would cost time. */
const LONGEST_WORD = 64;

/**
 * The member of `known` that `word` is most likely a slip of; absent where none is near.
 *
 * Near is: a third of the letters or fewer differ, or a word of four letters or more is the end of a known one
 * (`blackhole-route`, `ip-blackhole-route`).
 */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > LONGEST_WORD) return undefined;
  const folded = word.toLowerCase();
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(folded, name.toLowerCase());
    if (distance > Math.max(word.length, name.length) / 3) continue;
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  return best?.name ??
    (folded.length < 4 ? undefined : known.find((name) => name.toLowerCase().endsWith(`-${folded}`)));
}
