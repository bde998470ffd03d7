/**
 * Runs all tests that the README promises, and ends with a plain line `N passed, N failed`. A test that was skipped
 * counts as failed.
 *
 * @module
 */

/** What a run came to. */
export interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** Folders under tests that are no batch of pure tests: what tests are made of, and the kernel's own batch. */
const NOT_PURE = ["bench", "double", "faults", "image", "netns", "soak"];
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored(?: \((\d+) steps?\))?)?/;

// deno-lint-ignore no-console
const print = console.log;

/**
 * Counts what a run of `deno test` printed, by its last summary line. A run that died, or has no summary, is never a
 * success.
 */
export function countRun(lines: readonly string[], exitCode: number): Count {
  const summary = lines.map((line) => SUMMARY.exec(line)).findLast((match) => match !== null) ?? undefined;
  const [passed = 0, failed = 0, ignored = 0, ignoredSteps = 0] =
    summary?.slice(1).map((text) => Number(text ?? 0)) ??
      [];
  const bad = failed + ignored + ignoredSteps;
  const isBroken = exitCode !== 0 || summary === undefined;
  return { passed, failed: bad === 0 && isBroken ? 1 : bad };
}

/** Runs one batch of tests, shows what they print, and counts them. */
async function runBatch(paths: readonly string[]): Promise<Count> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...paths],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines: string[] = [];
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    for (let bytes = new TextEncoder().encode(text); bytes.length > 0;) {
      bytes = bytes.subarray(await Deno.stdout.write(bytes));
    }
    const parts = (rest + text).split("\n");
    rest = parts.pop()!;
    lines.push(...parts);
  }
  const { code } = await child.status;
  return countRun([...lines, rest], code);
}

/** The batches by name, the kernel's last; `pure` leaves that one out. */
async function batches(isPure: boolean): Promise<[name: string, paths: string[]][]> {
  const entries = await Array.fromAsync(Deno.readDir("tests"));
  const pure = entries.filter(({ name, isDirectory }) =>
    isDirectory ? !NOT_PURE.includes(name) : name.endsWith("_test.ts")
  );
  return [
    ["pure tests", pure.map(({ name }) => `tests/${name}`).sort()],
    ...isPure
      ? []
      : [["tests on the kernel", ["tests/netns", "tests/faults", "tests/image"]] as [string, string[]]],
  ];
}

async function main(): Promise<number> {
  const isPure = Deno.args.includes("pure");
  if (Deno.uid() !== 0 && !isPure) {
    print(
      "Cannot run the kernel's tests: they make network namespaces, which only root may; run this as root",
    );
    return 1;
  }
  let passed = 0;
  let failed = 0;
  for (const [name, paths] of await batches(isPure)) {
    const startedAtMs = performance.now();
    const count = await runBatch(paths);
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    print(`${name}: ${count.passed} passed and ${count.failed} failed in ${seconds} s\n`);
    passed += count.passed;
    failed += count.failed;
  }
  print(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main());
