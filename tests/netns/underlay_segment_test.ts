import { assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET, AF_INET6, type Family, formatAddress, formatPrefix } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import {
  hostsOf,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  untilUnready,
  withOverlay,
} from "../double/overlay_rig.ts";

const DUAL = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };
const NETWORK = { Network: "10.244.0.0/16", ...DUAL };
const FAMILIES: readonly Family[] = [AF_INET, AF_INET6];
const BACKENDS = [
  ["host-gw", { Type: "host-gw" }],
  ["DirectRouting", { Type: "vxlan", DirectRouting: true }],
  ["auto", { Type: "auto" }],
] as const;
/** The prefixes that hosts are in, and a router in each. */
const SEGMENTS = ["192.0.2.0/24", "2001:db8::/64"] as const;

/** Runs `ip`, and fails with its words. */
async function ip(host: LabHost, ...args: string[]): Promise<string> {
  return await host.netns.mustExec("ip", ...args);
}

/** The addresses of a host as text. */
function addressesOf(host: LabHost): string[] {
  return host.underlayAddresses.map(formatAddress);
}

/** `DESTINATION dev LINK` of each route with Loden's protocol, sorted. */
async function routesOf(host: LabHost): Promise<string[]> {
  const texts = await Promise.all(
    ["-4", "-6"].map(async (family) => await ip(host, family, "route", "show", "proto", "76")),
  );
  return texts.join("").split("\n").filter((line) => line !== "")
    .map((line) => line.replace(/^(\S+) .*dev (\S+) .*$/, "$1 dev $2")).sort();
}

/** The subnets of `hosts` directly over `link`, or through the VTEPs. */
function over(link: string | undefined, hosts: readonly LabHost[]): string[] {
  return hosts.flatMap(({ share }) =>
    share.subnets.map((subnet) => {
      const vtep = typeof subnet.address === "number" ? "flannel.1" : "flannel-v6.1";
      return `${formatPrefix(subnet)} dev ${link ?? vtep}`;
    })
  ).sort();
}

async function untilRoutes(host: LabHost, wanted: readonly string[]): Promise<void> {
  let found: string[] = [];
  await until(`see ${wanted.join(", ")} on ${host.name}`, async () => {
    found = await routesOf(host);
    return found.join() === wanted.toSorted().join() ? true : undefined;
  }, () => found.join(", "));
}

/** Takes the prefixes of hosts away: addresses stand alone, and a route says who else is on the link. */
async function withoutPrefixes(host: LabHost): Promise<void> {
  for (const [index, address] of addressesOf(host).entries()) {
    const [version, length] = index === 0 ? ["-4", "32"] : ["-6", "128"];
    await ip(host, version!, "address", "flush", "dev", UPLINK, "scope", "global");
    await ip(host, version!, "address", "add", `${address}/${length}`, "dev", UPLINK);
    await ip(host, version!, "route", "add", SEGMENTS[index]!, "dev", UPLINK);
  }
}

/** Starts all agents and makes a pod on each host. */
async function start(lab: Lab): Promise<void> {
  for (const host of lab.hosts) host.startAgent();
  for (const host of lab.hosts) {
    await host.waitForSubnets();
    await host.makePod();
  }
}

