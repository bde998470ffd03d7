import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import fc from "fast-check";
import { LineQueue } from "../../src/log/line_queue.ts";

/** A descriptor that can be told to misbehave, as a pipe or a disk does. */
class Reader {
  text = "";
  isStuck = false;
  /** What each write fails with. */
  error: Error | undefined;
  /** Bytes that are taken at once. */
  atOnce = Infinity;
  /** Bytes that are taken before `error` comes. */
  room = Infinity;
  #goOn = Promise.withResolvers<void>();

  readonly write = async (bytes: Uint8Array): Promise<number> => {
    if (this.isStuck) await this.#goOn.promise;
    if (this.error !== undefined && this.room <= 0) throw this.error;
    const taken = bytes.slice(0, Math.min(this.atOnce, this.error === undefined ? Infinity : this.room));
    this.room -= taken.length;
    this.text += new TextDecoder().decode(taken);
    return taken.length;
  };

  goOn(): void {
    this.isStuck = false;
    this.#goOn.resolve();
  }
}

function queueTo(reader: Reader, maxBytes?: number): LineQueue {
  const queue = new LineQueue({
    write: reader.write,
    pause: () => Promise.resolve(),
    reasonOf: (error) => (error as Error).message,
    ...maxBytes !== undefined && { maxBytes },
  });
  queue.lostLine = (lines) => `-${lines}`;
  return queue;
}

const FULL = new Error("No space left on device");

Deno.test("LineQueue has the first line written at once, and all in their order", async () => {
  const reader = new Reader();
  const queue = queueTo(reader);
  for (const line of ["a", "b", "c"]) queue.push(line);
  await queue.flush();
  assertEquals(reader.text, "a\nb\nc\n");
});

Deno.test("LineQueue keeps no caller waiting for a reader that is stuck, loses what has no room, and says so in its place", async () => {
  const reader = new Reader();
  reader.isStuck = true;
  const queue = queueTo(reader, 20);
  for (let at = 0; at < 100; at++) queue.push(`line ${at}`);
  assertEquals([queue.lostLines, queue.fault], [98, "nobody reads it"]);
  reader.goOn();
  await queue.flush();
  assertEquals(reader.text, "line 0\nline 1\n-98\n");
  assertEquals(queue.fault, undefined);
  queue.push("more");
  await queue.flush();
  assertEquals(reader.text, "line 0\nline 1\n-98\nmore\n");
});

Deno.test("LineQueue goes on when the disk has room again, and says first how much is missing", async () => {
  const reader = new Reader();
  const queue = queueTo(reader);
  Object.assign(reader, { error: FULL, room: 0 });
  for (const line of ["a", "b"]) {
    queue.push(line);
    await queue.flush();
  }
  assertEquals([queue.lostLines, queue.fault], [2, FULL.message]);
  reader.error = undefined;
  queue.push("c");
  await queue.flush();
  assertEquals(reader.text, "-2\nc\n");
  assertEquals(queue.fault, undefined);
});

Deno.test("LineQueue ends a line that was cut before it writes another", async () => {
  const reader = new Reader();
  const queue = queueTo(reader);
  Object.assign(reader, { error: FULL, room: 3 });
  queue.push("a line");
  await queue.flush();
  reader.error = undefined;
  queue.push("another");
  await queue.flush();
  assertEquals(reader.text, "a l\n-1\nanother\n");
});

Deno.test("LineQueue tries again where another program has made the descriptor one that does not wait", async () => {
  const reader = new Reader();
  const queue = queueTo(reader);
  Object.assign(reader, { error: new Deno.errors.WouldBlock("full"), room: 4 });
  queue.push("a line");
  while (reader.text === "") await Promise.resolve();
  reader.error = undefined;
  await queue.flush();
  assertEquals([reader.text, queue.lostLines], ["a line\n", 0]);
});

Deno.test("LineQueue loses a line that never has room, and no other", async () => {
  const reader = new Reader();
  const queue = queueTo(reader, 100);
  for (const line of ["a", "b".repeat(100), "c"]) {
    queue.push(line);
    await queue.flush();
  }
  assertEquals(reader.text, "a\n-1\nc\n");
});

Deno.test("LineQueue writes no more at once than a pipe takes whole", async () => {
  const reader = new Reader();
  const lengths: number[] = [];
  const queue = new LineQueue({
    write: async (bytes) => {
      lengths.push(bytes.length);
      return await reader.write(bytes);
    },
    pause: () => Promise.resolve(),
    reasonOf: String,
  });
  const lines = Array.from({ length: 100 }, (_, at) => `${at} ${"x".repeat(990)}`);
  for (const line of lines) queue.push(line);
  queue.push("y".repeat(10_000));
  await queue.flush();
  assertEquals(reader.text, `${lines.join("\n")}\n${"y".repeat(10_000)}\n`);
  assertEquals(lengths.filter((length) => length > 4096), [10_001]);
});

Deno.test("LineQueue accounts for each line, whole and in order, whatever its reader does", async () => {
  const step = fc.oneof(
    fc.constant({ kind: "say" }),
    fc.record({ kind: fc.constant("atOnce"), value: fc.constantFrom(1, 3, Infinity) }),
    fc.record({ kind: fc.constant("full"), value: fc.constantFrom(0, 2, 9) }),
    fc.constant({ kind: "well" }),
    fc.constant({ kind: "rest" }),
  );
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
    const reader = new Reader();
    const queue = queueTo(reader, 60);
    let said = 0;
    for (const { kind, value } of steps as { kind: string; value?: number }[]) {
      if (kind === "say") queue.push(`line ${said++}`);
      if (kind === "atOnce") reader.atOnce = value!;
      if (kind === "full") Object.assign(reader, { error: FULL, room: value });
      if (kind === "well") reader.error = undefined;
      if (kind === "rest") await queue.flush();
    }
    reader.error = undefined;
    await queue.flush();
    queue.push("end");
    await queue.flush();
    const lines = reader.text.split("\n");
    assertEquals(lines.slice(-2), ["end", ""]);
    const whole = lines.filter((line) => /^line \d+$/.test(line));
    const missing = lines.reduce((sum, line) => sum + (/^-\d+$/.test(line) ? -Number(line) : 0), 0);
    // A line that was cut right behind its last digit counts as lost, or is told again, and can be read.
    assertGreaterOrEqual(missing, queue.lostLines);
    assertGreaterOrEqual(whole.length + missing, said);
    const numbers = whole.map((line) => Number(line.slice(5)));
    assertEquals(numbers, numbers.toSorted((a, b) => a - b));
  }));
});
