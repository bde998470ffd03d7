import type { PathReport, PathState } from "../model/peer_path.ts";
import { Tally } from "../model/tally.ts";
import type { MetricFamily } from "./exposition.ts";

/** Each is told, with nought too, so that what goes away is seen to. */
const STATES: readonly PathState[] = ["unknown", "good", "narrow", "lossy", "damaged", "broken", "silent"];

/** What probes have found, without a word on which peer it is about; nothing where nobody probes. */
export function pathFamilies(report: PathReport | undefined): MetricFamily[] {
  if (report === undefined) return [];
  const { peerCount, peers, totals } = report;
  const states = new Tally<PathState>();
  for (const { state } of peers) states.add(state);
  const sizes = peers.flatMap(({ underlay, overlay }) =>
    [underlay, overlay].flatMap((path) => path?.mtu.foundBytes ?? [])
  );
  const counters = [
    ["asked", "Questions that were put to other hosts.", totals.asked],
    ["answered", "Questions that other hosts have answered.", totals.answered],
    ["lost", "Questions that no answer came to.", totals.lost],
    ["served", "Questions of other hosts that were answered.", totals.served],
    ["refused", "Datagrams that were no question of a host, or too many.", totals.refused],
  ] as const;
  return [
    {
      name: "loden_probe_peers",
      type: "gauge",
      help: "Other hosts that take part in probes.",
      samples: [{ value: peerCount }],
    },
    {
      name: "loden_probe_paths",
      type: "gauge",
      help: "Paths to other hosts, by family, by what probes have found of them.",
      samples: STATES.map((state) => ({
        labels: { state },
        value: states.of(state),
      })),
    },
    {
      name: "loden_probe_smallest_mtu_bytes",
      type: "gauge",
      help: "The largest packet that gets through on the narrowest path.",
      samples: sizes.length === 0 ? [] : [{ value: sizes.reduce((least, size) => Math.min(least, size)) }],
    },
    ...counters.map(([name, help, value]): MetricFamily => ({
      name: `loden_probe_${name}_total`,
      type: "counter",
      help,
      samples: [{ value }],
    })),
    {
      name: "loden_probe_round_trip_seconds",
      type: "summary",
      help: "Round trips of probes that were answered.",
      samples: [{ value: { count: totals.answered, sum: totals.roundTripMsSum / 1000 } }],
    },
  ];
}
