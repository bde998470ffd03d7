import { assert, assertEquals } from "@std/assert";
import { describeEnd } from "../../src/lab/agent_process.ts";
import { BRIDGE, type LabHost } from "../../src/lab/host.ts";
import { linkIndexOf } from "../../src/lab/wiring.ts";
import { AF_INET, AF_INET6, formatAddress, formatMac } from "../../src/model/address.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import { NotificationSocket } from "../../src/netlink/notifications.ts";
import { LITTLE_ENDIAN } from "../../src/linux/byte_order.ts";
import { encodeLinkDeletion } from "../../src/rtnetlink/link.ts";
import { RTM_DELNEIGH, RTM_NEWNEIGH } from "../../src/rtnetlink/neighbour.ts";
import { RTM_DELLINK, RTM_NEWLINK } from "../../src/rtnetlink/link_header.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { holders, releaseLease } from "../double/overlay_registry.ts";
import {
  hostsOf,
  logSince,
  registryName,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { KernelView, vtepsOf } from "../double/overlay_state.ts";

const BOTH = [AF_INET, AF_INET6] as const;
/** What an agent may take to end; the goal is half of it. */
const END_DEADLINE_MS = 2000;

Deno.test("an agent that is killed and started again under traffic loses no packet", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    const [h1, h2, h3] = hostsOf(lab);
    await untilSettled(lab, libc);
    await using stack = new AsyncDisposableStack();
    const pings: RunningPing[] = [];
    for (const [from, to, family] of [[h1, h2, 0], [h2, h1, 1], [h3, h1, 0]] as const) {
      pings.push(stack.use(await RunningPing.start(from, to, family)));
    }
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      for (const host of [h1, h2]) {
        const end = await host.stopAgent(signal);
        assertEquals(describeEnd(end.status), signal === "SIGKILL" ? "SIGKILL" : "exit code 0");
        await Promise.all(pings.map((ping) => ping.untilMore(20)));
        host.startAgent();
        await untilReady(libc, host);
        await Promise.all(pings.map((ping) => ping.untilMore(50)));
      }
    }
    await assertNoneLost(pings);
  });
});

Deno.test("an agent ends soon after SIGTERM and leaves the data path in place", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const views = lab.hosts.map(({ client }) => new KernelView(client));
    const before = views.map((view) => view.lines());
    for (const host of lab.hosts) {
      const { status, durationMs } = await host.stopAgent("SIGTERM");
      print(`the agent of ${host.name} ended ${durationMs.toFixed(0)} ms after SIGTERM`);
      assertEquals([status.code, status.signal], [0, null]);
      assert(durationMs < END_DEADLINE_MS, `${durationMs} ms`);
    }
    assertEquals(views.map((view) => view.lines()), before);
    await untilReachable(lab);
  });
});

Deno.test("a peer that leaves while the agent is down is gone after its start, one that joins is there", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    const [h1, h2, h3] = hostsOf(lab);
    await untilSettled(lab, libc);
    const view = new KernelView(h1.client);
    const full = view.lines();
    const facts = factsOf(h3);
    for (const fact of facts) assert(full.some((line) => line.includes(fact)), `${fact} is not there`);

    await h1.stopAgent();
    await h3.stopAgent();
    await releaseLease(lab, h3);
    const h4 = await lab.addHost();
    await untilReady(libc, h4);
    assertEquals(view.lines(), full, "nobody touches a host without an agent");

    h1.startAgent();
    await untilReady(libc, h1);
    const after = view.lines();
    for (const fact of facts) {
      assertEquals(after.filter((line) => line.includes(fact)), [], `what is left of ${fact}`);
    }
    for (const fact of factsOf(h4)) assert(after.some((line) => line.includes(fact)), `${fact} is not there`);
    for (const host of [h2, h4]) {
      for (const address of host.pod.addresses) {
        const { code } = await h1.podExec("ping", "-c3", "-i0.02", "-W2", formatAddress(address));
        assertEquals(code, 0, `h1 to ${host.name}`);
      }
    }
    assertEquals(await holders(lab), [h1, h2, h4].map(registryName).sort());
  });
});

