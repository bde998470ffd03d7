/**
 * Runs all tests that the README promises, and ends with a plain line `N passed, N failed`. A test that was skipped
 * counts as failed.
 *
 * @module
 */

/** Files or folders under tests, in the order in which they run; the kernel's last. */
const FOLDERS = [...Deno.readDirSync("tests")]
  .filter(({ name, isDirectory }) =>
    (isDirectory && !["bench", "double", "netns"].includes(name)) || name.endsWith("_test.ts")
  )
  .map(({ name }) => `tests/${name}`).sort();
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?/;

// deno-lint-ignore no-console
const print = console.log;

/** Runs one batch of tests, shows what they print, and counts them. */
async function test(paths: readonly string[]): Promise<{ passed: number; failed: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...paths],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const count = { passed: 0, failed: 0 };
  let hasSummary = false;
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    await Deno.stdout.write(new TextEncoder().encode(text));
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      const summary = SUMMARY.exec(line);
      if (summary === null) continue;
      hasSummary = true;
      count.passed += Number(summary[1]);
      count.failed += Number(summary[2]) + Number(summary[3] ?? 0);
    }
  }
  const { code } = await child.status;
  // A run that died, or whose files do not compile, has no count of its own, and is never a success.
  if (code !== 0 && count.failed === 0) count.failed = 1;
  if (code === 0 && !hasSummary) count.failed = 1;
  return count;
}

if (Deno.uid() !== 0) {
  print("Cannot run the kernel's tests: they make network namespaces, which only root may; run this as root");
  Deno.exit(1);
}
const pure = await test(FOLDERS);
const kernel = await test(["tests/netns"]);
const passed = pure.passed + kernel.passed;
const failed = pure.failed + kernel.failed;
print(`\n${passed} passed, ${failed} failed`);
Deno.exit(failed === 0 ? 0 : 1);
