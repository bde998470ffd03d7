import { assertEquals } from "@std/assert";
import { Fights, fightText } from "../../src/loop/fights.ts";

const LIMITS = { silentTurns: 2, slowing: { freeTurns: 4, windowMs: 60_000, pauseMs: 30_000 } };

/** Fights with a clock of the test's own. */
function world() {
  let nowMs = 0;
  const fights = new Fights<string>(() => nowMs, LIMITS);
  const undo = (thing: string) => {
    fights.look();
    return fights.meet(thing, true, () => `${thing} gone`);
  };
  return { fights, undo, after: (ms: number) => nowMs += ms };
}

Deno.test("Fights tells of what is undone again and again, and slows it when it comes more often", () => {
  const { fights, undo } = world();
  const told = () => fights.standing.map(({ times, everySeconds }) => [times, everySeconds]);
  assertEquals([undo("a"), undo("a"), told()], [false, false, []]);
  assertEquals([undo("a"), undo("a"), told()], [false, false, [[3, undefined]]]);
  assertEquals([undo("a"), told()], [true, [[5, 30]]]);
  assertEquals(fights.standing[0], { thing: "a", about: "a gone", times: 5, everySeconds: 30, isLeft: true });
});

Deno.test("Fights slows each thing by itself", () => {
  const { undo } = world();
  for (let times = 0; times < 5; times++) undo("a");
  assertEquals([undo("a"), undo("b")], [true, false]);
});

Deno.test("Fights has a thing put back twice a minute while it lasts, and at once a minute after it", () => {
  const { fights, undo, after } = world();
  for (let times = 0; times < 5; times++) undo("a");
  let putBack = 0;
  for (let seconds = 0; seconds < 600; seconds++) {
    after(1000);
    if (!undo("a")) putBack++;
  }
  assertEquals(putBack, 600 / 30 - 1);
  after(60_001);
  assertEquals([undo("a"), fights.standing], [false, []]);
});

Deno.test("Fights says when what was left is to be put back", () => {
  const { fights, undo, after } = world();
  assertEquals(fights.waitMs, undefined);
  for (let times = 0; times < 4; times++) undo("a");
  assertEquals(fights.waitMs, 60_000, "told of no more from then on");
  undo("a");
  after(10_000);
  assertEquals(fights.waitMs, 20_000);
  after(20_000);
  assertEquals([fights.waitMs, undo("a")], [30_000, false], "what is there since then is put back");
  assertEquals(undo("a"), true, "and left as soon as it is undone");
});

Deno.test("Fights counts once what a look meets twice", () => {
  const { fights, undo } = world();
  for (let times = 0; times < 4; times++) {
    assertEquals([undo("a"), fights.meet("a", true, () => "")], [false, false]);
  }
  assertEquals([undo("a"), fights.meet("a", true, () => "")], [true, true]);
});

Deno.test("Fights does not count what is met though it was never as wanted", () => {
  const { fights } = world();
  for (let times = 0; times < 50; times++) {
    fights.look();
    assertEquals(fights.meet("a", false, () => "refused"), false);
  }
  assertEquals(fights.standing, []);
});

Deno.test("Fights asks for words only where there is something to tell", () => {
  const { fights } = world();
  let asked = 0;
  for (let times = 0; times < 3; times++) fights.turn("a", () => `${asked++}`);
  assertEquals(asked, 1);
});

Deno.test("Fights keeps a bounded number of things in mind, those that were undone last", () => {
  const { fights, undo } = world();
  for (let times = 0; times < 5; times++) undo("a");
  for (let thing = 0; thing < 20_000; thing++) undo(`row ${thing}`);
  assertEquals([fights.standing, undo("a")], [[], false], "what was quiet for longest is forgotten");
  assertEquals([undo("row 19999"), undo("row 19999"), fights.standing.length], [false, false, 1]);
});

for (
  const [everySeconds, answer] of [[undefined, "at once each time"], [
    30,
    "ever more rarely, every 30 s only in the end",
  ]] as const
) {
  Deno.test(`fightText() names thing, finding, and that repairs are made ${answer}`, () => {
    assertEquals(
      fightText({ thing: "link flannel.1", times: 7, everySeconds }, "enslaved to br0"),
      "another program has changed link flannel.1 7 times within a minute, after each repair (enslaved to br0); " +
        `repairs are made ${answer}; find that program, and end it or have it leave link flannel.1 alone`,
    );
  });
}

Deno.test("fightText() names who it is, as far as that is known, and what is to be ended", () => {
  const text = (opponent: Parameters<typeof fightText>[2]) =>
    fightText({ thing: "link flannel.1", times: 7, everySeconds: undefined }, "down", opponent);
  assertEquals(
    text({ pid: 812, program: "NetworkManager" }),
    "the program NetworkManager (process 812) has changed link flannel.1 7 times within a minute, after each repair (down); " +
      "repairs are made at once each time; end it or have it leave link flannel.1 alone",
  );
  assertEquals(
    text("closed"),
    "a program that ends at once, as one that a script calls, has changed link flannel.1 7 times within a minute, after " +
      "each repair (down); repairs are made at once each time; find what calls it, and end that or have it leave link " +
      "flannel.1 alone",
  );
});
