import { assertEquals } from "@std/assert";
import { KeptAnswers } from "../../src/status/kept_answers.ts";

const BYTES = new Uint8Array([1]);

function rig(
  pace = { burst: 2, perSecond: 10, keptMs: 250 },
): { kept: KeptAnswers; at: (ms: number) => void } {
  let nowMs = 0;
  return { kept: new KeptAnswers(() => nowMs, pace), at: (ms) => nowMs = ms };
}

Deno.test("KeptAnswers has each answer made while few are asked for", () => {
  const { kept, at } = rig();
  for (let ms = 0; ms < 2000; ms += 200) {
    at(ms);
    assertEquals([kept.waitMs, kept.again("GET /")], [0, undefined]);
    kept.made();
    kept.keep("GET /", BYTES);
  }
});

Deno.test("KeptAnswers tells an answer again while no other may be made, and only for a moment", () => {
  const { kept, at } = rig({ burst: 1, perSecond: 1, keptMs: 250 });
  kept.made();
  kept.keep("GET /", BYTES);
  assertEquals([kept.again("GET /"), kept.again("GET /other"), kept.waitMs], [BYTES, undefined, 1000]);
  at(250);
  assertEquals(kept.again("GET /"), BYTES);
  at(251);
  assertEquals(kept.again("GET /"), undefined);
  at(1000);
  assertEquals(kept.waitMs, 0);
});

Deno.test("KeptAnswers keeps few answers, none that is long, and none to a long question", () => {
  const { kept } = rig({ burst: 0, perSecond: 1, keptMs: 250 });
  for (let at = 0; at < 9; at++) kept.keep(`GET /${at}`, BYTES);
  kept.keep("GET /long", new Uint8Array(1 << 20));
  kept.keep(`GET /${"a".repeat(1000)}`, BYTES);
  const questions = ["GET /0", "GET /1", "GET /8", "GET /long", `GET /${"a".repeat(1000)}`];
  assertEquals(questions.map((one) => kept.again(one) !== undefined), [false, true, true, false, false]);
});
