import type { CloudReport } from "../cloud/cloud.ts";
import { escaped } from "../log/printable.ts";
import { FAMILY_NAMES } from "../model/address.ts";
import { isReady, severityOf } from "../model/condition.ts";
import { VERSION } from "../model/version.ts";
import { countFaults, type PassReport } from "../reconcile/report.ts";
import {
  type Format,
  formatFamilies,
  formatFor,
  MEDIA_TYPES,
  type MetricFamily,
  sample,
} from "./exposition.ts";
import type { Pool, StatusDeps } from "./facts.ts";
import { figureFamilies, linkFamilies, processFamilies } from "./figure_metrics.ts";
import { pathFamilies } from "./path_metrics.ts";

/** What families are made from, read once for each answer. */
interface Facts extends StatusDeps {
  readonly pass: PassReport | undefined;
  readonly nowMs: number;
}

/** A figure by name, with what it means; `undefined` is not told. */
type Row<Source> = readonly [name: string, help: string, read: (source: Source) => number | undefined];

const GAUGES: readonly Row<Facts>[] = [
  [
    "loden_ready",
    "1 if pods can be started on this host, else 0.",
    ({ conditions }) => Number(isReady(conditions())),
  ],
  ["loden_remote_leases", "Leases of other hosts.", ({ pass }) => pass?.remoteLeases],
  [
    "loden_left_out_leases",
    "Leases of other hosts that can't be used.",
    ({ pass }) => pass && countFaults(pass.faults),
  ],
  [
    "loden_last_pass_duration_seconds",
    "How long the last pass took.",
    ({ pass }) => seconds(pass?.durationMs),
  ],
  [
    "loden_last_pass_timestamp_seconds",
    "When the last pass began, in seconds since 1970.",
    ({ pass }) => seconds(pass?.startedAt.getTime()),
  ],
  [
    "loden_registry_heard_timestamp_seconds",
    "When the registry was last heard, in seconds since 1970.",
    ({ registry }) => seconds(registry().heardAtMs),
  ],
  [
    "loden_registry_staleness_seconds",
    "How long ago the registry was last heard.",
    ({ registry, nowMs }) => {
      const { heardAtMs } = registry();
      return heardAtMs === undefined ? undefined : Math.floor(Math.max(0, nowMs - heardAtMs) / 1000);
    },
  ],
  [
    "loden_registry_followed",
    "1 if the registry is heard now, else 0.",
    ({ registry }) => Number(registry().reason === undefined),
  ],
  [
    "loden_lease_expiry_timestamp_seconds",
    "When this host's lease ends unless it is renewed, in seconds since 1970.",
    ({ ownLease }) => seconds(ownLease()?.expiresAtMs),
  ],
  [
    "loden_rule_failures",
    "What of the packet filter is not as it must be.",
    ({ rules }) => rules()?.failures.length,
  ],
  ["loden_underlay_mtu_bytes", "The MTU of the underlay's link.", ({ underlay }) => underlay()?.mtuBytes],
];

const COUNTERS: readonly Row<Facts>[] = [
  [
    "loden_passes_total",
    "Comparisons of what is wanted with what is there.",
    ({ totals }) => totals().passes,
  ],
  [
    "loden_changes_total",
    "Changes to links, addresses and tables that were planned.",
    ({ totals }) => totals().planned,
  ],
  ["loden_failed_changes_total", "Changes that the kernel refused.", ({ totals }) => totals().failed],
  [
    "loden_log_lost_lines_total",
    "Lines of the log that could not be written.",
    ({ totals }) => totals().lostLogLines,
  ],
  [
    "loden_registry_reconnects_total",
    "Times that the registry was heard again after it could not be followed.",
    ({ registry }) => registry().reconnects,
  ],
  [
    "loden_notification_overruns_total",
    "Times that notifications of the kernel were lost, and a whole look was made instead.",
    ({ figures }) => figures?.().overruns,
  ],
];

