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

Deno.test("a process with an Uncaught goes on after what would end it", async () => {
  const module = new URL("../../src/agent/uncaught.ts", import.meta.url);
  const script = `
    import { Uncaught } from "${module}";
    const uncaught = new Uncaught(globalThis, { log: { write: (_, event, { reason }) => console.log(event, reason) } });
    Promise.reject(new Error("a promise failed"));
    setTimeout(() => { throw new Error("a timer failed"); });
    const target = new EventTarget();
    target.addEventListener("x", () => { throw new Error("a listener failed"); });
    setTimeout(() => target.dispatchEvent(new Event("x")));
    setTimeout(() => console.log("goes on"), 20);`;
  const { code, stdout } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--no-check", script] })
    .output();
  assertEquals(new TextDecoder().decode(stdout).trim().split("\n"), [
    "fault not caught a promise failed",
    "fault not caught a timer failed",
    "fault not caught a listener failed",
    "goes on",
  ]);
  assertEquals(code, 0);
});
