import { assertEquals } from "@std/assert";
import { formatFamilies, formatFor, type MetricFamily, sample } from "../../src/status/exposition.ts";

/** What Prometheus 2.42 and 3.5 send, and others. */
const headers: readonly (readonly [accept: string | undefined, format: string, why: string])[] = [
  [undefined, "text", "a person asks with curl 0.9"],
  ["*/*", "text", "curl asks"],
  ["text/plain", "text", "it asks for text"],
  ["text/html,application/xhtml+xml,*/*;q=0.8", "text", "a browser asks"],
  [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "openmetrics",
    "Prometheus 2 asks",
  ],
  [
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "openmetrics",
    "Prometheus 3 asks",
  ],
  ["text/plain;version=0.0.4;q=1,application/openmetrics-text;q=0.5", "text", "it prefers text"],
  ["application/openmetrics-text;q=0,text/plain", "text", "it refuses OpenMetrics"],
  ["application/openmetrics-text;version=2.0.0", "text", "it asks for a version that is none of ours"],
  ['application/openmetrics-text; version="1.0.0"', "openmetrics", "the version is in quotes"],
  ["junk;q=x,;;", "text", "it is junk"],
];

for (const [accept, format, why] of headers) {
  Deno.test(`formatFor() answers ${format} when ${why}`, () => assertEquals(formatFor(accept), format));
}

const families: readonly MetricFamily[] = [
  { name: "a_seconds_total", type: "counter", help: "How long.", samples: [{ value: 2 }] },
  { name: "b_info", type: "info", help: "A\\B\nC.", samples: [{ labels: { v: 'x"\\\n' }, value: 1 }] },
  {
    name: "c_seconds",
    type: "histogram",
    help: "Spread.",
    samples: [{ labels: { of: "d" }, value: { bounds: [0.5, 1], counts: [1, 2, 3], sum: 9.5 } }],
  },
  { name: "d", type: "gauge", help: "None.", samples: sample(undefined) },
  { name: "e", type: "gauge", help: "Odd.", samples: [...sample(Infinity), ...sample(NaN)] },
];

Deno.test("formatFamilies() writes Prometheus's text, where a counter has its whole name", () => {
  assertEquals(formatFamilies(families, "text").split("\n"), [
    "# HELP a_seconds_total How long.",
    "# TYPE a_seconds_total counter",
    "a_seconds_total 2",
    "# HELP b_info A\\\\B\\nC.",
    "# TYPE b_info gauge",
    'b_info{v="x\\"\\\\\\n"} 1',
    "# HELP c_seconds Spread.",
    "# TYPE c_seconds histogram",
    'c_seconds_bucket{of="d",le="0.5"} 1',
    'c_seconds_bucket{of="d",le="1.0"} 3',
    'c_seconds_bucket{of="d",le="+Inf"} 6',
    'c_seconds_sum{of="d"} 9.5',
    'c_seconds_count{of="d"} 6',
    "# HELP e Odd.",
    "# TYPE e gauge",
    "e +Inf",
    "",
  ]);
});

Deno.test("formatFamilies() writes OpenMetrics, with units and an end, and families without what samples end with", () => {
  const lines = formatFamilies(families, "openmetrics").split("\n");
  assertEquals(lines.filter((line) => line.startsWith("# ")), [
    "# HELP a_seconds How long.",
    "# TYPE a_seconds counter",
    "# UNIT a_seconds seconds",
    "# HELP b A\\\\B\\nC.",
    "# TYPE b info",
    "# HELP c_seconds Spread.",
    "# TYPE c_seconds histogram",
    "# UNIT c_seconds seconds",
    "# HELP e Odd.",
    "# TYPE e gauge",
    "# EOF",
  ]);
  assertEquals(lines.includes("a_seconds_total 2"), true);
});
