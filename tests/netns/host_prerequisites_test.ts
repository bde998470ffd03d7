import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Prerequisite, Prerequisites } from "../../src/host/prerequisites.ts";
import type { HostNeeds } from "../../src/host/sysctl_checks.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EOPNOTSUPP, NetlinkError } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { refusing } from "../double/refusing.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { sendRouterAdvertisement } from "../double/router_advertisement.ts";
import { Host } from "./netlink_host.ts";

const NEEDS: HostNeeds = {
  families: [AF_INET],
  ownLinks: [],
  underlayLink: "eth0",
  hasDirectRoutes: false,
  vxlan: "needed",
  hasRules: true,
  hasServices: false,
};
const EROFS = 30;

/** A host whose prerequisites are checked from outside of its namespace. */
class CheckedHost {
  readonly log = new RecordedLog();
  nowMs = 0;
  readonly #prerequisites: Prerequisites;

  constructor(readonly host: Host, libc: Libc = host.libc, client: NetlinkClient = host.client) {
    this.#prerequisites = new Prerequisites({ libc, client, log: this.log, elapsedMs: () => this.nowMs });
  }

  check(needs: Partial<HostNeeds> = {}): readonly Prerequisite[] {
    const { libc, netns } = this.host;
    return libc.inNetns(netns.path, () => this.#prerequisites.check({ ...NEEDS, ...needs }));
  }

  /** `NAME VERDICT` of all that is not ok. */
  faults(needs: Partial<HostNeeds> = {}): string[] {
    return this.check(needs).filter(({ verdict }) => verdict !== "ok")
      .map(({ name, verdict }) => `${name} ${verdict}`);
  }

  detail(name: string, needs: Partial<HostNeeds> = {}): string {
    return this.check(needs).find((found) => found.name === name)!.detail;
  }

  sysctl(path: string): string {
    const { libc, netns } = this.host;
    return libc.inNetns(netns.path, () => libc.readSysctl(`/proc/sys/${path}`));
  }
}

Deno.test("a host that is as it should be is all ok, and nothing is said", async () => {
  await using host = await Host.open();
  await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
  await host.netns.writeSysctl("net/ipv6/conf/all/forwarding", "1");
  const checked = new CheckedHost(host);
  const found = checked.check({ families: [AF_INET, AF_INET6] });
  assertEquals(found.map(({ name, verdict }) => `${name} ${verdict}`), [
    "vxlan ok",
    "nf_tables ok",
    "net.ipv4.ip_forward ok",
    "net.ipv4.conf.eth0.forwarding ok",
    "net.ipv6.conf.all.forwarding ok",
  ]);
  assertEquals(checked.log.lines, []);
  // What was asked for has left no link behind.
  assertEquals((await host.netns.ipJson("link")).map(({ ifname }) => ifname), ["lo", "eth0-p", "eth0"]);
});

Deno.test("forwarding is turned on for both families, and again after it was turned off", async () => {
  await using host = await Host.open();
  const checked = new CheckedHost(host);
  const needs = { families: [AF_INET, AF_INET6] } as const;
  // Before that it is seen to that routers are still listened to.
  const fixed = [
    "net.ipv4.ip_forward fixed",
    "net.ipv6.conf.eth0.accept_ra fixed",
    "net.ipv6.conf.all.forwarding fixed",
  ];
  assertEquals(checked.faults(needs), fixed);
  assertEquals(checked.sysctl("net/ipv4/ip_forward"), "1");
  assertEquals(checked.sysctl("net/ipv6/conf/all/forwarding"), "1");
  // It stays told that the host is right only by us.
  assertEquals(checked.faults(needs), fixed);
  assertEquals(checked.log.lines.length, 3);
  await host.netns.writeSysctl("net/ipv4/ip_forward", "0");
  assertMatch(checked.detail("net.ipv4.ip_forward"), /was 0 and was set to 1, 2 times .*\/etc\/sysctl\.d/);
  assertEquals(checked.sysctl("net/ipv4/ip_forward"), "1");
  assertEquals(
    checked.log.lines.map((line) => line.slice(0, 15)),
    Array(4).fill("info sysctl set"),
  );
});

for (
  const [family, path] of [[AF_INET, "net/ipv4/ip_forward"], [
    AF_INET6,
    "net/ipv6/conf/all/forwarding",
  ]] as const
) {
  Deno.test(`${path} that is turned off again and again is turned on ever more rarely, and that is named`, async () => {
    await using host = await Host.open();
    const checked = new CheckedHost(host);
    const name = path.replaceAll("/", ".");
    const look = () => checked.check({ families: [family] }).find((found) => found.name === name)!;
    look();
    let times = 0;
    for (; times < 60; times++) {
      await host.netns.writeSysctl(path, "0");
      const { isFought } = look();
      if (checked.sysctl(path) === "0") break;
      assertEquals(isFought ?? false, times >= 6, `after ${times}`);
    }
    assertEquals(times, 20);
    const { verdict, detail } = look();
    assertEquals(verdict, "degraded");
    assertMatch(
      detail,
      new RegExp(
        `^another program has changed ${name} 21 times within a minute, .*\\(set to 0\\); repairs are made ever more rarely`,
      ),
    );
    checked.nowMs += 999;
    assertEquals([look().verdict, checked.sysctl(path)], ["degraded", "0"]);
    checked.nowMs += 1;
    assertEquals([look().detail, checked.sysctl(path)], [detail, "1"], "one sentence as long as it lasts");
    await host.netns.writeSysctl(path, "0");
    assertEquals([look().detail, checked.sysctl(path)], [detail, "0"], "left as soon as it is undone");
    checked.nowMs += 60_000;
    const after = look();
    assertEquals([after.verdict, after.isFought, checked.sysctl(path)], ["fixed", undefined, "1"]);
  });
}

Deno.test("links of ours are set, the underlay's is told of and left alone", async () => {
  await using host = await Host.open();
  await host.createVtep();
  const { netns } = host;
  await netns.writeSysctl("net/ipv4/ip_forward", "1");
  for (const link of ["flannel.1", "eth0"]) {
    await netns.writeSysctl(`net/ipv4/conf/${link}/forwarding`, "0");
    await netns.writeSysctl(`net/ipv4/conf/${link}/rp_filter`, "1");
  }
  const checked = new CheckedHost(host);
  const needs = { ownLinks: ["flannel.1"], hasDirectRoutes: true };
  assertEquals(checked.faults(needs), [
    "net.ipv4.conf.flannel/1.forwarding fixed",
    "net.ipv4.conf.flannel/1.rp_filter fixed",
    "net.ipv4.conf.eth0.forwarding degraded",
    "net.ipv4.conf.eth0.rp_filter degraded",
    "net.ipv6.conf.flannel/1.accept_ra fixed",
  ]);
  const values = ["flannel.1", "eth0"].map((link) =>
    ["forwarding", "rp_filter"].map((name) => checked.sysctl(`net/ipv4/conf/${link}/${name}`))
  );
  assertEquals(values, [["1", "2"], ["0", "1"]]);
  assertEquals(checked.sysctl("net/ipv6/conf/flannel.1/accept_ra"), "0");
  assertEquals(
    checked.detail("net.ipv6.conf.flannel/1.accept_ra", needs),
    "net.ipv6.conf.flannel/1.accept_ra was 1 and was set to 0",
  );
  assertEquals(
    checked.detail("net.ipv4.conf.eth0.forwarding", needs),
    "net.ipv4.conf.eth0.forwarding is 0, so IPv4 packets that come in over eth0 get to no pod; " +
      "run `sysctl -w net.ipv4.conf.eth0.forwarding=1` on the host",
  );
  // The command that is told is one.
  const command = /`sysctl -w (.*)`/.exec(checked.detail("net.ipv4.conf.eth0.rp_filter", needs))![1]!;
  assertEquals((await netns.run("sysctl", "-w", command)).code, 0);
  assertEquals(checked.sysctl("net/ipv4/conf/eth0/rp_filter"), "2");
});

Deno.test("strict reverse path filtering for all links is made loose for ours alone", async () => {
  await using host = await Host.open();
  await host.createVtep();
  await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
  await host.netns.writeSysctl("net/ipv4/conf/all/rp_filter", "1");
  const checked = new CheckedHost(host);
  const needs = { ownLinks: ["flannel.1"], hasDirectRoutes: true };
  assertEquals(checked.faults(needs).filter((fault) => fault.includes("rp_filter")), [
    "net.ipv4.conf.flannel/1.rp_filter fixed",
    "net.ipv4.conf.eth0.rp_filter degraded",
  ]);
  assertEquals(checked.sysctl("net/ipv4/conf/all/rp_filter"), "1");
  assertEquals(checked.sysctl("net/ipv4/conf/flannel.1/rp_filter"), "2");
  assertMatch(
    checked.detail("net.ipv4.conf.eth0.rp_filter", needs),
    /^net\.ipv4\.conf\.eth0\.rp_filter is 1 by net\.ipv4\.conf\.all\.rp_filter, so /,
  );
});

Deno.test("a link that has gone is no fault", async () => {
  await using host = await Host.open();
  await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
  const needs = { ownLinks: ["flannel.1"], underlayLink: "gone0", hasDirectRoutes: true };
  assertEquals(new CheckedHost(host).faults(needs), []);
});

Deno.test("a default route from router advertisements outlives that the host forwards", async () => {
  await using host = await Host.open();
  const { netns } = host;
  const hasDefault = async () => (await netns.ip("-6", "route", "show", "default")).includes("proto ra");
  await netns.ip("-6", "route", "del", "default");
  const advertise = () =>
    waitUntil(
      "hear the router",
      async () => {
        sendRouterAdvertisement(host.libc, netns, await linkIndexOf(host, "eth0-p"));
        return await hasDefault() || undefined;
      },
      { deadlineMs: 10_000, signal: new AbortController().signal },
    );
  await advertise();
  const checked = new CheckedHost(host);
  const needs = { families: [AF_INET6], underlayLink: "other0" } as const;
  assertEquals(checked.faults(needs), [
    "net.ipv6.conf.eth0.accept_ra fixed",
    "net.ipv6.conf.all.forwarding fixed",
  ]);
  assert(await hasDefault(), "the route is there");
  assertEquals(checked.sysctl("net/ipv6/conf/eth0/accept_ra"), "2");
  // It also comes back: the host goes on listening.
  await netns.ip("-6", "route", "del", "default");
  await advertise();

  // What it is good for: without it the kernel takes the route away.
  await netns.writeSysctl("net/ipv6/conf/all/forwarding", "0");
  await netns.writeSysctl("net/ipv6/conf/eth0/accept_ra", "1");
  await netns.writeSysctl("net/ipv6/conf/all/forwarding", "1");
  assert(!await hasDefault(), "the kernel has kept the route");
});

async function linkIndexOf(host: Host, name: string): Promise<number> {
  const [link] = await host.netns.ipJson("link", "show", "dev", name);
  return link!.ifindex as number;
}

Deno.test("a read-only /proc/sys degrades in a sentence", async () => {
  await using host = await Host.open();
  using libc = new class extends Libc {
    override writeSysctl(path: string): void {
      throw new NetlinkError(`write ${path}`, EROFS);
    }
  }();
  const checked = new CheckedHost(host, libc);
  assertEquals(checked.faults(), ["net.ipv4.ip_forward degraded", "net.ipv4.conf.eth0.forwarding degraded"]);
  assertEquals(
    checked.detail("net.ipv4.ip_forward"),
    "net.ipv4.ip_forward is 0 and can't be set here (EROFS), so no IPv4 packet gets into or out of a pod; " +
      "run `sysctl -w net.ipv4.ip_forward=1` on the host",
  );
  await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
  assertEquals(checked.faults(), []);
  assertEquals(checked.log.lines, []);
});

const withoutVxlan: [vxlan: HostNeeds["vxlan"], ownLinks: string[], faults: string[]][] = [
  ["needed", [], ["vxlan fatal"]],
  ["useful", [], ["vxlan degraded"]],
  ["unused", [], []],
  ["needed", ["flannel.1"], []],
];

for (const [vxlan, ownLinks, faults] of withoutVxlan) {
  Deno.test(`a kernel without VXLAN, ${vxlan}, with ${ownLinks.length} VTEPs: ${faults[0] ?? "no fault"}`, async () => {
    await using host = await Host.open();
    await host.netns.writeSysctl("net/ipv4/ip_forward", "1");
    const client = new NetlinkClient(refusing(host.transport, 0, EOPNOTSUPP));
    assertEquals(new CheckedHost(host, host.libc, client).faults({ vxlan, ownLinks }), faults);
  });
}

Deno.test("EOPNOTSUPP is what the kernel says of a kind of link that it does not have", async () => {
  await using host = await Host.open();
  const made = await host.netns.run("ip", "link", "add", "x", "type", "no-such-kind");
  assertMatch(made.stderr, /Unknown device type|not supported/);
});

Deno.test("bridged packets that pass the rules by matter where there are Services", async () => {
  await using host = await Host.open();
  const checked = new CheckedHost(host);
  const families = [AF_INET, AF_INET6] as const;
  checked.check({ families });
  const ofBridge = (needs: Partial<HostNeeds>) =>
    checked.faults({ families, ...needs }).filter((fault) => fault.includes("bridge"));
  await host.netns.writeSysctl("net/bridge/bridge-nf-call-iptables", "0");
  assertEquals(ofBridge({}), []);
  assertEquals(ofBridge({ hasServices: true }), ["net.bridge.bridge-nf-call-iptables degraded"]);
  assertEquals(checked.sysctl("net/bridge/bridge-nf-call-iptables"), "0");
});

Deno.test("a kernel without the module br_netfilter is degraded where there are Services, never more", async () => {
  await using host = await Host.open();
  using libc = new class extends Libc {
    override readSysctl(path: string): string {
      return super.readSysctl(path.replace("/net/bridge/", "/net/no-bridge/"));
    }
  }();
  const checked = new CheckedHost(host, libc);
  checked.check();
  assertEquals(checked.faults().filter((fault) => !fault.endsWith("fixed")), []);
  assertMatch(
    checked.detail("net.bridge.bridge-nf-call-iptables", { hasServices: true }),
    /^the module br_netfilter is not loaded, so a pod that calls an IPv4 Service/,
  );
});
