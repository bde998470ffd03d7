import { assertEquals } from "@std/assert";
import { assertSnapshot } from "@std/testing/snapshot";
import { metricsText } from "../../src/status/metrics.ts";
import { OWN, pass, standing, UNDERLAY } from "./facts.ts";

function deps(lastPass: ReturnType<typeof pass> | undefined, reason: string | undefined) {
  return {
    conditions: () =>
      standing(
        ...lastPass === undefined ? [["pass-missing", "no pass was made yet"]] as const : [],
        ...reason === undefined ? [] : [["registry-not-followed", reason]] as const,
      ),
    lastPass: () => lastPass,
    underlay: () => UNDERLAY,
    ownLease: () => OWN,
    registry: () => ({ name: "etcd", heardAtMs: reason === undefined ? 1000 : undefined, reason }),
    totals: () => ({ passes: 7, planned: 40, failed: 2, lostLogLines: 7 }),
    host: () => undefined,
    rules: () =>
      lastPass === undefined
        ? undefined
        : { changes: 2, isMasquerading: true, effective: [], failures: ["no table"], warnings: [] },
    pools: () =>
      lastPass === undefined
        ? []
        : [{ network: "cbr0", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 }],
  };
}

Deno.test("metricsText() tells each figure once, what it is, and its unit in its name", async (t) => {
  const faults = [{ host: "192.0.2.9", reason: "no MAC" }];
  await assertSnapshot(t, await metricsText(deps(pass({ remoteLeases: 41, faults }), undefined)));
});

Deno.test("metricsText() does not tell what is not known yet", async () => {
  const lines = (await metricsText(deps(undefined, "it does not answer"))).split("\n");
  assertEquals(lines.filter((line) => line !== "" && !line.startsWith("#")), [
    "loden_ready 0",
    "loden_registry_followed 0",
    'loden_condition{code="pass-missing",severity="blocking"} 1',
    'loden_condition{code="registry-not-followed",severity="degraded"} 1',
    "loden_passes_total 7",
    "loden_changes_total 40",
    "loden_failed_changes_total 2",
    "loden_log_lost_lines_total 7",
  ]);
});

Deno.test("metricsText() shows what is not seen in a label as its number", async () => {
  const pool = { network: "c\u202ebr\u2028", subnet: "10.244.1.0/24", used: 3, size: 253, leftovers: 1 };
  const text = await metricsText({ ...deps(pass({}), undefined), pools: () => [pool] });
  assertEquals(text.includes('{network="c\\\\u202ebr\\\\u2028",subnet="10.244.1.0/24"} 253'), true, text);
});