Deno.test("a second start on a settled host changes nothing on any host", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilSettled(lab, libc);
    const views = lab.hosts.map(({ client }) => new KernelView(client));
    const before = views.map((view) => view.lines());
    await using stack = new AsyncDisposableStack();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      await h1.stopAgent(signal);
      const firstLine = (await h1.logLines()).length;
      const ears = lab.hosts.map((host) => ({
        host,
        socket: stack.use(libc.inNetns(host.netns.path, () => NotificationSocket.open(libc))),
      }));
      h1.startAgent();
      await untilReady(libc, h1);
      for (const { host, socket } of ears) assertEquals(changesHeard(host, socket), [], host.name);
      const lines = await logSince(h1, firstLine);
      const events = lines.map(({ event }) => event);
      assert(events.includes("agent started"), String(events));
      for (const event of ["table changed", "link changed"]) {
        assert(!events.includes(event), `"${event}" was logged after ${signal}`);
      }
      assert(
        !lines.some(({ code }) => code === "loop-failed" || code === "changes-failed"),
        `failed after ${signal}`,
      );
      assertEquals(views.map((view) => view.lines()), before);
    }
  });
});

Deno.test("a host that comes back without its VTEPs and files gets the MACs and subnets that it had", async () => {
  await withOverlay({ families: BOTH }, async (lab, libc) => {
    const [h1] = hostsOf(lab);
    await untilSettled(lab, libc);
    const view = new KernelView(h1.client);
    const before = view.lines();
    const subnetFile = await Deno.readTextFile(h1.subnetFilePath);
    await h1.stopAgent("SIGKILL");
    for (const { link, linkIndex } of vtepsOf(h1.client)) {
      h1.client.request(`delete ${link.name}`, (writer, sequence) => {
        encodeLinkDeletion(writer, sequence, linkIndex);
      });
    }
    await Deno.remove(h1.subnetFilePath);
    assertEquals(vtepsOf(h1.client), []);

    h1.startAgent();
    await h1.waitForSubnets();
    await untilReady(libc, h1);
    assertEquals(view.lines(), before);
    assertEquals(await Deno.readTextFile(h1.subnetFilePath), subnetFile);
    await untilReachable(lab);
  });
});

/** What the kernel of another host knows a peer by. */
function factsOf(host: LabHost): string[] {
  return [
    ...host.share.subnets.map(({ address }) => `${formatAddress(address)} `),
    ...host.share.subnets.map(({ address, length }) => `${formatAddress(address)}/${length}`),
    ...host.underlayAddresses.map((address) => `dst ${formatAddress(address)} `),
    ...vtepsOf(host.client).map(({ link }) => formatMac(link.mac)),
  ];
}

/**
 * What a socket has heard, as text. Neighbours of links that are not the overlay's come and go with traffic, and the
 * bridge of the pods, which is the lab's, settles in its own time: both are left out.
 */
function changesHeard(host: LabHost, socket: NotificationSocket): string[] {
  const vteps = vtepsOf(host.client).map(({ linkIndex }) => linkIndex);
  const ofPods = [BRIDGE, "veth1"].map((name) => linkIndexOf(host.client, name));
  const heard: string[] = [];
  const buffer = new Uint8Array(64 * 1024);
  const reader = new MessageReader(buffer);
  for (let length = socket.receive(buffer); length !== 0; length = socket.receive(buffer)) {
    assert(length > 0, "notifications were lost");
    reader.reset(length);
    while (reader.next()) {
      const { type, start, view } = reader;
      // Where messages about links and neighbours have the link's index; those about routes have it elsewhere.
      const linkIndex = view.getInt32(start + 4, LITTLE_ENDIAN);
      if ((type === RTM_NEWNEIGH || type === RTM_DELNEIGH) && !vteps.includes(linkIndex)) continue;
      if ((type === RTM_NEWLINK || type === RTM_DELLINK) && ofPods.includes(linkIndex)) continue;
      heard.push(`message of type ${type}, link ${linkIndex}, from port ${reader.portId}`);
    }
  }
  return heard;
}

function print(line: string): void {
  // deno-lint-ignore no-console
  console.log(line);
}
