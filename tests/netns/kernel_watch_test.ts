import { assertEquals } from "@std/assert";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { Libc } from "../../src/linux/libc.ts";
import { watchKernel } from "../../src/reconcile/kernel_watch.ts";
import { Trigger } from "../../src/loop/trigger.ts";
import { randomMac, requirePrivilege } from "../../src/agent/preflight.ts";
import { formatAddress, isUnicastMac, parsePrefix } from "../../src/model/address.ts";
import { observeHostNetwork } from "../../src/overlay/underlay/host_network.ts";
import { createUnderlayLink, linkIndexOf, TestNetns } from "../double/netns.ts";

const DEADLINE_MS = 5000;

/** Counts nudges, and lets a test wait for the next one. */
class CountingTrigger extends Trigger {
  count = 0;
  override nudge(): void {
    this.count++;
    super.nudge();
  }
  async until(count: number): Promise<void> {
    const endsAt = performance.now() + DEADLINE_MS;
    while (this.count < count && performance.now() < endsAt) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    assertEquals(this.count >= count, true, `${this.count} nudges, not ${count}`);
  }
}

const changes: [what: string, command: "ip" | "bridge", args: string[]][] = [
  ["a route", "ip", ["route", "add", "10.244.2.0/24", "dev", "ours"]],
  ["an IPv6 route", "ip", ["-6", "route", "add", "fd00::/64", "dev", "ours"]],
  ["a neighbour", "ip", [
    ...["neigh", "add", "10.244.2.0", "lladdr", "0e:2a:00:00:00:0a"],
    ...["dev", "ours", "nud", "permanent"],
  ]],
  ["an FDB entry", "bridge", ["fdb", "add", "0e:2a:00:00:00:0a", "dev", "ours", "dst", "192.0.2.2"]],
  ["an address", "ip", ["address", "add", "10.244.1.0/32", "dev", "ours"]],
  ["the link's MTU", "ip", ["link", "set", "ours", "mtu", "1400"]],
  ["the link itself", "ip", ["link", "delete", "ours"]],
];

Deno.test("watchKernel() nudges for what others change on our links, and for nothing else", async (t) => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const netns = stack.use(await TestNetns.create());
  const underlay = await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const vtep = ["type", "vxlan", "dev", "eth0", "local", "192.0.2.1", "dstport", "8472"];
  for (const [name, id] of [["ours", "1"], ["theirs", "2"]]) {
    await netns.ip("link", "add", name!, ...vtep, "id", id!);
    await netns.ip("link", "set", name!, "up");
  }
  const ours = await linkIndexOf(netns, "ours");
  const transport = stack.use(netns.openTransport(libc));
  const trigger = new CountingTrigger();
  let underlayNudges = 0;
  let choiceNudges = 0;
  const ways: string[] = [];
  const controller = new AbortController();
  const notifications = stack.use(netns.openNotifications(libc));
  const watching = watchKernel({
    notifications,
    trigger,
    linkIndexes: () => [ours, underlay],
    vtepIndexes: () => [ours],
    networks: [parsePrefix("10.244.0.0/16"), parsePrefix("fd00::/48")],
    underlayLinkIndex: () => underlay,
    ownPortId: transport.portId,
    underlayNudged: () => underlayNudges++,
    choiceNudged: () => choiceNudges++,
    wayChanged: ({ address, length }) => {
      const way = `${formatAddress(address)}/${length}`;
      ways.push(way);
      return way === "198.51.100.0/24";
    },
    isCarrier: () => false,
  }, { signal: controller.signal });
  try {
    await t.step("another program's link, neighbours of the underlay, and routes to elsewhere", async () => {
      await netns.ip("route", "add", "203.0.113.0/24", "dev", "theirs");
      for (const action of ["add", "delete"]) {
        const hops = ["192.0.2.2", "192.0.2.3"].flatMap((via) => ["nexthop", "via", via, "dev", "eth0"]);
        await netns.ip("route", action, "203.0.113.128/25", ...hops);
        await netns.ip("route", action, "10.9.0.0/16", "dev", "ours");
        await netns.ip("route", action, "10.244.9.0/24", "dev", "theirs", "table", "7");
        const lladdr = action === "add" ? ["lladdr", "0e:2a:00:00:00:0a", "nud", "reachable"] : [];
        await netns.ip("neigh", action, "192.0.2.77", "dev", "eth0", ...lladdr);
      }
      await netns.ip("address", "add", "203.0.113.9/32", "dev", "theirs");
      const before = trigger.count;
      // A change that is heard of behind them: so they have been heard of, too.
      await netns.ip("address", "add", "192.0.2.99/32", "dev", "eth0");
      await trigger.until(before + 1);
      // An address of another link is news for the underlay, and for nothing else.
      assertEquals([choiceNudges, trigger.count], [1, underlayNudges]);
    });
    await t.step("a way to peers, which is asked about whatever link it leads over", async () => {
      for (const action of ["add", "delete"]) {
        const before = trigger.count;
        ways.length = 0;
        await netns.ip("route", action, "198.51.100.0/24", "dev", "theirs");
        await trigger.until(before + 1);
        assertEquals(ways, ["198.51.100.0/24"]);
      }
    });
    for (const [what, command, args] of changes) {
      await t.step(what, async () => {
        const before = trigger.count;
        await (command === "ip" ? netns.ip(...args) : netns.bridge(...args));
        await trigger.until(before + 1);
      });
    }
  } finally {
    controller.abort();
    await watching;
  }
});

Deno.test("observeHostNetwork() sees links, addresses, the default route and how an address is reached", async () => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const netns = stack.use(await TestNetns.create());
  const linkIndex = await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const host = observeHostNetwork(new NetlinkClient(stack.use(netns.openTransport(libc))));
  assertEquals(host.links.some(({ name }) => name === "eth0"), true);
  assertEquals(host.addresses.some(({ address }) => address === 0xc0000201), true);
  assertEquals(host.defaultRoutes, [{ family: 2, linkIndex, metric: 0, mtuBytes: 0 }]);
  assertEquals(host.reach?.(0xcb007101 as never)?.linkIndex, linkIndex);
  assertEquals(host.reach?.(1n as never)?.linkIndex, await linkIndexOf(netns, "lo"));
});

Deno.test("the preflight finds privilege here, and changes nothing", async () => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const netns = stack.use(await TestNetns.create());
  const client = new NetlinkClient(stack.use(netns.openTransport(libc)));
  requirePrivilege(client);
  assertEquals((await netns.ipJson("link", "show")).length, 1);
  const mac = randomMac();
  assertEquals([isUnicastMac(mac), Math.floor(mac / 2 ** 40) & 2], [true, 2]);
});