for (const [name, backend] of BACKENDS) {
  const overlay = (
    hosts: number,
    run: (lab: Lab, libc: Libc) => Promise<void>,
    underlayFlags?: readonly string[],
  ) =>
    withOverlay({
      hosts,
      families: FAMILIES,
      withAgents: false,
      networkConfig: { ...NETWORK, Backend: backend },
      ...underlayFlags && { underlayFlags },
    }, run);

  Deno.test(`${name} routes directly between addresses without prefix whose link has a route to the others`, async () => {
    await overlay(3, async (lab, libc) => {
      for (const host of lab.hosts) await withoutPrefixes(host);
      await start(lab);
      const [h1, h2, h3] = hostsOf(lab);
      await untilRoutes(h1, over(UPLINK, [h2, h3]));
      await untilRoutes(h2, over(UPLINK, [h1, h3]));
      await untilSettled(lab, libc);
      assertEquals((await statusOf(libc, h1))!.pass.faults, []);
    });
  });

  Deno.test(`${name} routes directly to the peer of an address`, async () => {
    await overlay(2, async (lab, libc) => {
      const [h1, h2] = hostsOf(lab);
      for (const [host, other] of [[h1, h2], [h2, h1]] as const) {
        for (const [index, address] of addressesOf(host).entries()) {
          const version = index === 0 ? "-4" : "-6";
          await ip(host, version, "address", "flush", "dev", UPLINK, "scope", "global");
          await ip(
            host,
            version,
            "address",
            "add",
            address,
            "peer",
            addressesOf(other)[index]!,
            "dev",
            UPLINK,
          );
        }
      }
      await start(lab);
      await untilRoutes(h1, over(UPLINK, [h2]));
      await untilSettled(lab, libc);
    });
  });

  Deno.test(`${name} asks again when a route comes or goes, and no packet is lost on other ways`, async () => {
    await overlay(3, async (lab, libc) => {
      const [h1, h2, h3] = hostsOf(lab);
      await start(lab);
      await untilSettled(lab, libc);
      await untilRoutes(h1, over(UPLINK, [h2, h3]));
      await using stack = new AsyncDisposableStack();
      // Where there is another way it takes over without a gap; with host-gw the way to host 2 is no more.
      const watched = name === "host-gw" ? [h3] : [h2, h3];
      const pings = [];
      for (const to of watched) pings.push(stack.use(await RunningPing.start(h1, to)));
      // Host 3 passes packets on, as a router would.
      const [, , router] = lab.hosts as readonly LabHost[];
      for (const [index, address] of addressesOf(h2).entries()) {
        const [version, length] = index === 0 ? ["-4", "32"] : ["-6", "128"];
        await ip(h1, version!, "route", "add", `${address}/${length}`, "via", addressesOf(router!)[index]!);
      }
      await untilRoutes(h1, [
        ...name === "host-gw" ? [] : over(undefined, [h2]),
        ...over(UPLINK, [h3]),
      ]);
      if (name === "host-gw") {
        const reasons = (await statusOf(libc, h1))!.pass.faults.map(({ reason }) => reason);
        assertEquals(
          reasons,
          addressesOf(h2).map((address, index) =>
            `its underlay address ${address} is not on the segment of ${UPLINK} (it is reached through the ` +
            `gateway ${addressesOf(router!)[index]}), as host-gw needs; use backend vxlan or auto`
          ),
        );
      } else {
        assertEquals((await statusOf(libc, h1))!.pass.faults, []);
        await untilReachable(lab);
      }
      await untilReady(libc, h1);
      for (const [index, address] of addressesOf(h2).entries()) {
        const [version, length] = index === 0 ? ["-4", "32"] : ["-6", "128"];
        await ip(h1, version!, "route", "delete", `${address}/${length}`);
      }
      await untilRoutes(h1, over(UPLINK, [h2, h3]));
      await assertNoneLost(pings);
      await untilReachable(lab);
    });
  });

  Deno.test(`${name} takes no tunnel for a segment`, async () => {
    await overlay(2, async (lab, libc) => {
      const [h1, h2] = hostsOf(lab);
      for (const [index, host] of [h1, h2].entries()) {
        await ip(host, "tuntap", "add", "tun0", "mode", "tun");
        await ip(host, "link", "set", "tun0", "up");
        await ip(host, "address", "add", `10.99.0.${index + 1}/24`, "dev", "tun0");
        await ip(host, "address", "add", `2001:db8:99::${index + 1}/64`, "dev", "tun0", "nodad");
      }
      await start(lab);
      if (name === "host-gw") {
        await untilUnready(
          libc,
          h1,
          "this host reaches none of the other hosts, so that its pods are cut off from theirs: ",
        );
        await untilUnready(libc, h1, "tun0 is a point-to-point link or has NOARP set");
        assertEquals(await routesOf(h1), []);
      } else await untilRoutes(h1, over(undefined, [h2]));
    }, ["-iface=tun0"]);
  });
}

Deno.test("auto encapsulates while its link resolves no neighbours", async () => {
  const networkConfig = { ...NETWORK, Backend: { Type: "auto" } };
  await withOverlay({ hosts: 2, families: FAMILIES, withAgents: false, networkConfig }, async (lab, libc) => {
    const [h1, h2] = hostsOf(lab);
    await start(lab);
    await untilSettled(lab, libc);
    await untilRoutes(h1, over(UPLINK, [h2]));
    await ip(h1, "link", "set", UPLINK, "arp", "off");
    await untilRoutes(h1, over(undefined, [h2]));
    await ip(h1, "link", "set", UPLINK, "arp", "on");
    await untilRoutes(h1, over(UPLINK, [h2]));
    await untilSettled(lab, libc);
  });
});

Deno.test("a host of host-gw that loses its way to all is not ready, and is again when it is back", async () => {
  const networkConfig = { ...NETWORK, Backend: { Type: "host-gw" } };
  await withOverlay({ hosts: 2, families: FAMILIES, withAgents: false, networkConfig }, async (lab, libc) => {
    const [h1, h2] = hostsOf(lab);
    for (const host of lab.hosts) await withoutPrefixes(host);
    await start(lab);
    await untilSettled(lab, libc);
    for (const [index, prefix] of SEGMENTS.entries()) {
      await ip(h1, index === 0 ? "-4" : "-6", "route", "delete", prefix, "dev", UPLINK);
    }
    await untilUnready(libc, h1, "this host reaches none of the other hosts");
    await untilUnready(libc, h1, "(this host has no route to it)");
    await untilReady(libc, h2);
    for (const [index, prefix] of SEGMENTS.entries()) {
      await ip(h1, index === 0 ? "-4" : "-6", "route", "add", prefix, "dev", UPLINK);
    }
    await untilReady(libc, h1);
    await untilRoutes(h1, over(UPLINK, [h2]));
    await untilReachable(lab);
  });
});

Deno.test("a host that has another backend than all others is not ready, and is when one has its own", async () => {
  await withOverlay({ hosts: 3, withAgents: false }, async (lab, libc) => {
    const [h1, h2, h3] = hostsOf(lab);
    for (const host of [h1, h2]) host.startAgent();
    for (const host of [h1, h2]) await untilReady(libc, host);
    h3.startAgent(["-backend=host-gw"]);
    await untilUnready(
      libc,
      h3,
      "2 hosts of backend vxlan, which one of backend host-gw does not reach until all have one backend",
    );
    for (const host of [h1, h2]) await untilReady(libc, host);
    await h2.agent!.stop("SIGTERM", 5000);
    h2.startAgent(["-backend=host-gw"]);
    await untilReady(libc, h3);
    await untilReady(libc, h2);
    await untilUnready(libc, h1, "2 hosts of backend host-gw");
  });
});
