import { assert, assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, formatAddress, formatPrefix, type Ipv4 } from "../../src/model/address.ts";
import {
  hostsOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip, underTraffic, vtepsOf } from "../double/overlay_standing.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";

const DUAL = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };
const NETWORK = { Network: "10.244.0.0/16" };
const VXLAN = { Type: "vxlan" };
const HOST_GW = { Type: "host-gw" };

async function untilVteps(host: LabHost, wanted: readonly string[]): Promise<void> {
  let found: readonly string[] = [];
  await until(`see the VTEPs ${wanted} at ${host.name}`, async () => {
    found = await vtepsOf(host);
    return found.join() === wanted.join() || undefined;
  }, () => found.join());
}

/** The routes of a host to the cluster networks, in both families. */
async function overlayRoutes(host: LabHost): Promise<string[]> {
  const texts = await Promise.all(["-4", "-6"].map((version) => ip(host, version, "route", "show")));
  return texts.flatMap((text) => text.split("\n")).map((line) => line.trim())
    .filter((line) => /^(?:\w+ )?(?:10\.244\.|fd00:10:244:)/.test(line) && !line.includes("proto kernel"));
}

/** Leaves what a host has had in two files, as earlier versions kept it. */
async function toEarlierHistory({ directory }: LabHost): Promise<void> {
  const { subnets, ...applied } = JSON.parse(await Deno.readTextFile(`${directory}/history.json`));
  await Deno.writeTextFile(`${directory}/applied.json`, JSON.stringify(applied));
  await Deno.writeTextFile(`${directory}/held.json`, JSON.stringify({ subnets }));
  await Deno.remove(`${directory}/history.json`);
}

Deno.test("routes by next-hop objects of an earlier version become plain ones, and no packet is lost", async () => {
  for (const backend of [VXLAN, HOST_GW]) {
    await withOverlay({ hosts: 3, networkConfig: { ...NETWORK, Backend: backend } }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      await underTraffic([[h1, h2]], async () => {
        await h1.stopAgent();
        // As the earlier version left it: an object whose id is the subnet's address, and a route without a metric.
        for (const peer of [h2, h3]) {
          const [subnet] = peer.share.subnets;
          const id = String(subnet!.address as Ipv4);
          const way = backend === VXLAN
            ? ["via", formatAddress(subnet!.address), "dev", "flannel.1", "onlink"]
            : ["via", formatAddress(peer.underlayAddresses[0]!), "dev", UPLINK];
          await ip(h1, "nexthop", "add", "id", id, ...way, "proto", "76");
          await ip(h1, "route", "add", formatPrefix(subnet!), "nhid", id, "proto", "76");
        }
        const foreign = ["id", "7", "via", "192.0.2.254", "dev", UPLINK, "proto", "zebra"];
        await ip(h1, "nexthop", "add", ...foreign);
        const old = (await overlayRoutes(h1)).filter((line) => !line.includes("nhid"));
        for (const line of old) await ip(h1, "route", "delete", ...line.split(" "));
        h1.startAgent();
        await untilReady(libc, h1);
        await until("see the objects gone", async () => {
          return !(await ip(h1, "nexthop", "show")).includes("proto 76") || undefined;
        });
      });
      const routes = await overlayRoutes(h1);
      assertEquals(routes.filter((line) => line.includes("nhid")), []);
      assertEquals(routes.filter((line) => line.includes("proto 76")).length, 2, routes.join("\n"));
      assert((await ip(h1, "nexthop", "show")).includes("id 7 via 192.0.2.254"), "a foreign object is gone");
      await untilReachable(lab);
    });
  }
});

Deno.test("with another VNI, backend or none the former VTEPs go once the new state stands, others' stay", async () => {
  const networkConfig = { ...NETWORK, ...DUAL, Backend: VXLAN };
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const hosts = hostsOf(lab).slice(0, 2);
    const [h1] = hosts as [LabHost];
    // A VTEP of flannel's kind for another network.
    const foreign = [
      "flannel.77",
      "type",
      "vxlan",
      "id",
      "77",
      "dstport",
      "8477",
      "dev",
      UPLINK,
      "nolearning",
    ];
    await ip(h1, "link", "add", ...foreign);
    await ip(h1, "address", "add", "10.99.1.0/32", "dev", "flannel.77");
    const restartWith = async (backend: Record<string, unknown>) => {
      await Deno.writeTextFile(lab.networkConfigPath, JSON.stringify({ ...networkConfig, Backend: backend }));
      for (const host of hosts) await host.stopAgent();
      for (const host of hosts) host.startAgent();
      for (const host of hosts) await untilReady(libc, host);
    };
    assertEquals(await vtepsOf(h1), ["flannel-v6.1", "flannel.1", "flannel.77"]);
    await restartWith({ ...VXLAN, VNI: 5 });
    await untilVteps(h1, ["flannel-v6.5", "flannel.5", "flannel.77"]);
    await untilReachable(lab);

    await restartWith(HOST_GW);
    await untilVteps(h1, ["flannel.77"]);
    await untilReachable(lab);
    const routes = await overlayRoutes(h1);
    assertEquals(routes.filter((line) => !line.includes(`dev ${UPLINK}`)), []);

    await restartWith({ Type: "alloc" });
    await until("see no route of the overlay", async () => {
      return (await overlayRoutes(h1)).length === 0 || undefined;
    }, () => routes.join("\n"));
    assertEquals(await vtepsOf(h1), ["flannel.77"]);
    assertEquals((await ip(h1, "address", "show", "dev", "flannel.77")).includes("10.99.1.0/32"), true);
  });
});

