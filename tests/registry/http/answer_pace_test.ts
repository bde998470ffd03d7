import { assertEquals, assertMatch } from "@std/assert";
import { AnswerPace } from "../../../src/registry/http/answer_pace.ts";
import { LinkedAbort } from "../../../src/loop/linked_abort.ts";
import { pause } from "../../../src/loop/pause.ts";

const LIMITS = { silenceMs: 1500, graceMs: 500, bytesPerS: 1000 };

/** Has so many bytes come each twentieth of a second; answers with why that was ended, if it was. */
async function reasonOf(pieces: readonly number[]): Promise<string | undefined> {
  using abort = new LinkedAbort(new AbortController().signal);
  const pace = new AnswerPace(abort, LIMITS);
  pace.begin();
  for (const bytes of pieces) {
    await pause(50, abort);
    if (abort.signal.aborted) break;
    if (bytes > 0) pace.arrived(bytes);
  }
  const { aborted, reason } = abort.signal;
  return aborted && reason === pace ? pace.reason : undefined;
}

const answers: [pieces: readonly number[], reason: RegExp | undefined, why: string][] = [
  [Array(60).fill(0), /^does not answer within 1\.5 s$/, "nothing comes"],
  [
    [5000, ...Array(60).fill(0)],
    /^fell silent for 1\.5 s in the middle of its answer$/,
    "it stops",
  ],
  [Array(60).fill(1), /^answers too slowly: \d+ bytes in \d s$/, "it comes byte by byte"],
  [Array(60).fill(500), undefined, "it is large and the line is slow, and it comes all the same"],
  [[1_000_000, ...Array(60).fill(1)], undefined, "what has come has bought it time"],
];

for (const [pieces, reason, why] of answers) {
  Deno.test(`AnswerPace ${reason === undefined ? "waits for" : "ends"} an answer where ${why}`, async () => {
    const told = await reasonOf(pieces);
    if (reason === undefined) assertEquals(told, undefined);
    else assertMatch(told ?? "it was not ended", reason);
  });
}

Deno.test("AnswerPace lets the next answer take its time once more, and waits for it without end", async () => {
  using abort = new LinkedAbort(new AbortController().signal);
  const pace = new AnswerPace(abort, { ...LIMITS, graceMs: 1000, silenceMs: 700 });
  for (let answer = 0; answer < 4; answer++) {
    for (let at = 0; at < 5; at++) {
      pace.arrived(1);
      await pause(50);
    }
    pace.rest();
    if (answer === 0) await pause(1000);
  }
  assertEquals(abort.signal.aborted, false);
});
