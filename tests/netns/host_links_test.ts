import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BRIDGE, type LabHost, UPLINK } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import {
  agentCommand,
  hostsOf,
  logSince,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

const DUAL = { hosts: 2, families: [AF_INET, AF_INET6] } as const;
const VTEPS = ["flannel.1", "flannel-v6.1"] as const;
/** How many more answers show that nothing is interrupted. */
const A_WHILE = 30;
const WITHOUT_IT = "; the other family goes on without it";

async function untilSysctl(host: LabHost, path: string, value: string): Promise<void> {
  let found = "nothing";
  const read = () => {
    try {
      found = host.netns.readSysctl(path);
    } catch (error) {
      found = String(error);
    }
    return found === value ? true : undefined;
  };
  await until(`see ${path} at ${value}`, read, () => `it is ${found}`);
}

async function readyz(libc: Libc, host: LabHost): Promise<string> {
  return (await httpGet(libc, host.netns, "/readyz"))?.body ?? "nobody listens";
}

/** Waits until the host is ready and notes what is asked for. */
async function untilNoted(libc: Libc, host: LabHost, note: string): Promise<void> {
  let answer = "";
  await until(`see ${host.name} ready, with a note`, async () => {
    answer = await readyz(libc, host);
    return answer.startsWith("flanneld is ready\n") && answer.includes(note) ? true : undefined;
  }, () => answer);
}

/** Waits until the host is ready and has nothing to note. */
async function untilWhole(libc: Libc, host: LabHost): Promise<void> {
  let answer = "";
  await until(`see ${host.name} ready, without a note`, async () => {
    answer = await readyz(libc, host);
    return answer === "flanneld is ready" ? true : undefined;
  }, () => answer);
}

async function addressesOf(host: LabHost, link: string): Promise<string> {
  return (await host.exec("ip", "-br", "address", "show", "dev", link)).stdout;
}

Deno.test("the pods' bridge forwards in both families, and no pod leads the host over it", async (t) => {
  await withOverlay(DUAL, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    const spoil = () => {
      h1.netns.writeSysctl(`net/ipv4/conf/${BRIDGE}/forwarding`, "0");
      h1.netns.writeSysctl(`net/ipv6/conf/${BRIDGE}/forwarding`, "0");
      h1.netns.writeSysctl(`net/ipv6/conf/${BRIDGE}/accept_ra`, "2");
    };
    const untilMended = async () => {
      await untilSysctl(h1, `net/ipv4/conf/${BRIDGE}/forwarding`, "1");
      await untilSysctl(h1, `net/ipv6/conf/${BRIDGE}/forwarding`, "1");
      await untilSysctl(h1, `net/ipv6/conf/${BRIDGE}/accept_ra`, "0");
    };

    await t.step("it is turned off", async () => {
      spoil();
      await untilMended();
      await untilReachable(lab);
    });

    await t.step("it was off when the agent came", async () => {
      await h1.stopAgent();
      spoil();
      h1.startAgent();
      await untilMended();
      await untilReachable(lab);
    });

    await t.step("the bridge is made again, on a host where new links do not forward", async () => {
      h1.netns.writeSysctl("net/ipv4/conf/default/forwarding", "0");
      await ip(h1, "link", "delete", BRIDGE);
      await ip(h1, "link", "add", BRIDGE, "type", "bridge");
      await untilMended();
    });

    await t.step("another bridge is another program's", async () => {
      await ip(h1, "link", "add", "other0", "type", "bridge");
      h1.netns.writeSysctl(`net/ipv4/conf/${BRIDGE}/forwarding`, "0");
      await untilMended();
      assertEquals(h1.netns.readSysctl("net/ipv4/conf/other0/forwarding"), "0");
    });
  });
});

Deno.test("a VTEP that was made a port of a bridge is freed, and it is said whose port it was", async (t) => {
  await withOverlay(DUAL, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await ip(h1, "link", "add", "br9", "type", "bridge");
    await ip(h1, "link", "set", "br9", "up");
    const untilFree = async (vtep: string, firstLine: number) => {
      let found = "";
      await until(`see ${vtep} free`, async () => {
        found = (await h1.exec("ip", "-o", "link", "show", "dev", vtep)).stdout;
        return found !== "" && !found.includes("master") ? true : undefined;
      }, () => found);
      const toldOf = async () =>
        (await logSince(h1, firstLine)).filter(({ action }) => action === `change link ${vtep}`)
          .map(({ found }) => found);
      await until("see it told", async () => (await toldOf()).length > 0 || undefined);
      assertEquals(await toldOf(), ["enslaved to br9"]);
      await untilSettled(lab, libc);
    };

    for (const vtep of VTEPS) {
      await t.step(`${vtep}, while the agent runs`, async () => {
        const { linkIndex } = queryLink(h1.client, vtep)!;
        const before = (await h1.logLines()).length;
        await ip(h1, "link", "set", vtep, "master", "br9");
        await untilFree(vtep, before);
        assertEquals(queryLink(h1.client, vtep)!.linkIndex, linkIndex, "it is the same link");
      });
    }

    await t.step("both, before the agent comes", async () => {
      await h1.stopAgent();
      for (const vtep of VTEPS) await ip(h1, "link", "set", vtep, "master", "br9");
      const before = (await h1.logLines()).length;
      h1.startAgent();
      for (const vtep of VTEPS) await untilFree(vtep, before);
    });

    await t.step("the bridge has what else is on it", async () => {
      await ip(h1, "link", "add", "theirs", "type", "veth", "peer", "name", "theirs-far");
      await ip(h1, "link", "set", "theirs", "master", "br9");
      const before = (await h1.logLines()).length;
      await ip(h1, "link", "set", "flannel.1", "master", "br9");
      await untilFree("flannel.1", before);
      assertStringIncludes((await h1.exec("ip", "-o", "link", "show", "master", "br9")).stdout, "theirs");
    });
  });
});

