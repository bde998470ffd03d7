import { assert, assertEquals } from "@std/assert";
import { namesIn } from "../../src/lab/names.ts";
import { formatAddress } from "../../src/model/address.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { until } from "../double/overlay_rig.ts";
import { SERVER_ADDRESS } from "../double/overlay_servers.ts";
import { kubectl } from "../manifests/kubectl.ts";
import type { AttachedPod } from "./attached.ts";
import { hasCgroups, memoryLimitOf } from "./container.ts";
import { applyManifests, type DaemonNode, type DaemonWorld, withDaemonWorld } from "./daemon_set_world.ts";
import { parseQuantity } from "./oci_config.ts";

/** An agent may take so long to end: kubelet gives it 30 s. */
const END_BOUND_MS = 5000;
/** As capabilities(7) numbers them. */
const NET_ADMIN_AND_NET_RAW = 1n << 12n | 1n << 13n;

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
  await Promise.all(pings.map((ping) => ping.untilMore(50)));
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
  await withDaemonWorld({ hosts: 3 }, async (world) => {
    const { nodes, attach, cluster } = world;
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
    const marks =
      '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="NetworkUnavailable")].status} {end}';
    assertEquals(
      (await kubectl(["get", "nodes", `--output=jsonpath=${marks}`], cluster.server)).trim().split(" "),
      nodes.map(({ name }) => `${name}=False`),
    );

    // Nothing there has a route to pods, so only what has a node's address is answered.
    for (const pod of pods) {
      const { code } = await pod.netns.exec("ping", "-c", "1", "-W", "2", SERVER_ADDRESS);
      assertEquals(code, 0, `${pod.name} reaches what is outside of the cluster`);
    }

    // What the new agents left in place serves new pods too.
    const more = await Promise.all(nodes.map((node) => attach(node, 2)));
    await underTraffic(more, async () => {});
    for (const node of nodes) assertEquals((await node.reserved()).length, 2, node.name);
    for (const pod of [...pods, ...more]) await pod.detach();
    for (const node of nodes) assertEquals(await node.reserved(), [], node.name);
  });
});

Deno.test("with flannel's own conflist pods are attached by the plugin that the init container has installed", async () => {
  await withDaemonWorld({ hosts: 2, agentArgs: ["--cni-conf-render=false"] }, async (world) => {
    await rollOut(world);
    const { nodes, attach } = world;
    const pods = await Promise.all(nodes.map((node) => attach(node, 1)));
    const states = `${nodes[0]!.place.root}/var/lib/cni/flannel`;
    assertEquals((await namesIn(states)).length, 2, "the plugin has kept what it did, under two names");
    await underTraffic(pods, async () => {});
    for (const pod of pods) await pod.detach();
    for (const node of nodes) assertEquals(await node.reserved(), [], node.name);
    assertEquals(await namesIn(states), []);
  });
});

Deno.test("the agent of the manifests may do what they say, and no more", async () => {
  await withDaemonWorld({ hosts: 1 }, async (world) => {
    await rollOut(world);
    const [node] = world.nodes as [DaemonNode];
    const pid = await node.running.pid();
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)$`, "m").exec(status)?.[1];
    for (const name of ["CapPrm", "CapEff", "CapBnd"]) {
      assertEquals(BigInt(`0x${field(name)}`), NET_ADMIN_AND_NET_RAW, `${name} of\n${status}`);
    }
    assertEquals([field("CapInh"), field("CapAmb")].map((mask) => BigInt(`0x${mask}`)), [0n, 0n]);
    assertEquals(field("NoNewPrivs"), "1");
    const memory = node.running.pod.spec.containers[0]?.resources?.limits?.memory;
    if (memory !== undefined && await hasCgroups()) {
      assertEquals(await memoryLimitOf(pid), parseQuantity(memory), "the limit of its memory");
    }
    const mounts = (await Deno.readTextFile(`/proc/${pid}/mountinfo`)).trim().split("\n").map((line) =>
      line.split(" ")
    );
    const optionsOf = (path: string) => mounts.findLast(([, , , , place]) => place === path)?.[5]?.split(",");
    for (const path of ["/", "/proc/sys", "/sys"]) {
      assertEquals(optionsOf(path)?.[0], "ro", `${path} of\n${mounts.join("\n")}`);
    }
    assertEquals(optionsOf("/host/proc/sys/net")?.[0], "rw", mounts.join("\n"));
  });
});

Deno.test("the agent of the manifests sets what the overlay needs of the host's kernel, and sets it again", async () => {
  await withDaemonWorld({ hosts: 1 }, async (world) => {
    const [node] = world.nodes as [DaemonNode];
    const { netns } = node.place;
    const untilSet = async (path: string, value: string) => {
      await until(`see ${path} at ${value}`, () => netns.readSysctl(path) === value || undefined);
    };
    netns.writeSysctl("net/ipv4/ip_forward", "0");
    await rollOut(world);
    await untilSet("net/ipv4/ip_forward", "1");
    await untilSet("net/ipv6/conf/flannel.1/accept_ra", "0");
    netns.writeSysctl("net/ipv4/ip_forward", "0");
    await untilSet("net/ipv4/ip_forward", "1");
    const refused = node.running.logs().filter((line) => line.includes("can't be set here"));
    assertEquals(refused, []);
  });
});

Deno.test("an agent whose service account has no role says what it lacks, and goes on once it has one", async () => {
  await withDaemonWorld({ hosts: 1 }, async ({ cluster, nodes, objects }) => {
    const [node] = nodes as [DaemonNode];
    await cluster.delete(objects.find(({ kind }) => kind === "ClusterRoleBinding")!);
    const running = await node.start();
    const lacks = /User \\"system:serviceaccount:([\w-]+:[\w-]+)\\" cannot get .* give the service account/;
    await until("read what it lacks", () => running.logs().some((line) => lacks.test(line)) || undefined);
    assertEquals(await running.probe("readiness"), false);
    await applyManifests(cluster);
    await running.untilReady();
  });
});
