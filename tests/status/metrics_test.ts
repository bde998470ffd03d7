import { assertEquals } from "@std/assert";
import { metricsText } from "../../src/status/metrics.ts";
import { OWN, pass, UNDERLAY } from "./facts.ts";

function deps(lastPass: ReturnType<typeof pass> | undefined, reason: string | undefined) {
  return {
    health: () => ({ isReady: lastPass !== undefined, reasons: [], notes: [] }),
    lastPass: () => lastPass,
    underlay: () => UNDERLAY,
    ownLease: () => OWN,
    registry: () => ({ name: "etcd", heardAtMs: reason === undefined ? 1000 : undefined, reason }),
    totals: () => ({ passes: 7, planned: 40, failed: 2 }),
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

/** The lines that are neither help nor type. */
async function values(...args: Parameters<typeof deps>): Promise<string[]> {
  return (await metricsText(deps(...args))).split("\n").filter((line) =>
    line !== "" && !line.startsWith("#")
  );
}

Deno.test("metricsText() tells each figure once, with its unit in its name", async () => {
  const faults = [{ host: "192.0.2.9", reason: "no MAC" }];
  assertEquals(await values(pass({ remoteLeases: 41, faults }), undefined), [
    "loden_ready 1",
    "loden_remote_leases 41",
    "loden_left_out_leases 1",
    "loden_last_pass_duration_seconds 0.0015",
    "loden_last_pass_timestamp_seconds 1767225600",
    "loden_registry_heard_timestamp_seconds 1",
    "loden_registry_followed 1",
    "loden_rule_failures 1",
    'loden_pool_addresses{network="cbr0",subnet="10.244.1.0/24"} 253',
    'loden_pool_used_addresses{network="cbr0",subnet="10.244.1.0/24"} 3',
    'loden_pool_leftover_addresses{network="cbr0",subnet="10.244.1.0/24"} 1',
    "loden_passes_total 7",
    "loden_changes_total 40",
    "loden_failed_changes_total 2",
  ]);
});

Deno.test("metricsText() does not tell what is not known yet", async () => {
  assertEquals(await values(undefined, "it does not answer"), [
    "loden_ready 0",
    "loden_registry_followed 0",
    "loden_passes_total 7",
    "loden_changes_total 40",
    "loden_failed_changes_total 2",
  ]);
});

Deno.test("metricsText() says of each figure what it is, once", async () => {
  const lines = (await metricsText(deps(pass(), undefined))).split("\n");
  const names = (word: string) =>
    lines.filter((line) => line.startsWith(`# ${word} `)).map((line) => line.split(" ")[2]);
  assertEquals(names("HELP"), names("TYPE"));
  assertEquals(new Set(names("HELP")).size, 14);
});