Deno.test("a VTEP has IPv6 on a host where new links have none", async (t) => {
  await withOverlay(DUAL, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await using ping = await RunningPing.start(h2, h1);
    h1.netns.writeSysctl("net/ipv6/conf/default/disable_ipv6", "1");

    await t.step("the VTEP is made again", async () => {
      await ip(h1, "link", "delete", "flannel-v6.1");
      await until("see its address", async () => {
        return (await addressesOf(h1, "flannel-v6.1")).includes("/128") || undefined;
      });
      await untilSettled(lab, libc);
      assertEquals(h1.netns.readSysctl("net/ipv6/conf/flannel-v6.1/accept_ra"), "0");
    });

    await t.step("it is made before the agent comes, as by an earlier one", async () => {
      await h1.stopAgent();
      h1.netns.writeSysctl("net/ipv6/conf/flannel-v6.1/disable_ipv6", "1");
      h1.startAgent();
      await untilSysctl(h1, "net/ipv6/conf/flannel-v6.1/disable_ipv6", "0");
      await untilSettled(lab, libc);
    });

    await t.step("it is turned off, on the pods' bridge too", async () => {
      h1.netns.writeSysctl(`net/ipv6/conf/${BRIDGE}/disable_ipv6`, "1");
      h1.netns.writeSysctl("net/ipv6/conf/flannel-v6.1/disable_ipv6", "1");
      await untilSysctl(h1, "net/ipv6/conf/flannel-v6.1/disable_ipv6", "0");
      await untilSysctl(h1, `net/ipv6/conf/${BRIDGE}/disable_ipv6`, "0");
      await untilReady(libc, h1);
    });
    assertEquals(h1.netns.readSysctl("net/ipv6/conf/default/disable_ipv6"), "1", "that is not ours");
    await ping.untilMore(A_WHILE);
    await assertNoneLost([ping]);
  });
});

Deno.test("IPv6 is turned off for the whole host: IPv4 goes on, and a note says what to do", async (t) => {
  const off =
    "net.ipv6.conf.eth0.disable_ipv6 is 1, so eth0 has no IPv6 and this host takes part with IPv4 alone; " +
    "run `sysctl -w net.ipv6.conf.eth0.disable_ipv6=0` on the host";
  await withOverlay(DUAL, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await using ping = await RunningPing.start(h2, h1);

    await t.step("while the agent runs", async () => {
      h1.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "1");
      await untilNoted(libc, h1, off);
      await ping.untilMore(A_WHILE);
      assertEquals(
        h1.netns.readSysctl("net/ipv6/conf/flannel-v6.1/disable_ipv6"),
        "1",
        "a person wants it so",
      );
    });

    await t.step("before the agent comes, to a host that has nothing yet", async () => {
      await h1.stopAgent();
      h1.startAgent();
      await untilNoted(libc, h1, off);
      await ping.untilMore(A_WHILE);
    });

    await t.step("it comes back", async () => {
      h1.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "0");
      await ip(h1, "address", "add", "2001:db8::1/64", "dev", UPLINK, "nodad");
      await until("see the VTEP whole", async () => {
        return (await addressesOf(h1, "flannel-v6.1")).includes("/128") || undefined;
      });
      await untilWhole(libc, h1);
    });
    await assertNoneLost([ping]);
  });
});

Deno.test("a host that never had IPv6 takes part with IPv4 alone, and with both when it has it", async () => {
  await withOverlay({ ...DUAL, withAgents: false }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    h1.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "1");
    h1.startAgent();
    await untilNoted(libc, h1, "this host takes part with IPv4 alone");
    assertEquals((await statusOf(libc, h1))?.ready, true);
    assert(queryLink(h1.client, "flannel.1")!.isUp);
    h1.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "0");
    h1.netns.writeSysctl("net/ipv6/conf/default/disable_ipv6", "1");
    await ip(h1, "address", "add", "2001:db8::1/64", "dev", UPLINK, "nodad");
    await until("see its IPv6 VTEP", async () => {
      return (await addressesOf(h1, "flannel-v6.1")).includes("/128") || undefined;
    });
    await untilWhole(libc, h1);
  });
});

