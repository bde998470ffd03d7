import { assertEquals } from "@std/assert";
import { Progress } from "../../src/lab/progress.ts";

function written(isTerminal: boolean): string[] {
  const lines: string[] = [];
  const progress = new Progress({ write: (line) => lines.push(line), isTerminal });
  progress.step("making 3 hosts");
  progress.step("making 3 hosts");
  progress.step("making 3 pods");
  progress.line("host  subnet");
  progress.line("h1    10.244.1.0/24");
  progress.step("taking the lab away");
  return lines;
}

Deno.test("Progress writes each step once, in a line of its own, where there is no terminal", () => {
  assertEquals(written(false), [
    "making 3 hosts",
    "making 3 pods",
    "host  subnet",
    "h1    10.244.1.0/24",
    "taking the lab away",
  ]);
});

Deno.test("Progress writes over the step before on a terminal, and never over a line that stays", () => {
  assertEquals(written(true), [
    "making 3 hosts",
    "\x1b[1F\x1b[Jmaking 3 pods",
    "\x1b[1F\x1b[Jhost  subnet",
    "h1    10.244.1.0/24",
    "taking the lab away",
  ]);
});
