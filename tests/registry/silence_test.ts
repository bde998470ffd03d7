import { assertEquals } from "@std/assert";
import { untilSilent } from "../../src/registry/silence.ts";

const { signal } = new AbortController();

/** Answers one age after the other, and counts how often it was asked. */
function ages(...seconds: (number | undefined)[]) {
  let asked = 0;
  return { next: () => Promise.resolve(seconds[Math.min(asked++, seconds.length - 1)]), asked: () => asked };
}

const cases: [
  seconds: (number | undefined)[],
  waits: boolean,
  isSilent: boolean,
  asked: number,
  why: string,
][] = [
  [[30], true, true, 1, "the holder has been silent for long"],
  [[undefined], true, true, 1, "the lease has ended"],
  [[0.001, 0.002, 0.003, 0.03], true, true, 4, "the holder is silent while it is waited for"],
  [[0.02, 0.022, 0], true, false, 3, "the holder shows a sign of life"],
  [[0], true, false, 17, "the holder shows signs of life faster than ages are told"],
  [[0.001], false, false, 1, "the holder may live, and is not waited for"],
];

for (const [seconds, waits, isSilent, asked, why] of cases) {
  Deno.test(`untilSilent() says ${isSilent} when ${why}`, async () => {
    // Ages are told in seconds; the unit is scaled where a look would come much later.
    const scale = seconds.some((value) => value !== undefined && value > 0 && value < 1) ? 1000 : 1;
    const age = ages(...seconds.map((value) => value === undefined ? undefined : value * scale));
    const silentMs = scale === 1000 ? 25_000 : 30_000;
    const pause = (ms: number) => {
      assertEquals(ms > 0 && ms <= 2000, true);
      return Promise.resolve();
    };
    assertEquals(await untilSilent(age.next, { silentMs, waits, pause }, { signal }), isSilent);
    assertEquals(age.asked(), asked);
  });
}
