/**
 * Runs all tests that the README promises, in several processes side by side, and ends with a plain line
 * `N passed, N failed`. A test that was skipped counts as failed. `LODEN_TEST_JOBS` says how many processes there are.
 * `pure` leaves out those that need the kernel; `kube` runs those of a real API server against a current one.
 *
 * @module
 */
import { compiledBinary } from "./binary.ts";
import { currentKubeAssets } from "./kube_current.ts";
import { LOCKED, run } from "./run.ts";
import { type Job, makeJobs, runQueue, workersOf } from "./test_queue.ts";

/** What a run came to. */
export interface Count {
  readonly passed: number;
  readonly failed: number;
}

/** What tests are made of, and what has a task of its own. */
const NO_TESTS: readonly string[] = ["tests/bench", "tests/double", "tests/moto", "tests/soak"];
const ON_KERNEL: readonly string[] = ["tests/faults", "tests/image", "tests/netns"];
/** Folders that are too much for one process: each entry has its own. All others are run as a whole. */
const SPLIT: readonly string[] = ["tests/faults", "tests/netns", "tests/registry"];
/** What a current API server is asked, and what is written for one. */
const ON_KUBE: readonly string[] = ["tests/registry/kube", "tests/manifests"];
/** What no process of tests takes, on the slowest machine: one that hangs fails, and shows what it printed. */
const JOB_DEADLINE_MS = 20 * 60_000;
/** Types were checked once for all. */
const TEST_FLAGS: readonly string[] = ["test", "--allow-all", "--no-check"];
/** How many are shown at the end. */
const SLOWEST = 10;
const SUMMARY =
  /^(?:ok|FAILED) \| (\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored(?: \((\d+) steps?\))?)?/;

// deno-lint-ignore no-console
const print = console.log;

/**
 * Counts what a run of `deno test` printed, by its last summary line. A run that died, or had no
 * test, is never a success.
 */
export function countRun(lines: readonly string[], exitCode: number): Count {
  const summary = lines.map((line) => SUMMARY.exec(line)).findLast((match) => match !== null) ?? undefined;
  const [passed = 0, failed = 0, ignored = 0, ignoredSteps = 0] =
    summary?.slice(1).map((text) => Number(text ?? 0)) ??
      [];
  const bad = failed + ignored + ignoredSteps;
  const isBroken = exitCode !== 0 || passed === 0;
  return { passed, failed: bad === 0 && isBroken ? 1 : bad };
}

/** What came of a process that ran tests. */
interface Outcome {
  readonly path: string;
  readonly count: Count;
  readonly seconds: number;
  /** All that it printed. */
  readonly text: string;
}

