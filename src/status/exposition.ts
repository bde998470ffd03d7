import type { HistogramFigures } from "../model/tally.ts";

/** One number of a family, or many of a histogram. */
export interface Sample {
  /** Values are ours, or were made printable. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number | HistogramFigures | SummaryFigures;
}

/** How often something was measured, and what that is in all. */
export interface SummaryFigures {
  readonly count: number;
  readonly sum: number;
}

/** What is measured under one name. */
export interface MetricFamily {
  /** As samples are named: that of a counter ends with `_total`, that of an info with `_info`; a unit stands before it. */
  readonly name: string;
  readonly type: "gauge" | "counter" | "histogram" | "summary" | "info";
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** How metrics are written. */
export type Format = "text" | "openmetrics";

/** The media type of each format. */
export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

const UNITS: readonly string[] = ["seconds", "bytes"];
const OPENMETRICS = "application/openmetrics-text";
/** The versions that are written so. */
const VERSIONS: readonly (string | undefined)[] = [undefined, "1.0.0", "0.0.1"];

/**
 * The format that a client takes, by its header `Accept` (RFC 9110, section 12.5.1): OpenMetrics if it prefers that to
 * plain text, or likes both as well; plain text if it says nothing.
 */
export function formatFor(accept: string | undefined): Format {
  let best = { format: "text" as Format, quality: 0 };
  for (const range of (accept ?? "").split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const of = (name: string) =>
      parameters.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1).replaceAll('"', "");
    const quality = Number(of("q") ?? 1);
    const isOpen = type === OPENMETRICS && VERSIONS.includes(of("version"));
    if (!isOpen && !["text/plain", "text/*", "*/*"].includes(type)) continue;
    if (quality > best.quality || (isOpen && quality === best.quality && quality > 0)) {
      best = { format: isOpen ? "openmetrics" : "text", quality };
    }
  }
  return best.format;
}

/** A sample, if there is a value; none if that is not known. */
export function sample(value: number | undefined, labels?: Sample["labels"]): Sample[] {
  return value === undefined || Number.isNaN(value) ? [] : [{ value, ...labels && { labels } }];
}

/** Writes families as Prometheus's text format 0.0.4, or as OpenMetrics 1.0; one without samples is left out. */
export function formatFamilies(families: readonly MetricFamily[], format: Format): string {
  const isOpen = format === "openmetrics";
  const lines = families.filter(({ samples }) => samples.length > 0).flatMap((family) => [
    ...heads(family, isOpen),
    ...family.samples.flatMap((sample) => sampleLines(family.name, sample)),
  ]);
  if (isOpen) lines.push("# EOF");
  return lines.map((line) => `${line}\n`).join("");
}

function heads({ name, type, help }: MetricFamily, isOpen: boolean): string[] {
  // OpenMetrics names families without what their samples end with.
  const family = isOpen ? name.replace(/_(?:total|info)$/, "") : name;
  const unit = UNITS.find((unit) => name.replace(/_total$/, "").endsWith(`_${unit}`));
  return [
    `# HELP ${family} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`,
    `# TYPE ${family} ${!isOpen && type === "info" ? "gauge" : type}`,
    ...isOpen && unit !== undefined ? [`# UNIT ${family} ${unit}`] : [],
  ];
}

function sampleLines(name: string, { labels = {}, value }: Sample): string[] {
  if (typeof value === "number") return [line(name, labels, value)];
  const totals = (count: number) => [
    line(`${name}_sum`, labels, value.sum),
    line(`${name}_count`, labels, count),
  ];
  if ("count" in value) return totals(value.count);
  let count = 0;
  const buckets = value.counts.map((each, at) => {
    count += each;
    const bound = value.bounds[at];
    return line(`${name}_bucket`, { ...labels, le: bound === undefined ? "+Inf" : floatText(bound) }, count);
  });
  return [...buckets, ...totals(count)];
}

function line(name: string, labels: Readonly<Record<string, string>>, value: number): string {
  const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapedLabel(text)}"`);
  return `${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberText(value)}`;
}

/** A bound as OpenMetrics asks for it: `1.0`, not `1`, so that it is one label in both formats. */
function floatText(bound: number): string {
  return Number.isInteger(bound) ? bound.toFixed(1) : String(bound);
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return String(value);
}

function escapedLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
