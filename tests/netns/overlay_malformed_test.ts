import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, formatAddress, formatMac, formatPrefix } from "../../src/model/address.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { hostsOf, statusOf, until, untilReachable, untilReady } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, nodeOf, withEtcdOverlay, withKubeOverlay } from "../double/overlay_servers.ts";
import { vtepOf } from "../double/overlay_state.ts";
import { KEYS } from "../registry/kube/servers.ts";

/** What an entry of one host is replaced by: its value in etcd, or its annotations. */
interface Forgery {
  readonly name: string;
  readonly address?: string;
  readonly data?: string;
  /** What the others say of it; where it is absent, they build on it, which hurts the liar only. */
  readonly reason?: RegExp;
}

/** A host whose agent is gone lies to the others in every way that can be thought of. */
function forgeries(reader: LabHost, bystander: LabHost): readonly Forgery[] {
  const macOf = (host: LabHost) => formatMac(vtepOf(host.client, AF_INET).link.mac);
  const data = (mac: string) => `{"VNI":1,"VtepMAC":"${mac}"}`;
  return [
    { name: "a word in place of JSON", data: "nonsense", reason: /JSON/ },
    { name: "half of JSON", data: '{"VNI":1,"VtepMAC":', reason: /JSON/ },
    { name: "JSON of another form", data: "[[[]]]", reason: /VtepMAC/ },
    { name: "nothing", data: "null", reason: /VtepMAC/ },
    { name: "a megabyte", data: JSON.stringify("x".repeat(1 << 20)), reason: /are read/ },
    { name: "very deep JSON", data: "[".repeat(2000) + "]".repeat(2000), reason: /VtepMAC/ },
    { name: "a multicast MAC", data: data("01:00:5e:00:00:01"), reason: /no unicast VtepMAC/ },
    { name: "the broadcast MAC", data: data("ff:ff:ff:ff:ff:ff"), reason: /no unicast VtepMAC/ },
    { name: "no MAC", data: data("00:00:00:00:00:00"), reason: /no unicast VtepMAC/ },
    { name: "our MAC", data: data(macOf(reader)), reason: /VtepMAC/ },
    { name: "shell in place of a MAC", data: data("$(reboot);`reboot`|reboot"), reason: /VtepMAC/ },
    { name: "another VNI", data: '{"VNI":77,"VtepMAC":"0e:00:00:00:00:77"}', reason: /its VNI is 77/ },
    { name: "the MAC of another", data: data(macOf(bystander)), reason: /VtepMAC/ },
    { name: "our address", address: formatAddress(reader.underlayAddresses[0]!), reason: /is ours/ },
    { name: "the address of another", address: formatAddress(bystander.underlayAddresses[0]!) },
    { name: "a loopback address", address: "127.0.0.1", reason: /is a loopback address/ },
    { name: "a multicast address", address: "224.0.0.1", reason: /is a multicast address/ },
    { name: "an address of ours in the overlay", address: "10.244.255.1" },
    { name: "a name for an address", address: "example.com", reason: /must be an IPv4 address/ },
    { name: "shell for an address", address: "$(reboot)", reason: /must be an IPv4 address/ },
  ];
}

/** Has `forge` write each forgery in place of what `h2` says, while the others keep talking to each other. */
async function tryAll(
  libc: Parameters<typeof statusOf>[0],
  [h1, h2, h3]: readonly [LabHost, LabHost, LabHost],
  name: string,
  forge: (forgery: Forgery) => Promise<void>,
): Promise<void> {
  await h2.stopAgent("SIGKILL");
  const pings = [await RunningPing.start(h1, h3), await RunningPing.start(h3, h1)];
  try {
    for (const forgery of forgeries(h1, h3)) {
      await forge(forgery);
      let seen = "";
      await until(`hear what ${h1.name} says of ${forgery.name}`, async () => {
        const { pass } = (await statusOf(libc, h1))!;
        seen = JSON.stringify(pass.faults);
        if (forgery.reason === undefined) return pass.leftOut === 0 || undefined;
        return pass.faults.some(({ host, reason }) => host === name && forgery.reason!.test(reason)) ||
          undefined;
      }, () => seen);
      for (const ping of pings) await ping.untilMore(5);
    }
    await assertNoneLost(pings);
  } finally {
    for (const ping of pings) await ping[Symbol.asyncDispose]();
  }
}

