import { assertEquals, assertGreater, assertLess } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { members, NETWORK } from "../bench/members.ts";
import { median, processCost } from "../bench/machine.ts";
import { seedLeases } from "../double/overlay_registry.ts";
import { hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { KernelView } from "../double/overlay_state.ts";
import { floodRoutes } from "../double/route_flood.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";

const MEMBERS = 200;
const PER_SECOND = 20_000;
const DURATION_MS = 10_000;
/** The most that the agent may take of one core. */
const CPU_SHARE = 0.5;
/** The most that it may grow by, garbage included. */
const GROWTH_MIB = 32;
/** What a repair may take in the middle of it, on the slowest machine. */
const REPAIR_DEADLINE_MS = 3000;
/** Changes of others between one fault and the next: passes for the faults are not what is measured. */
const CHANGES_PER_FAULT = PER_SECOND / 2;

Deno.test(`while others change ${PER_SECOND} routes a second an agent takes less than half a core, and repairs`, async () => {
  const agentCommand = [await compiledBinary(), "agent"];
  const networkConfig = { Network: NETWORK, Backend: { Type: "vxlan" } };
  await withOverlay({ hosts: 1, networkConfig, withAgents: false, agentCommand }, async (lab, libc) => {
    await seedLeases(lab, members(1, MEMBERS));
    const [host] = hostsOf(lab);
    const { pid } = host.startAgent();
    await host.waitForSubnets();
    await untilReady(libc, host);
    const view = new KernelView(host.client);
    const whole = view.lines();
    assertEquals(view.look().tables.routes.count, MEMBERS);

    await resetPeak(pid);
    const before = await processCost(pid);
    let seen = 0;
    let isOver = false;
    const options = {
      perSecond: PER_SECOND,
      durationMs: DURATION_MS,
      progress: (changes: number) => void (seen = changes),
    };
    const flood = floodRoutes(libc, host, options).finally(() => isOver = true);
    const repairs: number[] = [];
    while (!isOver) {
      deleteRoute(host, view, repairs.length % MEMBERS);
      const deletedMs = performance.now();
      // As often as it can: a timer would round the time up.
      while (view.look().tables.routes.count < MEMBERS) {
        assertLess(performance.now() - deletedMs, REPAIR_DEADLINE_MS);
        await new Promise((resolve) => setTimeout(resolve, 0));
      }
      repairs.push(performance.now() - deletedMs);
      const enough = repairs.length * CHANGES_PER_FAULT;
      await until("see more of the flood", () => isOver || seen >= enough || undefined);
    }
    const { changes, refusals, durationMs } = await flood;
    const after = await processCost(pid);

    const cpuMs = after.userMs + after.systemMs - before.userMs - before.systemMs;
    const { peakRssMiB } = after;
    // deno-lint-ignore no-console
    console.log(
      `${changes} changes in ${durationMs.toFixed(0)} ms: ${
        (cpuMs / durationMs * 100).toFixed(1)
      } % of a core, ` +
        `RSS ${before.rssMiB.toFixed(1)} to ${after.rssMiB.toFixed(1)} MiB, at most ${
          peakRssMiB.toFixed(1)
        }, ` +
        `${repairs.length} routes repaired in ${median(repairs).toFixed(1)} ms (median), ` +
        `${Math.max(...repairs).toFixed(1)} ms (worst)`,
    );
    assertEquals(refusals, 0);
    assertGreater(changes / durationMs * 1000, PER_SECOND * 0.9, "the flood was one");
    assertLess(cpuMs / durationMs, CPU_SHARE);
    assertLess(peakRssMiB - before.rssMiB, GROWTH_MIB);
    assertEquals(view.lines(), whole);
  });
});

/** Takes the route of one peer away. */
function deleteRoute({ client }: LabHost, view: KernelView, row: number): void {
  const { links, tables: { routes } } = view.look();
  client.request("delete a route", (writer, sequence) => {
    const linkIndexes = links.map((link) => link!.linkIndex);
    routeCodec.encode.delete(writer, sequence, routes.words, row * routes.layout.words, linkIndexes);
  });
}

/** Makes the kernel forget the most memory that a process has had: proc_pid_clear_refs(5). */
async function resetPeak(pid: number): Promise<void> {
  await Deno.writeTextFile(`/proc/${pid}/clear_refs`, "5");
}
