import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { costOf, ownProcess } from "../../src/linux/own_process.ts";
import { Libc } from "../../src/linux/libc.ts";

// cat /proc/self/stat and status of a program named "a) b", cut.
const STAT = "7 (a) b) S 1 7 7 0 -1 4194560 5000 0 0 0 250 50 0 0 20 0 9 0 1200 900000000 5000 1844 1 1";
const STATUS = "Name:\ta) b\nVmRSS:\t   70000 kB\nRssAnon:\t   20000 kB\n";

Deno.test("costOf() reads what a process costs, whatever its program is called", () => {
  const cost = costOf({ stat: STAT, status: STATUS, openDescriptors: 12, mostDescriptors: 1024 });
  assertEquals({ ...cost, startedAtSeconds: 0 }, {
    cpuSeconds: 3,
    residentBytes: 70_000 * 1024,
    anonymousBytes: 20_000 * 1024,
    virtualBytes: 900_000_000,
    openDescriptors: 12,
    mostDescriptors: 1024,
    threads: 9,
    startedAtSeconds: 0,
  });
});

Deno.test("ownProcess() agrees with what Deno says of this process, and counts a descriptor that is opened", async () => {
  using libc = new Libc();
  const before = ownProcess(libc)!;
  {
    using _file = await Deno.open(new URL(import.meta.url));
    assertEquals(ownProcess(libc)!.openDescriptors, before.openDescriptors + 1);
  }
  assertLess(Math.abs(before.residentBytes / Deno.memoryUsage().rss - 1), 0.2);
  assertGreater(before.cpuSeconds, 0);
  assertLess(before.anonymousBytes, before.residentBytes);
  assertLess(Math.abs(before.startedAtSeconds - Date.now() / 1000), 3600);
});
