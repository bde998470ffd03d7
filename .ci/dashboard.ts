/**
 * Makes `manifests/observability/dashboard.json`, for Grafana 9 and newer, from the table of its panels.
 *
 * @module
 */

/** A panel: what it shows, in which unit of Grafana, and the queries with the legend of each. */
interface Panel {
  readonly title: string;
  readonly description: string;
  readonly unit: string;
  readonly kind: "stat" | "timeseries" | "table";
  readonly queries: readonly (readonly [expression: string, legend: string])[];
}

const HOSTS = 'instance=~"$instance"';
const RATE = "[$__rate_interval]";

function panel(
  kind: Panel["kind"],
  title: string,
  unit: string,
  description: string,
  ...queries: Panel["queries"]
): Panel {
  return { kind, title, unit, description, queries };
}

function quantiles(histogram: string): Panel["queries"] {
  return [0.5, 0.95, 0.99].map((share) =>
    [
      `histogram_quantile(${share}, sum by (le) (rate(${histogram}_bucket{${HOSTS}}${RATE})))`,
      `${share * 100} %`,
    ] as const
  );
}

/** Rows of panels by their titles. */
const ROWS: Readonly<Record<string, readonly Panel[]>> = {
  "Overview": [
    panel("stat", "Ready hosts", "none", "Hosts on which pods can be started.", [
      `sum(loden_ready{${HOSTS}})`,
      "ready",
    ]),
    panel("stat", "Hosts that are not ready", "none", "Hosts on which no pod can be started.", [
      `count(loden_ready{${HOSTS}} == 0) or vector(0)`,
      "not ready",
    ]),
    panel(
      "stat",
      "Pairs without a way",
      "none",
      "Other hosts, by host and family, that no packet is sent to.",
      [
        `sum(loden_peers{${HOSTS},state="unreached"}) or vector(0)`,
        "unreached",
      ],
    ),
    panel("stat", "Versions", "none", "Hosts by the version that they run.", [
      `count by (version) (loden_build_info{${HOSTS}})`,
      "{{version}}",
    ]),
    panel(
      "table",
      "Conditions",
      "none",
      "All that an operator may have to know now: docs/conditions.md says what to do.",
      [
        `loden_condition{${HOSTS}}`,
        "",
      ],
    ),
    panel("timeseries", "Hosts by condition", "none", "How many hosts have each condition.", [
      `sum by (code, severity) (loden_condition{${HOSTS}})`,
      "{{code}} ({{severity}})",
    ]),
  ],
  "Repairs": [
    panel("timeseries", "Repairs", "ops", "Changes of other programs that were put back.", [
      `sum by (instance) (rate(loden_repair_duration_seconds_count{${HOSTS}}${RATE}))`,
      "{{instance}}",
    ]),
    panel(
      "timeseries",
      "Time of repairs",
      "s",
      "From the notification of a change until all is as it must be.",
      ...quantiles("loden_repair_duration_seconds"),
    ),
    panel("timeseries", "Changes", "ops", "What was changed, or refused by the kernel.", [
      `sum by (kind, result) (rate(loden_steps_total{${HOSTS}}${RATE}))`,
      "{{kind}} {{result}}",
    ]),
    panel(
      "timeseries",
      "Time of passes",
      "s",
      "How long it takes to compare and change links and tables.",
      ...quantiles("loden_pass_duration_seconds"),
    ),
    panel("timeseries", "Stages of passes", "s", "What share of a second each stage takes.", [
      `sum by (stage) (rate(loden_stage_duration_seconds_total{${HOSTS}}${RATE}))`,
      "{{stage}}",
    ]),
    panel("timeseries", "Errors", "ops", "What went wrong, and what the kernel has refused.", [
      `sum by (kind) (rate(loden_errors_total{${HOSTS}}${RATE}))`,
      "{{kind}}",
    ], [`sum by (errno) (rate(loden_netlink_errors_total{${HOSTS}}${RATE}))`, "{{errno}}"]),
  ],
  "Registry and leases": [
    panel("timeseries", "Silence of the registry", "s", "How long ago it was last heard.", [
      `loden_registry_staleness_seconds{${HOSTS}}`,
      "{{instance}}",
    ]),
    panel("timeseries", "Hosts that can't follow the registry", "none", "They go on with what they know.", [
      `count(loden_registry_followed{${HOSTS}} == 0) or vector(0)`,
      "not followed",
    ], [`sum(increase(loden_registry_reconnects_total{${HOSTS}}${RATE}))`, "reconnects"]),
    panel("timeseries", "Leases end in", "s", "Where leases end at all: each is renewed before.", [
      `loden_lease_expiry_timestamp_seconds{${HOSTS}} - time()`,
      "{{instance}}",
    ]),
    panel("timeseries", "Addresses of pods in use", "percentunit", "Of those that there are for pods.", [
      `loden_pool_used_addresses{${HOSTS}} / loden_pool_addresses{${HOSTS}}`,
      "{{instance}} {{subnet}}",
    ], [
      `loden_pool_leftover_addresses{${HOSTS}} / loden_pool_addresses{${HOSTS}}`,
      "{{instance}} {{subnet}}, left over",
    ]),
  ],
  "Paths": [
    panel("timeseries", "Paths", "none", "Paths from each host to others, by what probes have found.", [
      `sum by (state) (loden_probe_paths{${HOSTS},state!="good"})`,
      "{{state}}",
    ]),
    panel("timeseries", "Lost probes", "percentunit", "Of those that were asked.", [
      `rate(loden_probe_lost_total{${HOSTS}}${RATE}) / rate(loden_probe_asked_total{${HOSTS}}${RATE})`,
      "{{instance}}",
    ]),
    panel("timeseries", "Round trip", "s", "The mean of probes that were answered.", [
      `rate(loden_probe_round_trip_seconds_sum{${HOSTS}}${RATE}) / rate(loden_probe_round_trip_seconds_count{${HOSTS}}${RATE})`,
      "{{instance}}",
    ]),
    panel("timeseries", "Narrowest path", "bytes", "The largest packet that gets through on it.", [
      `min by (instance) (loden_probe_smallest_mtu_bytes{${HOSTS}})`,
      "{{instance}}",
    ]),
  ],
  "Links": [
    panel("timeseries", "Overlay", "Bps", "What VTEPs send and receive.", [
      `sum by (instance) (rate(loden_link_transmit_bytes_total{${HOSTS},role="vtep"}${RATE}))`,
      "{{instance}} sent",
    ], [
      `sum by (instance) (rate(loden_link_receive_bytes_total{${HOSTS},role="vtep"}${RATE}))`,
      "{{instance}} received",
    ]),
    panel(
      "timeseries",
      "Dropped packets",
      "pps",
      'By link; lines "packets lost" of the log say what they mean.',
      [
        `sum by (instance, link) (rate(loden_link_transmit_dropped_total{${HOSTS}}${RATE}))`,
        "{{instance}} {{link}} sent",
      ],
      [
        `sum by (instance, link) (rate(loden_link_receive_dropped_total{${HOSTS}}${RATE}))`,
        "{{instance}} {{link}} received",
      ],
    ),
    panel(
      "timeseries",
      "Errors of links",
      "pps",
      "Packets that could not be sent or encapsulated, or were no good.",
      [
        `sum by (instance, link) (rate(loden_link_transmit_errors_total{${HOSTS}}${RATE}))`,
        "{{instance}} {{link}} sent",
      ],
      [
        `sum by (instance, link) (rate(loden_link_receive_errors_total{${HOSTS}}${RATE}))`,
        "{{instance}} {{link}} received",
      ],
    ),
    panel("timeseries", "Carrier losses", "none", "Times that links have lost their carrier.", [
      `sum by (instance, link) (increase(loden_link_carrier_losses_total{${HOSTS}}${RATE}))`,
      "{{instance}} {{link}}",
    ]),
  ],
  "Agents": [
    panel("timeseries", "Memory", "bytes", "Resident memory, and what of it is of no file.", [
      `process_resident_memory_bytes{${HOSTS}} and on (job, instance) loden_ready`,
      "{{instance}} resident",
    ], [
      `process_anonymous_memory_bytes{${HOSTS}} and on (job, instance) loden_ready`,
      "{{instance}} anonymous",
    ]),
    panel("timeseries", "CPU", "percentunit", "Of one core.", [
      `rate(process_cpu_seconds_total{${HOSTS}}${RATE}) and on (job, instance) loden_ready`,
      "{{instance}}",
    ]),
    panel("timeseries", "Descriptors", "none", "Open files and sockets.", [
      `process_open_fds{${HOSTS}} and on (job, instance) loden_ready`,
      "{{instance}}",
    ]),
    panel(
      "timeseries",
      "Log",
      "ops",
      "Lines by level; lost ones, and notifications that came too fast.",
      [
        `sum by (level) (rate(loden_log_lines_total{${HOSTS}}${RATE}))`,
        "{{level}}",
      ],
      [`sum(rate(loden_log_lost_lines_total{${HOSTS}}${RATE}))`, "lost"],
      [
        `sum(rate(loden_notification_overruns_total{${HOSTS}}${RATE}))`,
        "overruns",
      ],
    ),
  ],
};

