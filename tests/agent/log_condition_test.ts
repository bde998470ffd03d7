import { assertEquals } from "@std/assert";
import { logConditions } from "../../src/agent/log_condition.ts";

Deno.test("logConditions() says where lines are lost, and why, while they are", () => {
  const loss = { fault: "nobody reads it", lostLines: 3 };
  assertEquals(logConditions(loss, {}), [
    { code: "log-lost", sentence: "lines of the log to standard error are lost: nobody reads it" },
  ]);
  assertEquals(logConditions({ fault: "No space left on device", lostLines: 3 }, { logFilePath: "/l" }), [
    { code: "log-lost", sentence: "lines of the log to the log file /l are lost: No space left on device" },
  ]);
  assertEquals(logConditions({ fault: undefined, lostLines: 3 }, {}), []);
  assertEquals(logConditions(undefined, {}), []);
});
