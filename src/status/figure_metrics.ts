import { errnoName } from "../linux/errno.ts";
import { escaped } from "../log/printable.ts";
import type { CounterName } from "../rtnetlink/link_counters.ts";
import { type MetricFamily, type Sample, sample } from "./exposition.ts";
import type { Figures, StatusDeps } from "./facts.ts";

/** What the kernel counts on each link that the overlay is on. */
const LINK_COUNTERS: readonly (readonly [name: string, help: string, counter: CounterName])[] = [
  ["receive_packets", "Packets that were received.", "rxPackets"],
  ["transmit_packets", "Packets that were sent.", "txPackets"],
  ["receive_bytes", "Bytes that were received.", "rxBytes"],
  ["transmit_bytes", "Bytes that were sent.", "txBytes"],
  ["receive_dropped", "Packets that were received and thrown away.", "rxDropped"],
  ["transmit_dropped", "Packets that were thrown away in place of being sent.", "txDropped"],
  ["receive_errors", "Packets that were received and are no good.", "rxErrors"],
  ["transmit_errors", "Packets that could not be sent; on a VTEP, not encapsulated.", "txErrors"],
  ["receive_missed", "Packets that the hardware had no room for.", "rxMissed"],
  ["receive_no_handler", "Packets that were received on a link that is not in use.", "rxNoHandler"],
  [
    "transmit_carrier_errors",
    "Packets not sent for want of a carrier; on a VTEP, of a route to the other host.",
    "txCarrierErrors",
  ],
  ["carrier_losses", "Times that the link has lost its carrier.", "carrierLosses"],
];

/** What was counted since the start. */
export function figureFamilies(figures: Figures | undefined): MetricFamily[] {
  if (figures === undefined) return [];
  const counter = (name: string, help: string, samples: readonly Sample[]): MetricFamily => ({
    name,
    type: "counter",
    help,
    samples,
  });
  const byLabel = (label: string, counts: Iterable<readonly [string, number]>) =>
    [...counts].map(([text, value]): Sample => ({ labels: { [label]: text }, value }));
  const stages = [...figures.stages];
  return [
    {
      name: "loden_pass_duration_seconds",
      type: "histogram",
      help: "How long passes took to compare and change links and tables.",
      samples: [{ value: figures.passSeconds }],
    },
    {
      name: "loden_repair_duration_seconds",
      type: "histogram",
      help: "From the first notification of another program's change until all was as it must be.",
      samples: [{ value: figures.repairSeconds }],
    },
    counter(
      "loden_stage_runs_total",
      "Times that a stage of a pass was run.",
      byLabel("stage", stages.map(([name, { runs }]) => [name, runs])),
    ),
    counter(
      "loden_stage_failures_total",
      "Times that a stage of a pass failed.",
      byLabel("stage", stages.map(([name, { failures }]) => [name, failures])),
    ),
    counter(
      "loden_stage_duration_seconds_total",
      "How long the stages of passes took in all.",
      byLabel("stage", stages.map(([name, { seconds }]) => [name, seconds])),
    ),
    counter(
      "loden_steps_total",
      "Changes that were made or refused, by what was changed.",
      [...figures.steps].flatMap(([kind, { done, failed }]) =>
        ([["done", done], ["failed", failed]] as const).map(([result, value]) => ({
          labels: { kind, result },
          value,
        }))
      ),
    ),
    counter(
      "loden_errors_total",
      "What went wrong, by its kind.",
      byLabel("kind", Object.entries(figures.errors)),
    ),
    counter(
      "loden_netlink_errors_total",
      "Requests that the kernel answered with an error, by its name; some, as ENODEV, are answers to a question.",
      byLabel("errno", [...figures.netlinkErrors].map(([errno, count]) => [errnoName(errno), count])),
    ),
    counter(
      "loden_log_lines_total",
      "Lines of the log by level, also of levels that are not written.",
      byLabel("level", Object.entries(figures.logLines)),
    ),
  ];
}

/** What the kernel has counted on the links that the overlay is on. */
export function linkFamilies({ links }: StatusDeps): MetricFamily[] {
  const found = links?.() ?? [];
  return LINK_COUNTERS.map(([name, help, counter]) => ({
    name: `loden_link_${name}_total`,
    type: "counter",
    help,
    samples: found.map(({ role, counters }) => ({
      labels: { link: escaped(counters.name), role },
      value: counters[counter],
    })),
  }));
}

/** What the agent costs, under the names that all programs have for it. */
export function processFamilies({ process }: StatusDeps): MetricFamily[] {
  const cost = process?.();
  const rows = [
    ["process_cpu_seconds_total", "CPU time of the agent, in seconds.", cost?.cpuSeconds],
    ["process_resident_memory_bytes", "Memory of the agent.", cost?.residentBytes],
    ["process_anonymous_memory_bytes", "Memory of the agent that is of no file.", cost?.anonymousBytes],
    ["process_virtual_memory_bytes", "Addresses that the agent has reserved.", cost?.virtualBytes],
    ["process_open_fds", "Descriptors that the agent has open.", cost?.openDescriptors],
    ["process_max_fds", "Descriptors that the agent may have.", cost?.mostDescriptors],
    ["process_threads", "Threads of the agent.", cost?.threads],
    [
      "process_start_time_seconds",
      "When the agent was started, in seconds since 1970.",
      cost?.startedAtSeconds,
    ],
  ] as const;
  return rows.map(([name, help, value]) => ({
    name,
    type: name.endsWith("_total") ? "counter" : "gauge",
    help,
    samples: sample(value),
  }));
}