const WIDTH = 24;
const SOURCE = { type: "prometheus", uid: "${datasource}" };
/** Width and height of a panel. */
const SIZES = { stat: [6, 4], timeseries: [12, 8], table: [12, 8] } as const;

/** The text of the dashboard. */
export function dashboardText(): string {
  const panels: unknown[] = [];
  let y = 0;
  for (const [title, row] of Object.entries(ROWS)) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: WIDTH, h: 1 },
    });
    y++;
    let [x, height] = [0, 0];
    for (const each of row) {
      const [w, h] = SIZES[each.kind];
      if (x + w > WIDTH) [x, y, height] = [0, y + height, 0];
      panels.push(panelObject(each, panels.length + 1, { x, y, w, h }));
      [x, height] = [x + w, Math.max(height, h)];
    }
    y += height;
  }
  const dashboard = {
    uid: "loden",
    title: "Loden",
    tags: ["loden", "network"],
    description:
      "The overlay of a cluster: what holds on its hosts, what is repaired, what is lost, what agents cost.",
    editable: true,
    schemaVersion: 36,
    refresh: "1m",
    time: { from: "now-6h", to: "now" },
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus", label: "Prometheus" },
        {
          name: "instance",
          label: "Host",
          type: "query",
          datasource: SOURCE,
          query: { query: "label_values(loden_ready, instance)", refId: "instance" },
          refresh: 2,
          sort: 1,
          multi: true,
          includeAll: true,
          allValue: ".*",
          current: { text: "All", value: "$__all" },
        },
      ],
    },
    panels,
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function panelObject(
  { kind, title, unit, description, queries }: Panel,
  id: number,
  gridPos: unknown,
): unknown {
  return {
    id,
    type: kind,
    title,
    description,
    gridPos,
    datasource: SOURCE,
    fieldConfig: { defaults: { unit, ...kind === "timeseries" && { min: 0 } }, overrides: [] },
    targets: queries.map(([expr, legendFormat], at) => ({
      refId: String.fromCharCode("A".charCodeAt(0) + at),
      datasource: SOURCE,
      expr,
      legendFormat,
      ...kind === "timeseries" ? { range: true } : { instant: true },
      ...kind === "table" && { format: "table" },
    })),
    ...kind === "table" && {
      transformations: [{
        id: "organize",
        options: { excludeByName: { Time: true, Value: true, __name__: true, job: true } },
      }],
    },
  };
}
