import { assertEquals } from "@std/assert";
import { CountedLog } from "../../src/log/counted_log.ts";
import { RecordedLog } from "../double/recorded_log.ts";

Deno.test("CountedLog passes events on, and counts them by level and by event", () => {
  const lines = new RecordedLog();
  const log = new CountedLog(lines);
  log.write("info", "link changed", { action: "create link flannel.1" });
  log.write("info", "link changed");
  log.write("warn", "own lease was gone");
  assertEquals(log.levels, { debug: 0, info: 2, warn: 1, error: 0 });
  assertEquals([log.times("link changed"), log.times("own lease was gone"), log.times("none")], [2, 1, 0]);
  assertEquals(lines.lines.length, 3);
});
