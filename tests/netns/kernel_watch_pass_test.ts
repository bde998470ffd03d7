import { assertEquals, assertGreater, assertGreaterOrEqual } from "@std/assert";
import { Libc } from "../../src/linux/libc.ts";
import { watchKernel } from "../../src/reconcile/kernel_watch.ts";
import { Trigger } from "../../src/loop/trigger.ts";
import { linkIndexOf } from "../double/netns.ts";
import { TestHost } from "../double/test_host.ts";
import { scenarios } from "../scenarios.ts";
import type { NotificationSocket } from "../../src/netlink/notifications.ts";

const DEADLINE_MS = 5000;
/** A buffer of the kernel's smallest size: few notifications fit. */
const SMALL_BUFFER_BYTES = 1;

interface Watch {
  /** Nudges that were not for the underlay. */
  readonly nudges: () => number;
  /** Has the kernel say something of the underlay, and waits until that is heard: then all before it is, too. */
  catchUp(): Promise<void>;
  /** Waits until the underlay is said to have changed. */
  heard(): Promise<void>;
}

/** Watches a host's kernel for the time that `test` takes. */
async function withWatch(
  host: TestHost,
  notifications: NotificationSocket,
  ownPortId: number,
  test: (watch: Watch) => Promise<void>,
): Promise<void> {
  const vtep = await linkIndexOf(host.netns, host.family === 2 ? "flannel.1" : "flannel-v6.1");
  const trigger = new Trigger();
  let nudges = 0;
  let underlayNudges = 0;
  let heard = Promise.withResolvers<void>();
  trigger.nudge = () => void nudges++;
  let mtuBytes = 1400;
  const waitUntilHeard = async () => {
    const late = setTimeout(() => heard.reject(new Error("the underlay was not heard of")), DEADLINE_MS);
    try {
      await heard.promise;
    } finally {
      clearTimeout(late);
    }
  };
  const watch: Watch = {
    nudges: () => nudges - underlayNudges,
    heard: waitUntilHeard,
    async catchUp() {
      heard = Promise.withResolvers();
      await host.netns.ip("link", "set", "eth0", "mtu", String(mtuBytes++));
      await waitUntilHeard();
    },
  };
  const controller = new AbortController();
  const watching = watchKernel({
    notifications,
    trigger,
    linkIndexes: () => [vtep],
    vtepIndexes: () => [vtep],
    networks: host.networks,
    ownPortId,
    underlayLinkIndex: () => host.underlay.linkIndex,
    isCarrier: () => false,
    choiceNudged: () => {},
    underlayNudged: () => {
      underlayNudges++;
      heard.resolve();
    },
  }, { signal: controller.signal });
  try {
    await test(watch);
  } finally {
    controller.abort();
    await watching;
  }
}

for (const [name, family] of [["IPv4", 2], ["IPv6", 10]] as const) {
  const remote = (scenario: string) => scenarios(family).find(({ name }) => name === scenario)!.remote;
  const version = family === 2 ? "-4" : "-6";
  const vtep = family === 2 ? "flannel.1" : "flannel-v6.1";

  for (const [whose, isOwn] of [["its own", true], ["another program's", false]] as const) {
    Deno.test(`watchKernel() hears ${isOwn ? "nothing" : "much"} of routes and neighbours that are ${whose}, ${name}`, async () => {
      using libc = new Libc();
      await using host = await TestHost.open(libc, { family });
      host.reconcile(remote("three peers"));
      await host.netns.ip(version, "route", "flush", "dev", vtep, "proto", "76");
      await host.netns.ip(version, "neigh", "flush", "dev", vtep, "nud", "permanent");
      await using notifications = host.netns.openNotifications(libc);
      const { portId } = host.transport;
      await withWatch(host, notifications, isOwn ? portId : portId + 1, async (watch) => {
        const { planned, failures } = host.reconcile(remote("three peers"));
        assertEquals([planned >= 6, failures], [true, []]);
        await watch.catchUp();
        if (isOwn) assertEquals(watch.nudges(), 0);
        else assertGreaterOrEqual(watch.nudges(), 6);
      });
    });
  }

  // The kernel names nobody as the cause of a change to a VTEP's FDB, or of a neighbour's deletion.
  Deno.test(`watchKernel() asks for one more pass at most behind its own, and that is the end, ${name}`, async () => {
    using libc = new Libc();
    await using host = await TestHost.open(libc, { family });
    host.reconcile(remote("nobody else"));
    await using notifications = host.netns.openNotifications(libc);
    await withWatch(host, notifications, host.transport.portId, async (watch) => {
      for (const scenario of ["three peers", "two peers that swapped subnets", "nobody else"]) {
        assertGreater(host.reconcile(remote(scenario)).planned, 0);
        await watch.catchUp();
        const before = watch.nudges();
        assertEquals(host.reconcile(remote(scenario)).planned, 0);
        await watch.catchUp();
        assertEquals(watch.nudges(), before);
      }
    });
  });
}

Deno.test("watchKernel() nudges when more happened than the socket could hold", async () => {
  using libc = new Libc();
  await using host = await TestHost.open(libc);
  host.reconcile([]);
  await using notifications = host.netns.openNotifications(libc, { bufferBytes: SMALL_BUFFER_BYTES });
  // None of it is of our links, so that only the loss can be what tells.
  await host.netns.run("sh", "-c", "for n in $(seq 1 99); do ip link set lo mtu $((60000 + n)); done");
  await withWatch(host, notifications, host.transport.portId, async (watch) => {
    await watch.heard();
  });
});
