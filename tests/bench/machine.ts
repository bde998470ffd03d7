/** One line about the machine, to stand above every table of figures. */
export async function describeMachine(): Promise<string> {
  const cpu = /model name\s*: (.*)/.exec(await Deno.readTextFile("/proc/cpuinfo"))?.[1] ??
    "unknown processor";
  const { total } = Deno.systemMemoryInfo();
  const cores = navigator.hardwareConcurrency;
  return `${cpu}, ${cores} cores, ${Math.round(total / 2 ** 30)} GiB, Linux ${Deno.osRelease()}, ` +
    `Deno ${Deno.version.deno}`;
}

/** What a process has cost so far. */
export interface ProcessCost {
  readonly userMs: number;
  readonly systemMs: number;
  readonly rssMiB: number;
  /** The most that it has had. */
  readonly peakRssMiB: number;
  readonly rssAnonMiB: number;
}

/** `sysconf(_SC_CLK_TCK)`: the ticks of proc_pid_stat(5) on every Linux that Deno is built for. */
const TICKS_PER_SECOND = 100;

/** Reads what process `pid` has cost, from proc_pid_stat(5) and proc_pid_status(5). */
export async function processCost(pid: number): Promise<ProcessCost> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const mebibytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) / 1024;
  return {
    userMs: Number(fields[11]) * 1000 / TICKS_PER_SECOND,
    systemMs: Number(fields[12]) * 1000 / TICKS_PER_SECOND,
    rssMiB: mebibytes("VmRSS"),
    peakRssMiB: mebibytes("VmHWM"),
    rssAnonMiB: mebibytes("RssAnon"),
  };
}

/** CPU time of all threads of process `pid`, to the nanosecond, from proc_pid_schedstat. */
export async function cpuMs(pid: number): Promise<number> {
  let nanoseconds = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const schedstat = await Deno.readTextFile(`/proc/${pid}/task/${name}/schedstat`).catch(() => "0");
    nanoseconds += Number(schedstat.split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

/** The middle of several figures. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The figure that a `share` of several, 0 to 1, are not above. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)]!;
}

/** Prints rows under their names, columns aligned; numbers to the right. */
export function formatTable(rows: readonly Readonly<Record<string, string | number>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const cell = (value: string | number) =>
    typeof value === "number" ? value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0) : value;
  const lines = [names, ...rows.map((row) => names.map((name) => cell(row[name]!)))];
  const widths = names.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) =>
    line.map((text, column) => column === 0 ? text.padEnd(widths[column]!) : text.padStart(widths[column]!))
      .join("  ")
  ).join("\n");
}
