import {
  type PeerAnswer,
  type PeerCountsAnswer,
  type PeersAnswer,
  type StatusAnswer,
  unwellWords,
} from "./answer.ts";
import { agoWords, momentWords, spanWords, tableLines, twoColumns } from "./words.ts";

/** Conditions that a screen has room for; the others are counted. */
const SHOWN_CONDITIONS = 6;
/** The order in which conditions are told. */
const SEVERITIES = ["blocking", "degraded", "info"];

type ConditionAnswer = StatusAnswer["conditions"][number];

/** The first line: whether pods can be started on this host, and why not. */
export function verdictOf({ ready, conditions }: StatusAnswer): string {
  const of = (severity: string) => conditions.filter((one) => one.severity === severity);
  const [blocking, degraded] = [of("blocking"), of("degraded")];
  if (!ready) {
    const more = blocking.length > 1 ? `, and ${blocking.length - 1} more` : "";
    return `NOT READY: ${blocking[0]?.code ?? "no reason is told"}${more}`;
  }
  return degraded.length === 0
    ? "ready"
    : `ready, with ${degraded.length === 1 ? "a note" : `${degraded.length} notes`}: ${
      [...Map.groupBy(degraded, ({ code }) => code)]
        .map(([code, { length }]) => length === 1 ? code : `${code} (${length})`).join(", ")
    }`;
}

/** One screen about a host whose agent has answered. */
export function statusLines(answer: StatusAnswer, { now }: { readonly now: Date }): string[] {
  return [
    `${momentWords(now)} ${verdictOf(answer)}`,
    ...twoColumns(hostRows(answer, now)),
    ...conditionLines(answer.conditions, now),
  ];
}

/** How many addresses there are: a large number's last digits are not known. */
function sizeWords(size: number): string {
  return Number.isSafeInteger(size) ? String(size) : `2^${Math.round(Math.log2(size))}`;
}

function hostRows(answer: StatusAnswer, now: Date): (readonly [string, string])[] {
  const { lease, overlay, underlay, registry, pass, peers, pools, version, process } = answer;
  const rows: (readonly [string, string])[] = [];
  const since = process === null ? "" : `, process ${process.id}, up ${upWords(process.startedAt, now)}`;
  rows.push([
    "host",
    `${lease?.host ?? "without a lease"}${version === null ? "" : `, loden ${version}`}${since}`,
  ]);
  for (const subnet of lease?.subnets ?? []) {
    const pool = pools.find((one) => one.subnet === subnet);
    rows.push([
      "subnet",
      pool === undefined ? subnet : `${subnet}, ${pool.used} of ${sizeWords(pool.size)} addresses in use`,
    ]);
  }
  if (overlay !== null) {
    rows.push(["backend", `${overlay.backend}, packets of pods up to ${overlay.mtuBytes} bytes`]);
  }
  if (underlay !== null) {
    const addresses = underlay.addresses.map(({ address, advertised }) =>
      address === advertised ? address : `${address} (others send to ${advertised})`
    ).join(", ");
    rows.push(["underlay", `${underlay.link} ${addresses}, MTU ${underlay.mtuBytes}`]);
  }
  if (registry !== null) {
    const heard = registry.heardAt === null ? "never heard" : `heard ${agoWords(registry.heardAt, now)}`;
    rows.push(["registry", `${registry.name}: ${registry.followed ? "followed" : "NOT FOLLOWED"}, ${heard}`]);
  }
  if (pass !== null) {
    const failed = pass.failed === 0 ? "" : `, ${pass.failed} FAILED`;
    const changes = pass.planned === 0 ? "nothing to change" : `${pass.planned} changes${failed}`;
    rows.push(["pass", `${agoWords(pass.startedAt, now)}, ${Math.ceil(pass.durationMs)} ms, ${changes}`]);
  }
  if (peers !== null) rows.push(["peers", peerCountWords(peers)]);
  return rows;
}

function upWords(startedAt: string, now: Date): string {
  const at = Date.parse(startedAt);
  return Number.isNaN(at) ? "an unknown time" : spanWords(now.getTime() - at);
}

/** `11/12 well, 10 probed; 1 left out`. */
export function peerCountWords(counts: PeerCountsAnswer): string {
  const { total, well, probed } = counts;
  if (total === 0) return "none: this host is alone";
  const unwell = unwellWords(counts);
  const proof = probed === 0 ? "" : `, ${probed} probed`;
  return `${well}/${total} well${proof}${unwell === "" ? "" : `; ${unwell}`}`;
}

function conditionLines(conditions: readonly ConditionAnswer[], now: Date): string[] {
  const rank = ({ severity }: ConditionAnswer) => SEVERITIES.indexOf(severity);
  const sorted = conditions.toSorted((a, b) => rank(a) - rank(b));
  const lines = sorted.slice(0, SHOWN_CONDITIONS).flatMap((condition) => describe(condition, now));
  const more = sorted.length - SHOWN_CONDITIONS;
  return [
    ...lines.length === 0 ? [] : [""],
    ...lines,
    ...more > 0 ? [`and ${more} more, which --json lists`] : [],
  ];
}

function describe({ severity, code, reason, remedy, since, times }: ConditionAnswer, now: Date): string[] {
  const began = since === null ? "" : `, for ${upWords(since, now)}`;
  const again = times > 1 ? `, ${times} times since the start` : "";
  return [
    `${severity}: ${code}${began}${again}`,
    `  ${reason}`,
    ...remedy === null ? [] : [`  do: ${remedy}`],
  ];
}

/** One line a peer, those that are not well first; `more` are not in the list. */
export function peerLines({ at, counts, peers }: PeersAnswer): string[] {
  if (counts === null) return ["", "peers: it is not known yet who is in the overlay"];
  const rest = counts.total - peers.reduce((sum, { count }) => sum + count, 0);
  return [
    "",
    `peers at ${momentWords(new Date(at))}: ${peerCountWords(counts)}`,
    ...peers.length === 0 ? [] : tableLines([
      ["HOST", "SUBNET", "UNDERLAY", "WAY", "PROBES", "STATE"],
      ...peers.map(peerRow),
    ]),
    ...rest > 0 ? [`and ${rest} more, which --all lists`] : [],
  ];
}

/** `0.4 ms MTU 1450`, `no answer`, with the loss where there is some. */
function pathWords({ state, roundTripMs, lossRatio, mtuBytes }: PeerAnswer["paths"][number]): string {
  if (state === "unknown" && roundTripMs === null) return "-";
  const time = roundTripMs === null ? "no answer" : `${roundTripMs.toFixed(roundTripMs < 10 ? 1 : 0)} ms`;
  const loss = lossRatio === 0 ? "" : ` ${Math.round(lossRatio * 100)}% lost`;
  return `${time}${loss}${mtuBytes === null ? "" : ` MTU ${mtuBytes}`}`;
}

function peerRow({ host, subnets, underlayAddresses, ways, paths, state, reason }: PeerAnswer): string[] {
  const list = (texts: readonly string[]) => texts.join(",") || "-";
  return [
    host,
    list(subnets),
    list(underlayAddresses),
    list([...new Set(ways)]),
    list(paths.map(pathWords)),
    reason === null ? state : `${state}: ${reason}`,
  ];
}
