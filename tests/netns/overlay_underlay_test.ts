import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { defaultNetworkConfig } from "../../src/lab/plan.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { plugIn } from "../double/overlay_card.ts";
import { httpGet } from "../double/overlay_http.ts";
import { RunningPing } from "../double/overlay_ping.ts";
import { hostsOf, until, untilReachable, untilSettled, withOverlay } from "../double/overlay_rig.ts";

const UPLINK = "eth0";
/** By itself a kernel asks again for a neighbour that it has used after more than this. */
const LEARNT_MS = 5000;

/** Runs ip(8) on a host. */
function ip(host: LabHost, ...args: string[]): Promise<string> {
  return host.netns.mustExec("ip", ...args);
}

/** Waits until `read` gives `wanted`. */
async function untilIs<T>(action: string, read: () => T | Promise<T>, wanted: T): Promise<void> {
  let last: T | undefined;
  await until(action, async () => (last = await read()) === wanted ? true : undefined, () => `it is ${last}`);
}

/** What `/readyz` says. */
async function readyz(libc: Libc, host: LabHost): Promise<string> {
  return (await httpGet(libc, host.netns, "/readyz"))?.body ?? "nobody listens";
}

/** Where `host` sends what is for the MAC of `peer`'s VTEP. */
async function destination(host: LabHost, peer: LabHost, vtep: string): Promise<string | undefined> {
  const entries = JSON.parse(await host.netns.mustExec("bridge", "-j", "fdb", "show", "dev", vtep));
  const link = JSON.parse(await ip(peer, "-j", "link", "show", "dev", vtep))[0];
  return entries.find(({ mac }: { mac: string }) => mac === link.address)?.dst;
}

const mtuOf = (host: LabHost, name: string) => queryLink(host.client, name)?.mtuBytes;

Deno.test("the overlay follows what becomes of the underlay, each family by itself", async (t) => {
  await withOverlay({ hosts: 2, families: [AF_INET, AF_INET6] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);

    await t.step("another MTU is the overlay's at once, and the next pod's", async () => {
      await ip(h1, "link", "set", UPLINK, "mtu", "1400");
      await untilIs("see flannel.1 with another MTU", () => mtuOf(h1, "flannel.1"), 1350);
      await untilIs("see flannel-v6.1 with another MTU", () => mtuOf(h1, "flannel-v6.1"), 1330);
      await untilIs("see it in the subnet file", async () => (await h1.waitForSubnets()).mtuBytes, 1330);
      await ip(h1, "link", "set", UPLINK, "mtu", "1500");
      await untilIs("see the first MTU again", () => mtuOf(h1, "flannel-v6.1"), 1430);
    });

    await t.step("another address is published, and the peers send there", async () => {
      await ip(h1, "address", "replace", "192.0.2.101/24", "dev", UPLINK);
      await ip(h1, "address", "delete", "192.0.2.1/24", "dev", UPLINK);
      await ip(h1, "address", "replace", "192.0.2.101/24", "dev", UPLINK);
      await untilIs("see it at the peer", () => destination(h2, h1, "flannel.1"), "192.0.2.101");
      await untilReachable(lab);
    });

    await t.step(
      "IPv6 loses its address, and IPv4 goes on without a loss and is still followed",
      async () => {
        await using ping = await RunningPing.start(h2, h1);
        await ip(h1, "-6", "address", "delete", "2001:db8::1/64", "dev", UPLINK);
        const note = "link eth0 has lost 2001:db8::1; the other family goes on without it";
        await until(
          "see the note",
          async () => (await readyz(libc, h1)).includes(note) ? true : undefined,
          () => note,
        );
        assertStringIncludes(await readyz(libc, h1), "flanneld is ready\n");
        await ping.untilMore(20);
        assertEquals((await ping.stop()).lost, []);
        await ip(h1, "address", "replace", "192.0.2.1/24", "dev", UPLINK);
        await ip(h1, "address", "delete", "192.0.2.101/24", "dev", UPLINK);
        await ip(h1, "address", "replace", "192.0.2.1/24", "dev", UPLINK);
        await untilIs("see the address at the peer", () => destination(h2, h1, "flannel.1"), "192.0.2.1");
        await ip(h1, "-6", "address", "add", "2001:db8::1/64", "dev", UPLINK);
        await untilIs("see no note", () => readyz(libc, h1), "flanneld is ready");
        await untilReachable(lab);
      },
    );

    await t.step("the network card is taken out, which is said, and another one put in", async () => {
      const before = linkIndexOf(h1.client, UPLINK);
      await ip(h1, "link", "delete", UPLINK);
      const reason = "Cannot choose the underlay link: -iface eth0: no link has that name";
      let answer = "";
      await until("see the reason", async () => {
        answer = await readyz(libc, h1);
        return answer.startsWith(`flanneld is not ready yet\n${reason}`) ? true : undefined;
      }, () => answer);
      plugIn(lab, libc, h1);
      assertEquals(linkIndexOf(h1.client, UPLINK) === before, false);
      await untilSettled(lab, libc);
    });

    await t.step("a link bounce is whole again", async () => {
      await ip(h1, "link", "set", UPLINK, "down");
      await ip(h1, "link", "set", UPLINK, "up");
      // The kernel keeps IPv4 addresses only.
      await ip(h1, "-6", "address", "replace", "2001:db8::1/64", "dev", UPLINK, "nodad");
      await untilSettled(lab, libc);
    });
  });
});

Deno.test("peers without encapsulation learn the MAC of another network card", async () => {
  const families = [AF_INET, AF_INET6] as const;
  const networkConfig = { ...defaultNetworkConfig(families), Backend: { Type: "host-gw" } };
  await withOverlay({ hosts: 2, families, networkConfig }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    const before = queryLink(h1.client, UPLINK)!.mac;
    await ip(h1, "link", "delete", UPLINK);
    plugIn(lab, libc, h1);
    assertEquals(queryLink(h1.client, UPLINK)!.mac === before, false);
    const startedMs = performance.now();
    await untilSettled(lab, libc);
    const tookMs = performance.now() - startedMs;
    assert(tookMs < LEARNT_MS, `${tookMs} ms`);
  });
});
