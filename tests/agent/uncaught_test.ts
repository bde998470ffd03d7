import { assertEquals } from "@std/assert";
import { Uncaught } from "../../src/agent/uncaught.ts";
import { RecordedLog } from "../double/recorded_log.ts";

/** The event of an error that nobody caught; whether it was kept from ending the process. */
function happen(target: EventTarget, name: string, what: Record<string, unknown>): boolean {
  const event = Object.assign(new Event(name, { cancelable: true }), what);
  target.dispatchEvent(event);
  return event.defaultPrevented;
}

Deno.test("Uncaught keeps the process alive, and says for good what was not caught first", () => {
  const target = new EventTarget();
  const log = new RecordedLog();
  {
    using uncaught = new Uncaught(target, { log, elapsedMs: () => 0 });
    assertEquals(uncaught.conditions, []);
    assertEquals(happen(target, "unhandledrejection", { reason: new Error("a promise failed") }), true);
    assertEquals(happen(target, "error", { error: new Error("a timer failed") }), true);
    for (let at = 0; at < 1000; at++) happen(target, "error", { error: "a timer failed" });
    assertEquals(uncaught.conditions, [{
      code: "fault-uncaught",
      sentence:
        "a part of the agent failed where no other expected it: a promise failed; the agent goes on, " +
        "maybe without that part",
    }]);
  }
  assertEquals(log.lines, [
    'error fault not caught {"reason":"a promise failed"}',
    'error fault not caught {"reason":"a timer failed"}',
  ]);
  assertEquals(happen(target, "error", { error: new Error("after the end") }), false);
});
