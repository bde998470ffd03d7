import { assert, assertEquals } from "@std/assert";
import { formatAddress } from "../../src/model/address.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { until } from "../double/overlay_rig.ts";
import type { AttachedPod } from "./attached.ts";
import { type DaemonNode, type DaemonWorld, withDaemonWorld } from "./daemon_set_world.ts";

/** An agent may take so long to end: kubelet gives it 30 s. */
const END_BOUND_MS = 5000;

/** Starts the pods of the DaemonSet, all at once, and waits until runtimes can attach pods. */
async function rollOut({ nodes }: DaemonWorld): Promise<void> {
  await Promise.all(nodes.map(async (node) => {
    await node.start();
    await node.running.untilReady();
    await node.untilConflist();
  }));
}

/** Pings between all pods of different nodes, while `during` happens; none may lose a packet. */
async function underTraffic(pods: readonly AttachedPod[], during: () => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const pings: RunningPing[] = [];
  for (const from of pods) {
    for (const to of pods.filter(({ name }) => name !== from.name)) {
      const reaches = () => from.netns.exec("ping", "-c", "1", "-W", "1", formatAddress(to.addresses[0]!));
      await until(
        `reach ${to.name} from ${from.name}`,
        async () => (await reaches()).code === 0 || undefined,
      );
      pings.push(stack.use(await RunningPing.start(from.asPinger, to.asPinger)));
    }
  }
  await during();
  for (const ping of pings) await ping.untilMore(50);
  await assertNoneLost(pings);
}

/** Waits until no node is marked as one without a network. */
async function untilUnmarked(nodes: readonly DaemonNode[]): Promise<void> {
  for (const node of nodes) {
    await until(`see that ${node.name} has a network`, async () => {
      return await node.networkUnavailable() === "False" || undefined;
    });
  }
}

Deno.test("the manifests make a network of three nodes, and replacing its pods one by one loses no packet", async () => {
  await withDaemonWorld(async (world) => {
    const { nodes, attach } = world;
    for (const node of nodes) assertEquals(await node.networkUnavailable(), "True", node.name);
    await rollOut(world);
    await untilUnmarked(nodes);

    const pods: AttachedPod[] = [];
    for (const [index, node] of nodes.entries()) {
      const pod = await attach(node, 1);
      pods.push(pod);
      assert(
        formatAddress(pod.addresses[0]!).startsWith(`10.244.${index + 1}.`),
        `${node.name} has another podCIDR`,
      );
    }
    await underTraffic(pods, async () => {
      for (const node of nodes) {
        const old = node.running.name;
        const { code, durationMs } = await node.stop();
        assertEquals(code, 0, node.running.logs().join("\n"));
        assert(durationMs < END_BOUND_MS, `the agent of ${node.name} took ${durationMs} ms to end`);
        await node.start();
        assert(node.running.name !== old, "an update makes another pod");
        await node.running.untilReady();
        assertEquals(await node.running.probe("liveness"), true, node.name);
      }
    });
    await untilUnmarked(nodes);

    // What the new agents left in place serves new pods too.
    const more = await Promise.all(nodes.map((node) => attach(node, 2)));
    await underTraffic(more, async () => {});
    for (const pod of [...pods, ...more]) await pod.detach();
  });
});
