import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { escaped, escapedIn } from "../../src/log/printable.ts";
import { jsonLog, type Log, type LogDeps, type LogLevel, readableLog } from "../../src/log/log.ts";

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

function written(make: (deps: LogDeps) => Log, level: LogLevel, say: (log: Log) => void): string[] {
  const lines: string[] = [];
  const now = () => new Date("2025-11-23T05:48:09.123Z");
  say(make({ now, writeLine: (line) => lines.push(line), level }));
  return lines;
}

Deno.test("jsonLog() writes time, level, event and fields, in this order, in one line", () => {
  const lines = written(jsonLog, "info", (log) => {
    log.write("info", "route added", { prefix: "10.244.3.0/24", linkIndex: 5 });
  });
  assertEquals(lines, [
    '{"time":"2025-11-23T05:48:09.123Z","level":"info","event":"route added",' +
    '"prefix":"10.244.3.0/24","linkIndex":5}',
  ]);
});

Deno.test("readableLog() writes time of day, level, event and fields for a person", () => {
  const lines = written(readableLog, "debug", (log) => {
    log.write("warn", "lease not renewed", { expiresInSeconds: 540, reason: "timeout", families: [2, 10] });
    log.write("error", "stopped");
  });
  assertEquals(lines, [
    "05:48:09 warn  lease not renewed expiresInSeconds=540 reason=timeout families=[2,10]",
    "05:48:09 error stopped",
  ]);
});

for (const [name, make] of [["jsonLog", jsonLog], ["readableLog", readableLog]] as const) {
  for (const [rank, level] of LEVELS.entries()) {
    Deno.test(`${name}() at ${level} drops what is below it, and nothing else`, () => {
      const lines = written(make, level, (log) => LEVELS.forEach((level) => log.write(level, "said")));
      assertEquals(lines.length, LEVELS.length - rank);
    });
  }
}

Deno.test("jsonLog() writes one line of JSON that reads back, with what is not seen as its number", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), fc.json(), (text, json) => {
    const value = JSON.parse(json);
    const [line, ...more] = written(jsonLog, "info", (log) => log.write("info", "said", { text, value }));
    assertEquals([line!.includes("\n"), more], [false, []]);
    assertEquals(JSON.stringify(JSON.parse(line!).value), JSON.stringify(escapedIn(value)));
    assertEquals(JSON.parse(line!).text, escaped(text));
  }));
});

Deno.test("jsonLog() lets no field take the place of time, level or event, and writes an IPv6 address as text", () => {
  const lines: string[] = [];
  const log = jsonLog({ now: () => new Date(0), writeLine: (line) => lines.push(line), level: "info" });
  log.write("info", "link changed", { event: "forged", level: "error", address: 1n });
  assertEquals(lines, [
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","event":"link changed","address":"1"}',
  ]);
});

Deno.test("readableLog() quotes text that could pass for another line", () => {
  const lines: string[] = [];
  const log = readableLog({ now: () => new Date(0), writeLine: (line) => lines.push(line), level: "info" });
  log.write("warn", "peer left out", { host: "a\n00:00:00 info  all is well" });
  assertEquals(lines, ['00:00:00 warn  peer left out host="a\\n00:00:00 info  all is well"']);
});
