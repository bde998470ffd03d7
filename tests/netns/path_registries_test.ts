import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { conditionsAt, pathsOf } from "../double/agent_door.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, until } from "../double/overlay_rig.ts";

async function untilGood(host: LabHost, count: number): Promise<void> {
  let seen = "";
  await until(`see ${count} good paths at ${host.name}`, async () => {
    const paths = await pathsOf(host);
    seen = paths.map(({ host, state }) => `${host} ${state}`).join();
    return paths.length === count && paths.every(({ state }) => state === "good") || undefined;
  }, () => seen);
}

onEveryRegistry(
  "hosts tell each other by their leases that they answer probes, and when they do not any more",
  { isOnRealServer: true },
  async ({ lab, flags }) => {
    const [h1, h2, h3] = hostsOf(lab);
    for (const host of [h1, h2, h3]) await untilGood(host, 2);
    await h3.stopAgent("SIGTERM");
    h3.startAgent([...flags, "-path-probes=off"]);
    for (const host of [h1, h2]) await untilGood(host, 1);
    await h3.stopAgent("SIGTERM");
    h3.startAgent([...flags, "-path-probe-port=9475"]);
    for (const host of [h1, h2, h3]) await untilGood(host, 2);
    for (const host of [h1, h2, h3]) {
      assertEquals([...(await conditionsAt(host)).keys()].filter((code) => code.startsWith("path-")), []);
    }
  },
);
