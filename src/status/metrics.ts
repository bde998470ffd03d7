import type { CloudReport } from "../cloud/cloud.ts";
import type { Pool, StatusDeps, Totals } from "./facts.ts";
import { isReady, severityOf } from "../model/condition.ts";
import { countFaults } from "../reconcile/report.ts";
import { Counter, Gauge, Registry } from "prom-client";
import { escaped } from "../log/printable.ts";

/** What is measured, by name: each is read at each request. `undefined` is not told. */
const GAUGES:
  readonly (readonly [name: string, help: string, read: (deps: StatusDeps) => number | undefined])[] = [
    [
      "loden_ready",
      "1 if pods can be started on this host, else 0.",
      ({ conditions }) => Number(isReady(conditions())),
    ],
    ["loden_remote_leases", "Leases of other hosts.", ({ lastPass }) => lastPass()?.remoteLeases],
    [
      "loden_left_out_leases",
      "Leases of other hosts that can't be used.",
      ({ lastPass }) => {
        const pass = lastPass();
        return pass && countFaults(pass.faults);
      },
    ],
    [
      "loden_last_pass_duration_seconds",
      "How long the last pass took.",
      ({ lastPass }) => seconds(lastPass()?.durationMs),
    ],
    [
      "loden_last_pass_timestamp_seconds",
      "When the last pass began, in seconds since 1970.",
      ({ lastPass }) => seconds(lastPass()?.startedAt.getTime()),
    ],
    [
      "loden_registry_heard_timestamp_seconds",
      "When the registry was last heard, in seconds since 1970.",
      ({ registry }) => seconds(registry().heardAtMs),
    ],
    [
      "loden_registry_followed",
      "1 if the registry is heard now, else 0.",
      ({ registry }) => Number(registry().reason === undefined),
    ],
    [
      "loden_rule_failures",
      "What of the packet filter is not as it must be.",
      ({ rules }) => rules()?.failures.length,
    ],
  ];

const COUNTERS: readonly (readonly [name: string, help: string, read: (totals: Totals) => number])[] = [
  ["loden_passes_total", "Comparisons of what is wanted with what is there.", ({ passes }) => passes],
  [
    "loden_changes_total",
    "Changes to links, addresses and tables that were planned.",
    ({ planned }) => planned,
  ],
  ["loden_failed_changes_total", "Changes that the kernel refused.", ({ failed }) => failed],
  [
    "loden_log_lost_lines_total",
    "Lines of the log that could not be written.",
    ({ lostLogLines }) => lostLogLines,
  ],
];

/** Figures of each subnet of this host. */
const POOL_GAUGES:
  readonly (readonly [name: string, help: string, read: (pool: Pool) => number | undefined])[] = [
    ["loden_pool_addresses", "Addresses that there are for pods.", ({ size }) => size],
    ["loden_pool_used_addresses", "Addresses that pods hold.", ({ used }) => used],
    ["loden_pool_leftover_addresses", "Addresses that vanished pods hold.", ({ leftovers }) => leftovers],
  ];

/** The text that `/metrics` answers with, in Prometheus's text format 0.0.4. */
export async function metricsText(deps: StatusDeps): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  for (const [name, help, read] of GAUGES) {
    const value = read(deps);
    if (value !== undefined) new Gauge({ name, help, registers }).set(value);
  }
  for (const [name, help, read] of POOL_GAUGES) {
    const gauge = new Gauge({ name, help, registers, labelNames: ["network", "subnet"] });
    for (const pool of deps.pools()) {
      const value = read(pool);
      if (value !== undefined) gauge.set({ network: escaped(pool.network), subnet: pool.subnet }, value);
    }
  }
  const help = "1 for each condition that holds, by its code.";
  const standing = new Gauge({ name: "loden_condition", help, registers, labelNames: ["code", "severity"] });
  for (const condition of deps.conditions()) {
    standing.set({ code: condition.code, severity: severityOf(condition) }, 1);
  }
  const cloud = deps.cloud?.();
  if (cloud !== undefined) setCloud(cloud, registers);
  for (const [name, help, read] of COUNTERS) new Counter({ name, help, registers }).inc(read(deps.totals()));
  return await registry.metrics();
}

function setCloud({ tables, lookedAt, calls }: CloudReport, registers: Registry[]): void {
  const routes = new Gauge({
    name: "loden_cloud_routes",
    help: "Routes of a route table of the cloud.",
    registers,
    labelNames: ["table"],
  });
  for (const table of tables) routes.set({ table: table.id }, table.routes);
  const help = "When the cloud's route tables were read last, in seconds since 1970.";
  new Gauge({ name: "loden_cloud_looked_timestamp_seconds", help, registers }).set(lookedAt.getTime() / 1000);
  const made = new Counter({
    name: "loden_cloud_calls_total",
    help: "Calls of the cloud's API.",
    registers,
    labelNames: ["action"],
  });
  for (const [action, count] of calls) made.inc({ action }, count);
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