Deno.test("an MTU that is too small for IPv6 over VXLAN leaves IPv6 out, and IPv4 goes on", async (t) => {
  const narrow =
    "the MTU of eth0 is 1340, and IPv6 over VXLAN needs 1350 (1280 inside, 70 outside): set it to 1350 or " +
    `more${WITHOUT_IT}`;
  await withOverlay(DUAL, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = hostsOf(lab);
    await using ping = await RunningPing.start(h2, h1);

    await t.step("it is lowered", async () => {
      await ip(h1, "link", "set", UPLINK, "mtu", "1340");
      await untilNoted(libc, h1, narrow);
      assertEquals(queryLink(h1.client, "flannel.1")!.mtuBytes, 1290);
      assertEquals(queryLink(h1.client, "flannel-v6.1")!.mtuBytes, 1430, "what stands is left");
      assertEquals((await h1.waitForSubnets()).mtuBytes, 1290);
      await ping.untilMore(A_WHILE);
    });

    await t.step("it is lowered so far that not even IPv4 leaves room for IPv6 in pods", async () => {
      await ip(h1, "link", "set", UPLINK, "mtu", "1300");
      await untilNoted(libc, h1, "the MTU of eth0 is 1300");
      assertEquals(queryLink(h1.client, "flannel.1")!.mtuBytes, 1250);
      // The link of a pod with an IPv6 address can't be smaller: the plugin would fail.
      assertEquals((await h1.waitForSubnets()).mtuBytes, 1280);
      await ping.untilMore(A_WHILE);
    });

    await t.step("the agent comes to it", async () => {
      await h1.stopAgent();
      h1.startAgent();
      await untilNoted(libc, h1, "the MTU of eth0 is 1300");
      await ping.untilMore(A_WHILE);
    });

    await t.step("it is raised", async () => {
      await ip(h1, "link", "set", UPLINK, "mtu", "1500");
      await untilWhole(libc, h1);
      assertEquals(queryLink(h1.client, "flannel-v6.1")!.mtuBytes, 1430);
      await untilSettled(lab, libc);
    });
    await assertNoneLost([ping]);
  });
});

Deno.test("a host whose MTU is too small for IPv6 from the start is ready with IPv4, and has both later", async () => {
  await withOverlay({ ...DUAL, withAgents: false }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await ip(h1, "link", "set", UPLINK, "mtu", "1340");
    h1.startAgent();
    await untilNoted(libc, h1, "IPv6 over VXLAN needs 1350");
    assertEquals(queryLink(h1.client, "flannel.1")!.mtuBytes, 1290);
    assertEquals(queryLink(h1.client, "flannel-v6.1"), undefined);
    await ip(h1, "link", "set", UPLINK, "mtu", "1350");
    await untilWhole(libc, h1);
    assertEquals(queryLink(h1.client, "flannel-v6.1")!.mtuBytes, 1280);
  });
});

Deno.test("where IPv6 is all there is, an MTU that is too small for it is the reason why the host is not ready", async () => {
  await withOverlay({ hosts: 1, families: [AF_INET6] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await ip(h1, "link", "set", UPLINK, "mtu", "1340");
    let answer = "";
    await until("see the reason", async () => {
      answer = await readyz(libc, h1);
      return answer.startsWith("flanneld is not ready") && answer.includes("IPv6 over VXLAN needs 1350") ||
        undefined;
    }, () => answer);
    assertEquals(queryLink(h1.client, "flannel-v6.1")!.mtuBytes, 1430);
    await ip(h1, "link", "set", UPLINK, "mtu", "1500");
    await untilWhole(libc, h1);
  });
});

Deno.test("a kernel without IPv6 is one family's shortfall, with what that means", async () => {
  // As with ipv6.disable=1: there are no settings of IPv6, and no link has an address.
  const withoutIpv6 = [
    ...["unshare", "--mount", "sh", "-ec"],
    'mount -t tmpfs none /proc/sys/net/ipv6; exec "$@"',
    ...["sh", ...agentCommand],
  ];
  await withOverlay({ ...DUAL, withAgents: false, agentCommand: withoutIpv6 }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    h1.netns.writeSysctl("net/ipv6/conf/all/disable_ipv6", "1");
    h1.startAgent();
    await untilNoted(libc, h1, "this kernel has no IPv6, so no IPv6 packet gets into or out of a pod");
    await untilNoted(libc, h1, `link eth0 has no usable IPv6 address${WITHOUT_IT}`);
    assert(queryLink(h1.client, "flannel.1")!.isUp);
  });
});
