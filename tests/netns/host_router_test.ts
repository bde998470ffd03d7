import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BRIDGE, type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "../double/overlay_http.ts";
import { agentCommand, hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";
import {
  hasRouterRoute,
  type RouterAdvertisement,
  sendRouterAdvertisement,
  validSeconds,
} from "../double/router_advertisement.ts";

const FORWARDING = "net/ipv6/conf/all/forwarding";
const PREFIX = "2001:db8:5::";
/** Gone while the test runs, unless the router is still listened to. */
const SHORT_SECONDS = 600;
const LONG_SECONDS = 7200;
/** An agent whose /proc/sys is read only, as that of a container without privileges. */
const WITHOUT_SYSCTLS = [
  ...["unshare", "--mount", "sh", "-ec"],
  'mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec "$@"',
  ...["sh", ...agentCommand],
];

/** A host in whose segment a router speaks, and which does not forward yet. */
async function withRouter(
  options: { readonly agentCommand?: readonly string[] },
  run: (world: {
    readonly lab: Lab;
    readonly libc: Libc;
    readonly host: LabHost;
    readonly advertise: (advertisement: RouterAdvertisement) => void;
  }) => Promise<void>,
): Promise<void> {
  const dual = { hosts: 1, families: [AF_INET, AF_INET6], withAgents: false } as const;
  await withOverlay({ ...dual, ...options }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    host.netns.writeSysctl(FORWARDING, "0");
    const port = linkIndexOf(lab.underlay.client, "switch");
    const advertise = (advertisement: RouterAdvertisement) =>
      sendRouterAdvertisement(libc, lab.underlay, port, advertisement);
    await run({ lab, libc, host, advertise });
  });
}

const acceptRa = (link: string) => `net/ipv6/conf/${link}/accept_ra`;

/** Advertises until that is heard. */
async function untilHeard(
  what: string,
  advertise: () => void,
  isHeard: () => Promise<boolean>,
): Promise<void> {
  await until(what, async () => {
    advertise();
    return await isHeard() || undefined;
  });
}

async function prerequisite(libc: Libc, host: LabHost, name: string) {
  const status = JSON.parse((await httpGet(libc, host.netns, "/status"))?.body ?? "{}");
  return status.host?.prerequisites?.find((one: { name: string }) => one.name === name);
}

Deno.test("a default route from a router outlives that the host forwards, and is renewed", async () => {
  await withRouter({}, async ({ libc, host, advertise }) => {
    const hear = (what: string) => untilHeard(what, () => advertise({}), () => hasRouterRoute(host));
    await hear("hear the router");
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(FORWARDING), "1");
    assert(await hasRouterRoute(host), "the route is there");
    await ip(host, "-6", "route", "delete", "default", "proto", "ra");
    await hear("hear the router again");
  });
});

Deno.test("an address from a router that is no default router is renewed on a host that forwards", async () => {
  await withRouter({}, async ({ libc, host, advertise }) => {
    const giveAddress = (seconds: number) =>
      untilHeard(
        `have an address for ${seconds} s`,
        () => advertise({ routerSeconds: 0, prefix: PREFIX, validSeconds: seconds }),
        async () => (await validSeconds(host, PREFIX) ?? 0) > seconds - 60,
      );
    await giveAddress(SHORT_SECONDS);
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(FORWARDING), "1");
    await giveAddress(LONG_SECONDS);
  });
});

Deno.test("a router that speaks only after the host forwards is listened to", async () => {
  await withRouter({}, async ({ libc, host, advertise }) => {
    host.startAgent();
    await untilReady(libc, host);
    await untilHeard(
      "have an address and a default route",
      () => advertise({ prefix: PREFIX }),
      async () => await hasRouterRoute(host) && await validSeconds(host, PREFIX) !== undefined,
    );
  });
});

Deno.test("links are listened over as before, those that come later and after a restart too, and no others", async (t) => {
  await withRouter({}, async ({ libc, host, lab }) => {
    const read = (link: string) => host.netns.readSysctl(acceptRa(link));
    const untilRead = (link: string, value: string) =>
      until(
        `see accept_ra of ${link} at ${value}`,
        () => read(link) === value || undefined,
        () => read(link),
      );
    /** As a plugin makes one for a pod. */
    const addLink = async (name: string) => {
      await ip(host, "link", "add", name, "type", "veth", "peer", "name", `${name}-far`);
    };
    await addLink("pod1");
    await ip(host, "link", "add", BRIDGE, "type", "bridge");
    host.startAgent();
    await untilReady(libc, host);

    await t.step("what leads to pods leads this host nowhere", async () => {
      await untilRead(UPLINK, "2");
      assertEquals([read("pod1"), read(BRIDGE), read("flannel.1"), read("flannel-v6.1")], [
        "1",
        "0",
        "0",
        "0",
      ]);
      await addLink("pod2");
      await ip(host, "link", "set", "pod2", "up");
      // The host's own link is looked at again behind it.
      host.netns.writeSysctl(acceptRa(UPLINK), "1");
      host.netns.writeSysctl("net/ipv4/ip_forward", "0");
      await untilRead(UPLINK, "2");
      assertEquals(read("pod2"), "1");
    });

    await t.step("it is set again to listen unless the host forwards", async () => {
      host.netns.writeSysctl(acceptRa(UPLINK), "1");
      host.netns.writeSysctl("net/ipv4/ip_forward", "0");
      await untilRead(UPLINK, "2");
    });

    await t.step("a person's refusal stands", async () => {
      host.netns.writeSysctl(acceptRa(UPLINK), "0");
      host.netns.writeSysctl("net/ipv4/ip_forward", "0");
      await until(
        "see a pass",
        () => host.netns.readSysctl("net/ipv4/ip_forward") === "1" || undefined,
      );
      assertEquals(read(UPLINK), "0");
    });

    await t.step("the link is made again", async () => {
      await ip(host, "link", "delete", UPLINK);
      await ip(host, "link", "add", UPLINK, "type", "veth", "peer", "name", "again");
      await host.netns.mustExec("ip", "link", "set", "again", "netns", lab.underlay.name);
      await lab.underlay.mustExec("ip", "link", "set", "again", "up", "master", "switch");
      await ip(host, "address", "add", "192.0.2.1/24", "dev", UPLINK);
      await ip(host, "address", "add", "2001:db8::1/64", "dev", UPLINK, "nodad");
      await ip(host, "link", "set", UPLINK, "up");
      await untilRead(UPLINK, "2");
      await untilReady(libc, host);
    });

    await t.step("the next agent knows that the host did not forward at first", async () => {
      await host.stopAgent();
      host.netns.writeSysctl(acceptRa(UPLINK), "1");
      host.startAgent();
      await untilReady(libc, host);
      assertEquals(read(UPLINK), "2");
    });
  });
});