/** Figures of each subnet of this host. */
const POOL_GAUGES: readonly Row<Pool>[] = [
  ["loden_pool_addresses", "Addresses that there are for pods.", ({ size }) => size],
  ["loden_pool_used_addresses", "Addresses that pods hold.", ({ used }) => used],
  ["loden_pool_leftover_addresses", "Addresses that vanished pods hold.", ({ leftovers }) => leftovers],
];

/**
 * The text that `/metrics` answers with.
 *
 * @param nowMs Milliseconds since 1970.
 */
export function metricsText(deps: StatusDeps, format: Format = "text", nowMs = Date.now()): string {
  return formatFamilies(metricFamilies(deps, nowMs), format);
}

/** Answers a scrape in the format that its header `Accept` asks for. */
export function answerScrape(deps: StatusDeps, accept: string | undefined): Response {
  const format = formatFor(accept);
  return new Response(metricsText(deps, format), { headers: { "content-type": MEDIA_TYPES[format] } });
}

/** All that is measured, in the order in which it is told. What is not known has no sample. */
export function metricFamilies(deps: StatusDeps, nowMs: number): readonly MetricFamily[] {
  const facts: Facts = { ...deps, pass: deps.lastPass(), nowMs };
  const cloud = deps.cloud?.();
  return [
    ...GAUGES.map((row) => family("gauge", row, facts)),
    ...POOL_GAUGES.map(([name, help, read]): MetricFamily => ({
      name,
      type: "gauge",
      help,
      samples: deps.pools().flatMap((pool) =>
        sample(read(pool), { network: escaped(pool.network), subnet: pool.subnet })
      ),
    })),
    conditionFamily(facts),
    peerFamily(facts),
    ...COUNTERS.map((row) => family("counter", row, facts)),
    ...cloud === undefined ? [] : cloudFamilies(cloud),
    ...figureFamilies(deps.figures?.()),
    ...linkFamilies(deps),
    ...pathFamilies(deps.paths?.()),
    ...processFamilies(deps),
    {
      name: "loden_build_info",
      type: "info",
      help: "Which version runs.",
      samples: [{ labels: { version: VERSION }, value: 1 }],
    },
  ];
}

function family(
  type: MetricFamily["type"],
  [name, help, read]: Row<Facts>,
  facts: Facts,
): MetricFamily {
  return { name, type, help, samples: sample(read(facts)) };
}

/** One condition may hold for several things: its code is told once. */
function conditionFamily({ conditions }: Facts): MetricFamily {
  const severities = new Map(conditions().map((one) => [one.code, severityOf(one)]));
  return {
    name: "loden_condition",
    type: "gauge",
    help: "1 for each condition that holds, by its code.",
    samples: [...severities].map(([code, severity]) => ({ labels: { code, severity }, value: 1 })),
  };
}

function peerFamily({ pass }: Facts): MetricFamily {
  return {
    name: "loden_peers",
    type: "gauge",
    help: "Other hosts with a subnet of the family, by whether packets for it are sent to them.",
    samples: (pass?.reach ?? []).flatMap(({ family, peers, reached }) =>
      ([["reached", reached], ["unreached", peers - reached]] as const).map(([state, value]) => ({
        labels: { family: FAMILY_NAMES[family].toLowerCase(), state },
        value,
      }))
    ),
  };
}

function cloudFamilies({ tables, lookedAt, calls }: CloudReport): MetricFamily[] {
  return [
    {
      name: "loden_cloud_routes",
      type: "gauge",
      help: "Routes of a route table of the cloud.",
      samples: tables.map(({ id, routes }) => ({ labels: { table: id }, value: routes })),
    },
    {
      name: "loden_cloud_looked_timestamp_seconds",
      type: "gauge",
      help: "When the cloud's route tables were read last, in seconds since 1970.",
      samples: [{ value: lookedAt.getTime() / 1000 }],
    },
    {
      name: "loden_cloud_calls_total",
      type: "counter",
      help: "Calls of the cloud's API.",
      samples: [...calls].map(([action, value]) => ({ labels: { action }, value })),
    },
  ];
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
