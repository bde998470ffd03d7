/**
 * The queue of the test run: which tests have a process of their own, and which of them run side by side.
 *
 * @module
 */

/** Tests that one process runs. */
export interface Job {
  /** A file, or a folder whose files run one after the other. */
  readonly path: string;
  readonly isAlone: boolean;
}

/** Tests that nothing may run beside, and why. All others have network namespaces, folders and ports of their own. */
export const ALONE: Readonly<Record<string, string>> = {
  "tests/netns/explain_live_test.ts": "reads what the whole machine's kernel drops meanwhile",
  "tests/netns/flood_test.ts":
    "measures an agent's share of a processor, and holds the kernel's one lock for links",
  "tests/netns/path_test.ts": "measures how soon ten agents know of a bad path",
  "tests/netns/small_memory_test.ts": "measures how long an agent takes to repair in little memory",
  "tests/netns/lab_demo_test.ts": "sweeps what labs of ended processes have left, as lab_test.ts makes it",
};
/** What takes longest, in the order in which it starts: a long test that starts last runs on when all others are done. */
export const LONG: readonly string[] = [
  "tests/faults/matrix_test.ts",
  "tests/faults/plan_test.ts",
  "tests/faults/owning_test.ts",
  "tests/netns/overlay_servers_test.ts",
  "tests/faults/standing_test.ts",
  "tests/netns/identity_move_test.ts",
  "tests/image",
  "tests/netns/aws_vpc_test.ts",
  "tests/netns/network_change_test.ts",
  "tests/netns/aws_vpc_eni_test.ts",
  "tests/registry/kube",
  "tests/netns/reconcile_test.ts",
  "tests/registry/etcd",
  "tests/plugin",
  "tests/netns/ground_test.ts",
  "tests/faults/scale_test.ts",
  "tests/netns/identity_reboot_test.ts",
  "tests/netns/identity_twin_test.ts",
  "tests/netns/cni_old_subnet_test.ts",
  "tests/netns/cni_load_test.ts",
  "tests/command",
  "tests/netns/underlay_standing_test.ts",
  "tests/manifests",
  "tests/netlink",
];

/** The jobs of tests, in the order in which they start. */
export function makeJobs(paths: readonly string[]): Job[] {
  const place = (path: string) => LONG.includes(path) ? LONG.indexOf(path) : LONG.length;
  return paths.toSorted((a, b) => place(a) - place(b) || (a < b ? -1 : 1))
    .map((path) => ({ path, isAlone: path in ALONE }));
}

/**
 * How many jobs run side by side: the value of `LODEN_TEST_JOBS`, else two for each processor, since a test waits half
 * of its time.
 */
export function workersOf(text: string | undefined): number {
  if (!text) return 2 * navigator.hardwareConcurrency;
  const workers = Number(text);
  if (Number.isInteger(workers) && workers >= 1) return workers;
  throw new Error(`Cannot run ${text} tests side by side: set LODEN_TEST_JOBS to a number from 1`);
}

/** Runs every job once: those that share the machine as soon as a worker is free, then the others one by one. */
export async function runQueue(
  jobs: readonly Job[],
  workers: number,
  run: (job: Job) => Promise<void>,
): Promise<void> {
  await drain(jobs.filter(({ isAlone }) => !isAlone), workers, run);
  await drain(jobs.filter(({ isAlone }) => isAlone), 1, run);
}

async function drain(
  jobs: readonly Job[],
  workers: number,
  run: (job: Job) => Promise<void>,
): Promise<void> {
  // All workers take from one iterator, so none gets what another has.
  const rest = jobs.values();
  await Promise.all(Array.from({ length: workers }, async () => {
    for (const job of rest) await run(job);
  }));
}