/** Runs tests in a process of their own, and counts them. */
export async function runJob({ path }: Job, deadlineMs = JOB_DEADLINE_MS): Promise<Outcome> {
  const folder = await Deno.makeTempDir({ prefix: "loden-test-" });
  try {
    const startedAtMs = performance.now();
    // A file has both streams in their order, and does not wait for what a test has left running.
    const { code } = await new Deno.Command("sh", {
      args: ["-c", 'exec "$@" >"$0" 2>&1', `${folder}/log`, Deno.execPath(), ...TEST_FLAGS, path],
      // iptables-legacy fails while another runs, in any network namespace.
      env: { NO_COLOR: "1", XTABLES_LOCKFILE: `${folder}/xtables.lock` },
      stdin: "null",
      signal: AbortSignal.timeout(deadlineMs),
    }).spawn().status;
    const seconds = (performance.now() - startedAtMs) / 1000;
    const text = await Deno.readTextFile(`${folder}/log`);
    return { path, count: countRun(text.split("\n"), code), seconds, text };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Runs jobs side by side; says when each starts, and shows what it has printed when it has ended. */
async function runAll(jobs: readonly Job[], workers: number): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  await runQueue(jobs, workers, async (job) => {
    print(`${job.path} starts`);
    const outcome = await runJob(job);
    outcomes.push(outcome);
    print(`${outcome.text.trimEnd()}\n${describe(outcome)}; ${outcomes.length} of ${jobs.length} done`);
  });
  return outcomes;
}

function describe({ path, count: { passed, failed }, seconds }: Outcome): string {
  return `${path}: ${passed} passed and ${failed} failed in ${seconds.toFixed(1)} s`;
}

function sumOf(outcomes: readonly Outcome[]): Count {
  const sum = (key: keyof Count) => outcomes.reduce((total, { count }) => total + count[key], 0);
  return { passed: sum("passed"), failed: sum("failed") };
}

/** What the words of the command line choose, in the order in which it starts. */
async function chosenJobs({ isPure, isKube }: { isPure: boolean; isKube: boolean }): Promise<Job[]> {
  if (!isKube) return await allJobs(isPure);
  Deno.env.set("KUBEBUILDER_ASSETS", await currentKubeAssets());
  return makeJobs(ON_KUBE);
}

/** All jobs in the order in which they start; `isPure` leaves out those that need the kernel. */
export async function allJobs(isPure: boolean): Promise<Job[]> {
  const paths = (await testsIn("tests"))
    .filter((path) => !NO_TESTS.includes(path) && !(isPure && ON_KERNEL.includes(path)));
  const split = paths.map(async (path) => SPLIT.includes(path) ? await testsIn(path) : [path]);
  return makeJobs((await Promise.all(split)).flat());
}

/** The test files and the folders of a folder. */
async function testsIn(folder: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.filter(({ name, isDirectory }) => isDirectory || name.endsWith("_test.ts"))
    .map(({ name }) => `${folder}/${name}`);
}

/** Checks types once for all processes, and compiles what tests side by side would compile twice. */
async function prepare(isPure: boolean): Promise<void> {
  await run(Deno.execPath(), ["check", "--quiet", ...LOCKED, "mod.ts", "src", "tests", ".ci"]);
  if (!isPure) await compiledBinary();
}

/** Shows what took longest, what failed, and the sums. */
function summarize(outcomes: readonly Outcome[]): Count {
  print("the slowest:");
  for (const outcome of outcomes.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST)) {
    print(`  ${describe(outcome)}`);
  }
  const bad = outcomes.filter(({ count }) => count.failed > 0);
  if (bad.length > 0) print(`failed: ${bad.map(({ path }) => path).join(" ")}`);
  const isOnKernel = ({ path }: Outcome) => ON_KERNEL.some((folder) => `${path}/`.startsWith(`${folder}/`));
  const batches = [
    ["pure tests", outcomes.filter((outcome) => !isOnKernel(outcome))],
    ["tests on the kernel", outcomes.filter(isOnKernel)],
  ] as const;
  for (const [name, members] of batches) {
    const { passed, failed } = sumOf(members);
    if (members.length > 0) print(`${name}: ${passed} passed and ${failed} failed`);
  }
  return sumOf(outcomes);
}

async function main(): Promise<number> {
  const [isPure, isKube] = ["pure", "kube"].map((word) => Deno.args.includes(word)) as [boolean, boolean];
  if (Deno.uid() !== 0 && !isPure) {
    print(
      "Cannot run the kernel's tests: they make network namespaces, which only root may; run this as root",
    );
    return 1;
  }
  const startedAtMs = performance.now();
  try {
    const workers = workersOf(Deno.env.get("LODEN_TEST_JOBS"));
    const jobs = await chosenJobs({ isPure, isKube });
    await prepare(isPure);
    const outcomes = await runAll(jobs, workers);
    const { passed, failed } = summarize(outcomes);
    const oneByOne = outcomes.reduce((total, { seconds }) => total + seconds, 0);
    const seconds = (performance.now() - startedAtMs) / 1000;
    print(`${seconds.toFixed(0)} s in all with ${workers} side by side, ${oneByOne.toFixed(0)} s added up`);
    print(`${passed} passed, ${failed} failed`);
    return failed === 0 ? 0 : 1;
  } catch (error) {
    print(`${error instanceof Error ? error.message : error}\n0 passed, 1 failed`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
