import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { announced } from "../../src/agent/agent_status.ts";
import type { Log } from "../../src/log/log.ts";
import { Conditions } from "../../src/loop/conditions.ts";
import type { Condition, ConditionCode } from "../../src/model/condition.ts";

const DOWN: Condition = { code: "bridge-down", sentence: "the bridge cni0 is down" };
const CUT_OFF: Condition = { code: "host-cut-off", sentence: "b has no way" };

/** A board with a clock that the test sets, in seconds. */
function board() {
  const said: string[] = [];
  const saidAt: number[] = [];
  const clock = { seconds: 0 };
  const log: Log = {
    write(level, event, fields) {
      said.push([level, event, fields?.code, fields?.reason].join(" ").trim());
      saidAt.push(clock.seconds);
    },
  };
  const conditions = new Conditions({
    log,
    now: () => new Date(clock.seconds * 1000),
    elapsedMs: () => clock.seconds * 1000,
  });
  return { conditions, clock, said, saidAt };
}

Deno.test("Conditions.see() answers with what holds, since when, and how often it has come", () => {
  const { conditions, clock } = board();
  const seen = (...found: Condition[]) => {
    clock.seconds++;
    return conditions.see(found).map(({ code, since, times }) => [code, since.getTime() / 1000, times]);
  };
  assertEquals(seen(DOWN), [["bridge-down", 1, 1]]);
  assertEquals(seen(CUT_OFF, DOWN), [["host-cut-off", 2, 1], ["bridge-down", 1, 1]]);
  assertEquals(seen(), []);
  assertEquals(seen(DOWN, DOWN), [["bridge-down", 4, 2]], "the same twice is one");
});

Deno.test("Conditions.see() counts other words as the same trouble that goes on", () => {
  const { conditions, clock } = board();
  for (const sentence of ["1 pod", "2 pods", "3 pods"]) {
    clock.seconds++;
    const [standing] = conditions.see([{ code: "vanished-pods", sentence }]);
    assertEquals([standing!.since.getTime() / 1000, standing!.times], [clock.seconds, 1]);
  }
});

Deno.test("Conditions logs what is new once, and once that it is over", () => {
  const { conditions, said } = board();
  for (const found of [[], [DOWN], [DOWN], [CUT_OFF, DOWN], [CUT_OFF], [CUT_OFF], [], []]) {
    conditions.see(found);
  }
  assertEquals(said, [
    "warn condition set bridge-down the bridge cni0 is down",
    "warn condition set host-cut-off b has no way",
    "info condition cleared bridge-down",
    "info condition cleared host-cut-off",
  ]);
});

Deno.test("Conditions logs what only is to be known, or belongs to a start, with less weight", () => {
  const { conditions, said } = board();
  conditions.see([{ code: "vanished-pods", sentence: "2 pods" }, {
    code: "pass-missing",
    sentence: "no pass yet",
  }]);
  assertEquals(said, [
    "info condition set vanished-pods 2 pods",
    "info condition set pass-missing no pass yet",
  ]);
});

Deno.test("Conditions logs what comes and goes once a minute, and ends with what is true", () => {
  const { conditions, clock, said } = board();
  for (; clock.seconds < 60; clock.seconds++) conditions.see(clock.seconds % 2 === 0 ? [DOWN] : []);
  assertEquals(said, [
    "warn condition set bridge-down the bridge cni0 is down",
    "info condition cleared bridge-down",
  ]);
  for (; clock.seconds < 180; clock.seconds++) conditions.see([]);
  assertEquals(said.at(-1), "info condition cleared bridge-down");
});

Deno.test("Conditions logs no more than sixty lines of a code a minute, hides no other behind them, and says the rest after that", () => {
  const { conditions, clock, said } = board();
  const many = Array.from(
    { length: 100 },
    (_, n): Condition => ({ code: "changes-failed", sentence: `route ${n}` }),
  );
  conditions.see(many);
  assertEquals(said.length, 60);
  conditions.see([...many, CUT_OFF]);
  assertEquals(said.slice(60), ["warn condition set host-cut-off b has no way"]);
  clock.seconds = 61;
  conditions.see([...many, CUT_OFF]);
  assertEquals(said.length, 101);
});

Deno.test("Conditions: however they come and go, the log ends up true of the last list, and says nothing twice a minute", () => {
  const code = fc.constantFrom<ConditionCode>(
    "bridge-down",
    "host-cut-off",
    "vanished-pods",
    "lease-not-renewed",
  );
  const condition = fc.record({ code, sentence: fc.constantFrom("a", "b", "c") });
  const seed = Number(Deno.env.get("LODEN_SEED") ?? Date.now() % 2 ** 31);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.array(condition, { maxLength: 6 }))),
      (steps) => {
        const { conditions, clock, said, saidAt } = board();
        for (const [seconds, found] of steps) {
          clock.seconds += seconds;
          conditions.see(found);
        }
        const last = steps.at(-1)?.[1] ?? [];
        clock.seconds += 61;
        conditions.see(last);
        clock.seconds += 61;
        const standing = conditions.see(last);
        const told = new Map<string, Set<string>>();
        for (const line of said) {
          const [, set, name, reason] = /condition (set|cleared) (\S+) ?(.*)$/.exec(line)!;
          if (set === "cleared") told.delete(name!);
          else told.set(name!, (told.get(name!) ?? new Set()).add(reason!));
        }
        assertEquals(
          [...told.keys()].sort(),
          [...new Set(standing.map(({ code }) => code as string))].sort(),
          `seed ${seed}: ${said.join(" | ")}`,
        );
        for (const { code, sentence } of standing) {
          assertEquals(
            told.get(code)!.has(sentence),
            true,
            `seed ${seed}`,
          );
        }
        for (const [at, line] of said.entries()) {
          const before = said.lastIndexOf(line, at - 1);
          if (at === 0 || before < 0) continue;
          assertEquals(saidAt[at]! - saidAt[before]! >= 60, true, `seed ${seed}: ${line}`);
        }
      },
    ),
    { seed, numRuns: 300 },
  );
});

Deno.test("Conditions.see() and announced() make others' words fit for pages, files, logs and Events", () => {
  const { conditions, said } = board();
  const sentence = `b says "\u202egpj.exe\u2028${"x".repeat(9000)}\ud800"`;
  const told: Condition[] = [{ code: "host-cut-off", sentence }];
  const [shown] = conditions.see(told);
  assertEquals(shown!.sentence, `${'b says "\\u202egpj.exe '.padEnd(2000, "x")}…`);
  assertEquals(announced(told).reasons, [shown!.sentence]);
  assertEquals(said, [`warn condition set host-cut-off ${shown!.sentence}`]);
  assertEquals(conditions.see(told).length, 1, "the same is no news");
  assertEquals(said.length, 1);
});
