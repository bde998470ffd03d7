import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import { AF_INET, AF_INET6, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "../double/overlay_http.ts";
import type { HeldLease } from "../double/overlay_leases.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf, untilReady } from "../double/overlay_rig.ts";
import { nodeOf, withKubeOverlay } from "../double/overlay_servers.ts";
import { leaseOf, standingOf, underTraffic, untilAsBefore, within } from "../double/overlay_standing.ts";
import { KernelView } from "../double/overlay_state.ts";

const BOTH = [AF_INET, AF_INET6] as const;
/** What an agent that runs may take to notice what etcd has for the next one. */
const NOTICE_MS = 60_000;
const REFUSED_MS = 30_000;

async function readyz(libc: Libc, host: LabHost): Promise<string> {
  const answer = await httpGet(libc, host.netns, "/readyz");
  return answer === undefined ? "nobody listens" : `${answer.status} ${answer.body}`;
}

/** Waits until the agent of a host answers with all of `parts`, and returns the answer. */
async function untilAnswers(libc: Libc, host: LabHost, parts: readonly string[], deadlineMs: number) {
  let answer = "";
  await within(`hear ${host.name} say ${parts.join(" and ")}`, deadlineMs, async () => {
    answer = await readyz(libc, host);
    return parts.every((part) => answer.includes(part));
  }, () => answer);
  return answer;
}

/** Everything that an agent may have made on a host. */
async function madeOn(host: LabHost): Promise<string[]> {
  return [
    ...new KernelView(host.client).lines(),
    await host.netns.mustExec("nft", "list", "ruleset"),
    await host.netns.mustExec("ip", "-4", "route", "show"),
    await host.netns.mustExec("ip", "-6", "route", "show"),
    await Deno.readTextFile(host.subnetFilePath),
  ];
}

const RIGHT = defaultNetworkConfig(BOTH);

const mistakes: readonly {
  readonly what: string;
  readonly config: Record<string, unknown>;
  readonly says: string;
}[] = [
  { what: "Network", config: { ...RIGHT, Network: "10.99.0.0/16" }, says: "Network 10.99.0.0/16 of " },
  {
    what: "IPv6Network",
    config: { ...RIGHT, IPv6Network: "fd00:99::/56" },
    says: "IPv6Network fd00:99::/56 of ",
  },
];

for (const { what, config, says } of mistakes) {
  onEveryRegistry(
    `a wrong ${what} stops at the first host, whose data path stays, and goes on once it is mended`,
    { families: BOTH },
    async (overlay) => {
      const { lab, libc, flags, configure } = overlay;
      const [h1, h2, h3] = hostsOf(lab);
      const before = await standingOf(overlay);
      const made = await madeOn(h1);
      const ways = [[h1, h2], [h2, h1], [h2, h3]] as const;
      await underTraffic(ways, async () => {
        await configure(config);
        const note = await untilAnswers(libc, h2, ["200 flanneld is ready", says], NOTICE_MS);
        assertStringIncludes(note, "this agent goes on with what it read at its start");
        assertStringIncludes(note, "a restart would not apply it");
        await h1.stopAgent();
        h1.startAgent(flags);
        const refusal = await untilAnswers(libc, h1, ["503 ", says, "is not applied"], REFUSED_MS);
        assertStringIncludes(refusal, "all stays as it was");
        assertStringIncludes(refusal, overlay.name === "Kubernetes" ? "podCIDR " : "the lease ");
        assertStringIncludes(refusal, `mend ${what}, or if the change is meant`);
        assertEquals(await madeOn(h1), made, "nothing is touched");
        // A local lease is written again to be renewed; its columns are as they were.
        const asWritten = (leases: readonly HeldLease[]) =>
          leases.map(({ text, ...lease }) => overlay.name === "local" ? lease : { ...lease, text });
        assertEquals(asWritten(await overlay.leases()), asWritten(before.leases));
        await configure(RIGHT);
        await untilReady(libc, h1);
        assertEquals(await madeOn(h1), made);
        await within(
          "see the note gone",
          NOTICE_MS,
          async () => await readyz(libc, h2) === "200 flanneld is ready",
        );
      });
      assertEquals(h1.agent?.end, undefined, "it was not started again");
      await untilAsBefore(overlay, before);
    },
  );
}

onEveryRegistry(
  "a Network that is meant is used once the lease was removed, without a restart",
  { registries: ["local", "etcd"] },
  async (overlay) => {
    const { lab, libc, flags, configure, leases, remove } = overlay;
    const [h1] = hostsOf(lab);
    const { key } = leaseOf(await leases(), h1);
    await configure({ Network: "10.99.0.0/16", Backend: { Type: "vxlan" } });
    await h1.stopAgent();
    h1.startAgent(flags);
    await untilAnswers(libc, h1, ["503 ", "is not applied"], REFUSED_MS);
    await remove(key);
    await untilReady(libc, h1);
    const { subnets } = await h1.waitForSubnets();
    assert(formatPrefix(subnets[0]!).startsWith("10.99."), formatPrefix(subnets[0]!));
    const own = leaseOf(await leases(), h1);
    assert(own.subnets[0]!.startsWith("10.99."));
  },
);

Deno.test("a Network that is meant is used once the node has a podCIDR in it, without a restart (Kubernetes)", async () => {
  await withKubeOverlay("double", async ({ lab, libc, server, flags }) => {
    const [h1] = hostsOf(lab);
    await Deno.writeTextFile(lab.networkConfigPath, '{"Network": "10.99.0.0/16"}');
    await h1.stopAgent();
    h1.startAgent(flags);
    const answer = await untilAnswers(libc, h1, ["503 ", "is not applied"], REFUSED_MS);
    assertStringIncludes(answer, "podCIDR 10.244.1.0/24 of node h1 is not in it");
    await server.deleteNode("h1");
    const subnet = "10.99.1.0/24";
    await server.createNode({ ...nodeOf(1), spec: { podCIDR: subnet, podCIDRs: [subnet] } });
    await untilReady(libc, h1);
    assertStringIncludes(await Deno.readTextFile(h1.subnetFilePath), "FLANNEL_SUBNET=10.99.1.1/24");
  });
});

Deno.test("what was remembered speaks against a wrong Network while the API server is away", async () => {
  await withKubeOverlay("double", async ({ lab, libc, flags, stopServer, startServer }) => {
    const [h1] = hostsOf(lab);
    const right = await Deno.readTextFile(lab.networkConfigPath);
    await h1.stopAgent();
    const made = await madeOn(h1);
    await stopServer();
    await Deno.writeTextFile(lab.networkConfigPath, '{"Network": "10.99.0.0/16"}');
    h1.startAgent(flags);
    const parts = ["503 ", "Network 10.99.0.0/16", "is not applied", "is not known"];
    await untilAnswers(libc, h1, parts, REFUSED_MS);
    assertEquals(await madeOn(h1), made);
    await startServer();
    await untilAnswers(libc, h1, ["503 ", "podCIDR 10.244.1.0/24 of node h1 is not in it"], NOTICE_MS);
    assertEquals(await madeOn(h1), made);
    assertEquals((await h1.stopAgent()).status.code, 0, "it can be ended");
    h1.startAgent(flags);
    await untilAnswers(libc, h1, ["503 ", "podCIDR 10.244.1.0/24 of node h1 is not in it"], NOTICE_MS);
    assertEquals(await madeOn(h1), made);
    await Deno.writeTextFile(lab.networkConfigPath, right);
    await untilReady(libc, h1);
    assertEquals(await madeOn(h1), made);
  });
});
