import { assertEquals } from "@std/assert";
import { assertSnapshot } from "@std/testing/snapshot";
import { metricFamilies, metricsText } from "../../src/status/metrics.ts";
import { figuresOf, WHOLE } from "../double/whole_figures.ts";
import { pass } from "./facts.ts";

const NOW_MS = 61_000;

for (const format of ["text", "openmetrics"] as const) {
  Deno.test(`metricsText() tells each figure once, what it is, and its unit in its name, as ${format}`, async (t) => {
    await assertSnapshot(t, metricsText(WHOLE, format, NOW_MS));
  });
}

Deno.test("metricsText() does not tell what is not known yet", () => {
  const lines = metricsText(figuresOf(undefined, "it does not answer"), "text", NOW_MS).split("\n");
  assertEquals(lines.filter((line) => line !== "" && !line.startsWith("#")), [
    "loden_ready 0",
    "loden_registry_followed 0",
    'loden_condition{code="pass-missing",severity="blocking"} 1',
    'loden_condition{code="registry-not-followed",severity="degraded"} 1',
    "loden_passes_total 7",
    "loden_changes_total 40",
    "loden_failed_changes_total 2",
    "loden_log_lost_lines_total 7",
    'loden_build_info{version="0.1.0"} 1',
  ]);
});

Deno.test("metricsText() shows what is not seen in a label as its number", () => {
  const pool = { network: "c\u202ebr\u2028", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 };
  const text = metricsText({ ...figuresOf(pass({}), undefined), pools: () => [pool] });
  assertEquals(text.includes('{network="c\\\\u202ebr\\\\u2028",subnet="10.244.1.0/24"} 253'), true, text);
});

Deno.test("metricFamilies() has as many samples on a host with 5,000 peers as on one with one", () => {
  const count = (peers: number) => {
    const faults = Array.from({ length: peers - 1 }, (_, at) => ({ host: `h${at}`, reason: `${at}` }));
    const reach = [{ family: 2, peers, reached: 1 }] as const;
    const last = pass({ remoteLeases: peers, faults, reach });
    return metricFamilies({ ...WHOLE, lastPass: () => last }, NOW_MS)
      .reduce((sum, { samples }) => sum + samples.length, 0);
  };
  assertEquals(count(5000), count(1));
});