Deno.test("an agent that is killed amid a change of VNI or backend leaves nothing of either behind", async () => {
  const networkConfig = { ...NETWORK, ...DUAL, Backend: VXLAN };
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    const use = async (backend: Record<string, unknown>) => {
      await Deno.writeTextFile(lab.networkConfigPath, JSON.stringify({ ...networkConfig, Backend: backend }));
    };
    await h1.stopAgent();
    // Killed as soon as it has said this; it may have come further.
    for (
      const [at, event] of ["boot looked up", "agent started", "link changed", "former link deleted"]
        .entries()
    ) {
      await use({ ...VXLAN, VNI: 5 + at });
      const before = (await h1.logLines()).length;
      h1.startAgent();
      await until(`read "${event}"`, async () => {
        return (await h1.logLines()).slice(before).some((line) => line.includes(event)) || undefined;
      });
      await h1.stopAgent("SIGKILL");
    }
    await use(HOST_GW);
    h1.startAgent();
    await untilVteps(h1, []);
    await until("see nothing of the VTEPs in the routes", async () => {
      return (await overlayRoutes(h1)).every((line) => line.includes(`dev ${UPLINK}`)) || undefined;
    });
    await h1.stopAgent("SIGKILL");
    await use(VXLAN);
    h1.startAgent();
    await untilSettled(lab, libc);
    await untilVteps(h1, ["flannel-v6.1", "flannel.1"]);
    assertEquals((await overlayRoutes(h1)).filter((line) => line.includes(`dev ${UPLINK}`)), []);
  });
});

Deno.test("flannel's stale routes of host-gw and DirectRouting go at the first start, later ones stay", async () => {
  for (const backend of [HOST_GW, { Type: "vxlan", DirectRouting: true }]) {
    const networkConfig = { ...NETWORK, ...DUAL, Backend: backend };
    const families = [AF_INET, AF_INET6];
    await withOverlay({ hosts: 3, families: [...families] as never, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      await using ping = await RunningPing.start(h1, h3);
      await h1.stopAgent();
      // As it is when flanneld has run before: its routes without a metric, one of a host that is gone, none of ours.
      await Deno.remove(`${h1.directory}/history.json`);
      const [near4, near6] = h2.underlayAddresses.map(formatAddress) as [string, string];
      const stale = [["-4", "10.244.0.0/24", near4], ["-6", "fd00:10:244::/64", near6]] as const;
      for (const [version, to, via] of stale) {
        await ip(h1, version, "route", "add", to, "via", via, "dev", UPLINK);
      }
      for (const [at, subnet] of h2.share.subnets.entries()) {
        const version = typeof subnet.address === "number" ? "-4" : "-6";
        const via = formatAddress(h2.underlayAddresses[at]!);
        await ip(h1, version, "route", "replace", formatPrefix(subnet), "via", via, "dev", UPLINK);
      }
      h1.startAgent();
      await untilReady(libc, h1);
      let routes: readonly string[] = [];
      await until("see flannel's routes gone", async () => {
        routes = await overlayRoutes(h1);
        return routes.every((line) => line.includes("proto 76")) || undefined;
      }, () => routes.join("\n"));
      await untilReachable(lab);
      // What comes by now is no leftover: it is left alone, also by the next agent.
      for (const [version, to, via] of stale) {
        await ip(h1, version, "route", "add", to, "via", via, "dev", UPLINK);
      }
      await h1.stopAgent();
      await toEarlierHistory(h1);
      h1.startAgent();
      await untilReady(libc, h1);
      const names = (await Array.fromAsync(Deno.readDir(h1.directory))).map(({ name }) => name);
      assertEquals(names.filter((name) => /^(?:applied|held|history)/.test(name)), ["history.json"]);
      const others = (await overlayRoutes(h1)).filter((line) => !line.includes("proto 76"));
      assertEquals(others.length, 2, others.join("\n"));
      await ping.untilMore(20);
      await assertNoneLost([ping]);
    });
  }
});

Deno.test("an allocated subnet's blackhole route is written once", async () => {
  const networkConfig = { ...NETWORK, Backend: { Type: "alloc" } };
  const agentFlags = ["-ip-blackhole-route", "-resync", "1"];
  await withOverlay({ hosts: 1, networkConfig, agentFlags }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilReady(libc, h1);
    const metric = "4294967295";
    await until("see the route", async () => {
      return (await overlayRoutes(h1)).some((line) => line.includes(metric)) || undefined;
    });
    const passes = async () => (await h1.logLines()).filter((line) => line.includes("table changed")).length;
    const before = await passes();
    const nudge = async (n: number) => {
      await ip(h1, "route", "add", `10.244.${n}.0/24`, "dev", "lo", "metric", "9");
      await ip(h1, "route", "delete", `10.244.${n}.0/24`, "dev", "lo", "metric", "9");
    };
    for (let n = 200; n < 210; n++) await nudge(n);
    assertEquals(await passes(), before);
  });
});
