import { assert, assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6, formatAddress, formatPrefix } from "../../src/model/address.ts";
import {
  hostsOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { BACKENDS, DUAL, reasonsFor, untilNamed, untilNobodyIsLeftOut } from "../double/overlay_foreign.ts";

/** Another program's routes to a peer's subnet: what stands behind the destination in ip-route(8). */
const FOREIGN: readonly (readonly [name: string, before: readonly string[], after: readonly string[]])[] = [
  ["a static route", [], ["dev", "lo", "proto", "static", "metric", "1"]],
  ["an unreachable route", ["unreachable"], ["metric", "1"]],
  ["a route of the kernel", [], ["dev", "lo", "proto", "kernel", "scope", "link", "metric", "1"]],
];

/** The routes of a host that are not Loden's, in both families, as iproute2 prints them. */
async function foreignRoutes(host: LabHost): Promise<string[]> {
  const texts = await Promise.all(["-4", "-6"].map((version) => ip(host, version, "route", "show")));
  return texts.flatMap((text) => text.split("\n")).map((line) => line.trim())
    .filter((line) => line !== "" && !line.includes("proto 76"));
}

for (const type of BACKENDS) {
  const options = {
    hosts: 3,
    families: [AF_INET, AF_INET6],
    networkConfig: { Network: "10.244.0.0/16", ...DUAL, Backend: { Type: type } },
  } as const;

  for (const [name, before, after] of FOREIGN) {
    Deno.test(`${name} to a peer's subnet is named and stays, there first or later, ${type}`, async () => {
      await withOverlay({ ...options, families: [...options.families] }, async (lab, libc) => {
        await untilSettled(lab, libc);
        const [h1, h2, h3] = hostsOf(lab);
        await using ping = await RunningPing.start(h1, h3);
        const change = async (verb: "add" | "delete") => {
          for (const subnet of h2.share.subnets) {
            const version = typeof subnet.address === "number" ? "-4" : "-6";
            await ip(h1, version, "route", verb, ...before, formatPrefix(subnet), ...after);
          }
        };
        // Later than ours, and then before the agent.
        await change("add");
        const stands = await foreignRoutes(h1);
        await untilNamed(libc, h1, h2, "not ours");
        assertEquals(await foreignRoutes(h1), stands);
        await h1.stopAgent();
        for (const version of ["-4", "-6"]) await ip(h1, version, "route", "flush", "proto", "76");
        h1.startAgent();
        await untilReady(libc, h1);
        await untilNamed(libc, h1, h2, "not ours");
        assertEquals(await foreignRoutes(h1), stands);
        const log = (await h1.logLines()).filter((line) => line.includes("peer left out"));
        assert(log.length > 0, "nothing is said in the log");
        // The agent needs no word that it is gone.
        await change("delete");
        await untilNobodyIsLeftOut(libc, lab);
        await untilReachable(lab);
        // Its own routes were flushed by hand meanwhile: only that the way to the third host is whole counts.
        await ping.untilMore(20);
      });
    });
  }

  Deno.test(`others' routes to peers' subnets give way with -take-foreign-routes, ${type}`, async () => {
    await withOverlay({ ...options, families: [...options.families] }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2, h3] = hostsOf(lab);
      await h1.stopAgent();
      h1.startAgent(["-take-foreign-routes"]);
      await untilReady(libc, h1);
      await using ping = await RunningPing.start(h1, h3);
      for (const subnet of h2.share.subnets) {
        const version = typeof subnet.address === "number" ? "-4" : "-6";
        await ip(h1, version, "route", "add", "unreachable", formatPrefix(subnet), "metric", "1");
      }
      await until("see the routes taken over", async () => {
        return (await foreignRoutes(h1)).every((line) => !line.startsWith("unreachable 10.244")) &&
            (await foreignRoutes(h1)).every((line) => !line.startsWith("unreachable fd00:10:244")) ||
          undefined;
      });
      await untilNobodyIsLeftOut(libc, lab);
      await untilReachable(lab);
      await ping.untilMore(20);
      await assertNoneLost([ping]);
    });
  });
}

Deno.test("a route to a part of a peer's subnet is named, and one behind ours is nobody's business", async () => {
  await withOverlay({ hosts: 2, networkConfig: { Network: "10.244.0.0/16" } }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    const [subnet] = h2.share.subnets;
    const part = formatPrefix({ ...subnet!, length: 25 });
    await ip(h1, "route", "add", formatPrefix(subnet!), "dev", "lo", "metric", "5000");
    await ip(h1, "route", "add", "blackhole", part, "proto", "bird");
    await untilNamed(libc, h1, h2, `blackhole ${part} proto bird, which is not ours, takes a part of`);
    await ip(h1, "route", "delete", "blackhole", part);
    await untilNobodyIsLeftOut(libc, lab);
    await untilReachable(lab);
    assert((await foreignRoutes(h1)).some((line) => line.includes("metric 5000")));
  });
});

Deno.test("a route of a flanneld beside this agent, which leads where ours does, is nobody's fault and stays", async () => {
  const networkConfig = { Network: "10.244.0.0/16", ...DUAL, Backend: { Type: "host-gw" } };
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6], networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await using ping = await RunningPing.start(h1, h2);
    const wanted = h2.share.subnets.map((subnet, at) => {
      const version = typeof subnet.address === "number" ? "-4" : "-6";
      return [version, formatPrefix(subnet), "via", formatAddress(h2.underlayAddresses[at]!), "dev", UPLINK];
    });
    for (const [version, ...route] of wanted) {
      await ip(h1, version!, "route", "replace", ...route, "proto", "boot");
    }
    const stands = await foreignRoutes(h1);
    const [subnet] = h2.share.subnets;
    // A route that is a fault is told behind them.
    await ip(h1, "route", "add", "unreachable", formatPrefix({ ...subnet!, length: 26 }));
    await until("see the fault that is one", async () => {
      return (await reasonsFor(libc, h1, h2)).some((reason) => reason.includes("unreachable")) || undefined;
    });
    assertEquals((await reasonsFor(libc, h1, h2)).length, 1);
    await ip(h1, "route", "delete", "unreachable", formatPrefix({ ...subnet!, length: 26 }));
    await untilNobodyIsLeftOut(libc, lab);
    assertEquals(await foreignRoutes(h1), stands);
    for (const [version, ...route] of wanted) {
      await ip(h1, version!, "route", "delete", ...route, "proto", "boot");
    }
    await until("see ours alone", async () => {
      const text = await ip(h1, "-6", "route", "show", "proto", "76");
      return text.includes(formatPrefix(h2.share.subnets[1]!)) || undefined;
    });
    await untilReachable(lab);
    await ping.untilMore(5);
  });
});
