import { assert, assertEquals } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { SystemFacts } from "../../src/linux/system_facts.ts";

Deno.test("SystemFacts finds processes by name, here and elsewhere", () => {
  using libc = new Libc();
  using system = new SystemFacts(libc);
  const own = libc.readSysctl("/proc/self/comm");
  const found = system.processes(new Set([own]));
  assert(found.some(({ pid, isHere }) => pid === Deno.pid && isHere === true));
  assertEquals(system.processes(new Set(["no such program"])), []);
});

Deno.test("SystemFacts tells the room of a file system, and nothing of a path that is not there", async () => {
  using libc = new Libc();
  using system = new SystemFacts(libc);
  const room = await system.roomAt("/tmp");
  assert(room !== undefined && room.freeBytes > 0 && !room.isReadOnly);
  assertEquals(await system.roomAt("/no/such/folder"), undefined);
});

Deno.test("SystemFacts asks whether the clock is synchronized, and sets nothing", () => {
  using libc = new Libc();
  using system = new SystemFacts(libc);
  assert([true, false].includes(system.isClockSynchronized!));
});