Deno.test("a host that forwarded before the agent came is left as it was", async () => {
  await withRouter({}, async ({ libc, host }) => {
    host.netns.writeSysctl(FORWARDING, "1");
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(acceptRa(UPLINK)), "1");
    // Also when it is looked at again, and by the next agent.
    await host.stopAgent();
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(acceptRa(UPLINK)), "1");
  });
});

Deno.test("a link that forwarded although the host did not is a router's, and stays one", async () => {
  await withRouter({}, async ({ libc, host }) => {
    host.netns.writeSysctl(`net/ipv6/conf/${UPLINK}/forwarding`, "1");
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(FORWARDING), "1");
    assertEquals(host.netns.readSysctl(acceptRa(UPLINK)), "1");
    await host.stopAgent();
    host.startAgent();
    await untilReady(libc, host);
    assertEquals(host.netns.readSysctl(acceptRa(UPLINK)), "1");
  });
});

Deno.test("where sysctls are read only the host is told what to set, the router first, and what it says is enough", async () => {
  await withRouter({ agentCommand: WITHOUT_SYSCTLS }, async ({ libc, host, advertise }) => {
    host.startAgent();
    await untilReady(libc, host);
    const detail = async (name: string) => (await prerequisite(libc, host, name))?.detail;
    assertEquals(
      await detail("net.ipv6.conf.eth0.accept_ra"),
      "net.ipv6.conf.eth0.accept_ra is 1 and can't be set here (EROFS), so this host loses the IPv6 addresses and " +
        "routes that routers give it over eth0 when it forwards; run `sysctl -w net.ipv6.conf.eth0.accept_ra=2` on the host",
    );
    const told = await detail("net.ipv6.conf.all.forwarding");
    assertStringIncludes(
      told,
      "net.ipv6.conf.all.forwarding is 0 and stays so, as this host would listen to no router any more while " +
        "net.ipv6.conf.eth0.accept_ra is 1, so no IPv6 packet gets into or out of a pod; " +
        "run `sysctl -w net.ipv6.conf.eth0.accept_ra=2 net.ipv6.conf.all.forwarding=1` on the host",
    );
    const command = /`(sysctl -w .*)`/.exec(told)![1]!;
    await host.netns.mustExec(...command.split(" ") as [string]);
    await until("see it good", async () => {
      return (await prerequisite(libc, host, "net.ipv6.conf.all.forwarding"))?.verdict === "ok" || undefined;
    });
    await untilHeard("hear the router", () => advertise({}), () => hasRouterRoute(host));
  });
});

Deno.test("where sysctls are read only and new links have no IPv6, IPv4 goes on, and both once it is set", async () => {
  await withRouter({ agentCommand: WITHOUT_SYSCTLS }, async ({ libc, host }) => {
    host.netns.writeSysctl("net/ipv6/conf/default/disable_ipv6", "1");
    host.startAgent(["-resync=1"]);
    let answer = "";
    const untilAnswer = (what: string, isGood: () => boolean) =>
      until(what, async () => {
        answer = (await httpGet(libc, host.netns, "/readyz"))?.body ?? "";
        return answer.startsWith("flanneld is ready") && isGood() || undefined;
      }, () => answer);
    await untilAnswer(
      "see it ready with notes",
      () =>
        answer.includes("flannel-v6.1 can't be given IPv6 here; the other family goes on without it") &&
        answer.includes("run `sysctl -w net.ipv6.conf.flannel-v6/1.disable_ipv6=0` on the host"),
    );
    host.netns.writeSysctl("net/ipv6/conf/flannel-v6.1/disable_ipv6", "0");
    await untilAnswer("see it without them", () => !/given IPv6|disable_ipv6/.test(answer));
    assertStringIncludes(
      (await host.exec("ip", "-br", "address", "show", "dev", "flannel-v6.1")).stdout,
      "/128",
    );
  });
});