Deno.test("nothing that a host writes into its node hurts another host", async () => {
  await withKubeOverlay("double", async ({ lab, libc, server, flags }) => {
    const hosts = hostsOf(lab);
    const [h1, h2, h3] = hosts;
    const good = (await server.node("h2"))!.metadata as { annotations: Record<string, string> };
    await tryAll(libc, hosts, "h2", async ({ address, data }) => {
      await server.patchNode("h2", {
        metadata: {
          annotations: {
            ...good.annotations,
            ...address !== undefined && { [KEYS.address[2]]: address },
            ...data !== undefined && { [KEYS.data[2]]: data },
          },
        },
      });
    });
    // A node that was made again with the subnet of another, and with all there is.
    const pings = [await RunningPing.start(h1, h3), await RunningPing.start(h3, h1)];
    for (const podCIDR of ["10.244.3.0/24", "10.244.0.0/16", "0.0.0.0/0", "10.244.1.0/25", "10.99.0.0/24"]) {
      await server.deleteNode("h2");
      await server.createNode({
        metadata: { name: "h2", annotations: good.annotations },
        spec: { podCIDR, podCIDRs: [podCIDR] },
      });
      for (const host of [h1, h3]) {
        let seen = "";
        await until(`hear what ${host.name} says of ${podCIDR}`, async () => {
          const { pass } = (await statusOf(libc, host))!;
          seen = JSON.stringify(pass.faults);
          return pass.faults.some(({ host, reason }) => host === "h2" && reason.includes(podCIDR)) ||
            // Who holds the subnet sees that it is its own; the third host may see either of two as the liar.
            podCIDR === "10.244.3.0/24" && pass.leftOut > 0 || undefined;
        }, () => seen);
      }
    }
    for (const ping of pings.slice(0)) await ping.untilMore(20);
    for (const ping of pings) await ping[Symbol.asyncDispose]();
    await server.deleteNode("h2");
    await server.createNode(nodeOf(2));
    h2.startAgent(flags);
    await untilReachable(lab);
    for (const host of hosts) await untilReady(libc, host);
  });
});

Deno.test("nothing that a host writes into its key hurts another host", async () => {
  await withEtcdOverlay(async ({ lab, libc, server, flags }) => {
    const hosts = hostsOf(lab);
    const [, h2] = hosts;
    const name = formatPrefix(h2.share.subnets[0]!).replace("/", "-");
    const key = `${ETCD_PREFIX}/subnets/${name}`;
    const good = (await server.list(key))[key]!;
    const { PublicIP, BackendData } = JSON.parse(good);
    await tryAll(libc, hosts, name, async ({ address, data }) => {
      const members = [
        `"PublicIP":${JSON.stringify(address ?? PublicIP)}`,
        `"PublicIPv6":null,"BackendType":"vxlan"`,
        `"BackendData":${data ?? JSON.stringify(BackendData)}`,
      ];
      await server.put(key, `{${members.join(",")}}`);
    });
    await server.put(key, good);
    h2.startAgent(flags);
    await untilReachable(lab);
    for (const host of hosts) await untilReady(libc, host);
  });
});

Deno.test("an agent writes its annotations again when they were changed or removed", async () => {
  await withKubeOverlay("double", async ({ lab, server }) => {
    const annotations = async () =>
      ((await server.node("h2"))!.metadata as { annotations: Record<string, string> }).annotations;
    const good = await annotations();
    for (
      const [key, value] of [[KEYS.data[2], "nonsense"], [KEYS.managed, null], [
        KEYS.address[2],
        "192.0.2.66",
      ]] as const
    ) {
      await server.patchNode("h2", { metadata: { annotations: { [key]: value } } });
      await until(
        `see ${key} as it was`,
        async () =>
          JSON.stringify(Object.entries(await annotations()).sort()) ===
            JSON.stringify(Object.entries(good).sort()) || undefined,
      );
    }
    await untilReachable(lab);
  });
});

Deno.test("an agent whose node lacks what it needs stays, says why, and goes on when it is mended", async () => {
  await withKubeOverlay("double", async ({ lab, libc, server, flags }) => {
    const [, h2] = hostsOf(lab);
    const reasonOf = async () => (await httpGet(libc, h2.netns, "/readyz"))?.body ?? "";
    const says = (reason: RegExp) => {
      let seen = "";
      return until(
        `read ${reason} in /readyz`,
        async () => reason.test(seen = await reasonOf()) || undefined,
        () => seen,
      );
    };
    await h2.stopAgent("SIGTERM");
    await Deno.remove(`${h2.directory}/leases.json`);
    await server.deleteNode("h2");
    const agent = h2.startAgent(flags);
    await says(
      /^flanneld is not ready yet\nthis host has no lease: Cannot read node h2: the API server answers: nodes "h2" not found; NODE_NAME must be/,
    );
    await server.createNode({ metadata: { name: "h2" }, spec: {} });
    await says(
      /^flanneld is not ready yet\nthis host has no lease: .*node h2 has no podCIDR: the controller manager gives it one if it runs with --allocate-node-cidrs=true/,
    );
    await server.permitAgent({});
    await says(/this host has no lease: .*nodes "h2" is forbidden: User "agent" cannot get resource "nodes"/);
    await server.permitAgent({ nodes: ["get", "list", "watch"] });
    await server.patchNode("h2", { spec: { podCIDR: "10.244.2.0/24", podCIDRs: ["10.244.2.0/24"] } });
    await says(/this host has no lease: .*cannot patch resource "nodes\/status"/);
    await server.permitAgent({ nodes: ["get", "list", "watch"], "nodes/status": ["patch"] });
    await untilReady(libc, h2);
    assertEquals(agent.end, undefined);
    await untilReachable(lab);
    assert((await httpGet(libc, h2.netns, "/readyz"))!.body === "flanneld is ready");
  });
});
