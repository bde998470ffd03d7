import { assertEquals, assertMatch } from "@std/assert";
import { allJobs, countRun, runJob } from "../../.ci/test.ts";
import { ALONE, type Job, LONG } from "../../.ci/test_queue.ts";

const cases: [name: string, line: string, exitCode: number, passed: number, failed: number][] = [
  ["all passed", "ok | 12 passed | 0 failed (3s)", 0, 12, 0],
  ["steps are part of their test", "ok | 12 passed (16 steps) | 0 failed (3s)", 0, 12, 0],
  ["some failed", "FAILED | 9 passed (1 step) | 2 failed (3 steps) (32s)", 1, 9, 2],
  ["a skipped test has failed", "ok | 5 passed | 0 failed | 2 ignored (1ms)", 0, 5, 2],
  ["a skipped step has failed", "ok | 5 passed | 0 failed | 0 ignored (1 step) (1ms)", 0, 5, 1],
  ["what was filtered out is not counted", "ok | 5 passed | 0 failed | 7 filtered out (1ms)", 0, 5, 0],
  ["a run that failed behind its summary has failed", "ok | 5 passed | 0 failed (1ms)", 1, 5, 1],
  ["a run without a summary has failed", "error: Type checking failed.", 1, 0, 1],
  ["a run that says nothing has failed", "", 0, 0, 1],
  ["a run of no test has failed", "ok | 0 passed | 0 failed (1ms)", 0, 0, 1],
];

for (const [name, line, exitCode, passed, failed] of cases) {
  Deno.test(`countRun(): ${name}`, () => {
    assertEquals(countRun(["running 12 tests", line, ""], exitCode), { passed, failed });
  });
}

Deno.test("countRun() goes by the last summary, since a test may print one", () => {
  const lines = ["ok | 99 passed | 0 failed (1ms)", "FAILED | 1 passed | 1 failed (1ms)"];
  assertEquals(countRun(lines, 1), { passed: 1, failed: 1 });
});

const runs: [name: string, source: string, passed: number, failed: number][] = [
  ["passes", `Deno.test("one", () => {}); Deno.test("two", () => {});`, 2, 0],
  ["fails in one of two", `Deno.test("one", () => {}); Deno.test("two", () => { throw 0; });`, 1, 1],
  ["is killed", `Deno.test("one", () => {}); Deno.test("two", () => Deno.kill(Deno.pid, "SIGKILL"));`, 0, 1],
  ["can't be loaded", `import "./missing.ts"; Deno.test("one", () => {});`, 0, 1],
  ["has no test", ``, 0, 1],
];

for (const [name, source, passed, failed] of runs) {
  Deno.test(`runJob() counts a file that ${name}, and keeps what it printed on both streams`, async () => {
    await withTest(`console.log("out"); console.error("err"); ${source}`, async (path) => {
      const { count, text } = await runJob({ path, isAlone: false });
      assertEquals(count, { passed, failed }, text);
      // What is killed may have printed nothing yet.
      const isPrinted = !source.startsWith("import") && !source.includes("SIGKILL");
      if (isPrinted) assertMatch(text, /^out$[^]*^err$/m);
    });
  });
}

Deno.test("runJob() ends a file that hangs at the deadline, and counts it", async () => {
  await withTest(`Deno.test("one", () => new Promise((end) => setTimeout(end, 600_000)));`, async (path) => {
    const { count } = await runJob({ path, isAlone: false }, 500);
    assertEquals(count, { passed: 0, failed: 1 });
  });
});

async function withTest(source: string, run: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/some_test.ts`;
    await Deno.writeTextFile(path, source);
    await run(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("every test file is in one job, but what has a task of its own", async () => {
  const files: string[] = [];
  for await (const path of testFiles("tests")) {
    if (!/^tests\/(moto|soak)\//.test(path)) files.push(path);
  }
  const held = (jobs: readonly Job[], path: string) =>
    jobs.filter((job) => path === job.path || path.startsWith(`${job.path}/`)).length;
  const all = await allJobs(false);
  assertEquals(files.filter((path) => held(all, path) !== 1), []);
  const known = [...LONG, ...Object.keys(ALONE)];
  assertEquals(
    known.filter((path) => !all.some((job) => job.path === path)),
    [],
    "what is not there any more",
  );
  const pure = await allJobs(true);
  const kernel = files.filter((path) => /^tests\/(faults|image|netns)\//.test(path));
  assertEquals(files.filter((path) => held(pure, path) !== 1).sort(), kernel.sort());
});

async function* testFiles(folder: string): AsyncGenerator<string> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) yield* testFiles(`${folder}/${name}`);
    else if (name.endsWith("_test.ts")) yield `${folder}/${name}`;
  }
}
