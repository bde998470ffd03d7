import { assertEquals } from "@std/assert";
import { FileFights } from "../../src/agent/file_fights.ts";

/** A file that another program changes each time; the clock stands still unless a test sets it. */
function world() {
  const clock = { ms: 0 };
  const fights = new FileFights(() => clock.ms);
  let disk: string | undefined;
  let writes = 0;
  const keep = (text: string, path = "/run/subnet.env") =>
    fights.keep(path, text, () => {
      if (disk === text) return false;
      disk = text;
      writes++;
      return true;
    });
  return { clock, fights, keep, spoil: () => void (disk = undefined), writes: () => writes };
}

Deno.test("FileFights writes what another program changes at once, 20 times a minute, and once a second after that", () => {
  const { clock, fights, keep, spoil, writes } = world();
  for (let n = 0; n < 100; n++) {
    keep("a");
    spoil();
  }
  assertEquals(writes(), 22, "the first, 20 at once, and one more that makes it a fight");
  assertEquals(fights.waitMs, 1000);
  clock.ms = 1000;
  assertEquals([keep("a"), keep("a")], [true, false]);
  assertEquals(fights.conditions.map(({ code }) => code), ["state-fought"]);
  clock.ms = 62_000;
  assertEquals([fights.conditions, fights.waitMs], [[], undefined]);
});

Deno.test("FileFights writes another text at once, and slows each file by itself", () => {
  const { keep, spoil, writes } = world();
  for (let n = 0; n < 100; n++) {
    keep("a");
    spoil();
  }
  assertEquals(keep("b"), true);
  assertEquals(writes(), 23);
  spoil();
  assertEquals(keep("a", "/etc/cni/net.d/10-flannel.conflist"), true);
});

Deno.test("FileFights takes a file that is other now and then for no fight", () => {
  const { clock, fights, keep, spoil, writes } = world();
  for (let n = 0; n < 50; n++) {
    clock.ms += 20_000;
    keep("a");
    spoil();
  }
  assertEquals([writes(), fights.conditions], [50, []]);
});
