import { assert, assertEquals, assertLess, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { ENOENT, NetlinkError } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { MessageReader } from "../../src/netlink/message.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { NotificationSocket } from "../../src/netlink/notifications.ts";
import { TestNetns } from "../double/netns.ts";
import { Host } from "./netlink_host.ts";

/** What a notification must come within; generous, as machines are shared. */
const DEADLINE_MS = 5000;

/** Message types that wait to be read, with `+7` behind FDB entries'; `lost` where some were dropped. */
function read(socket: NotificationSocket): string[] {
  const buffer = new Uint8Array(64 * 1024);
  const reader = new MessageReader(buffer);
  const types: string[] = [];
  for (;;) {
    const length = socket.receive(buffer);
    if (length === 0) return types;
    if (length < 0) {
      types.push("lost");
      continue;
    }
    reader.reset(length);
    while (reader.next()) {
      const isFdb = reader.type >= 28 && reader.type <= 29 && buffer[reader.start] === 7;
      types.push(`${reader.type}${isFdb ? "+7" : ""}`);
    }
  }
}

const changes: [command: string, type: string, what: string][] = [
  ["ip link set eth0 mtu 1400", "16", "RTM_NEWLINK"],
  ["ip link add br0 type bridge", "16", "RTM_NEWLINK"],
  ["ip link delete br0", "17", "RTM_DELLINK"],
  ["ip address add 192.0.2.9/24 dev eth0", "20", "RTM_NEWADDR"],
  ["ip address del 192.0.2.9/24 dev eth0", "21", "RTM_DELADDR"],
  ["ip address add 2001:db8::9/64 dev eth0 nodad", "20", "RTM_NEWADDR"],
  ["ip route add 10.244.2.0/24 via 192.0.2.7", "24", "RTM_NEWROUTE"],
  ["ip route del 10.244.2.0/24", "25", "RTM_DELROUTE"],
  ["ip -6 route add fd00::/64 via 2001:db8::7", "24", "RTM_NEWROUTE"],
  ["ip -6 route del fd00::/64", "25", "RTM_DELROUTE"],
  ["ip neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev eth0", "28", "RTM_NEWNEIGH"],
  ["ip neigh del 192.0.2.8 dev eth0", "29", "RTM_DELNEIGH"],
  ["bridge fdb add 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.7", "28+7", "RTM_NEWNEIGH of AF_BRIDGE"],
  ["bridge fdb del 0e:2a:00:00:00:02 dev flannel.1 dst 192.0.2.7", "29+7", "RTM_DELNEIGH of AF_BRIDGE"],
];

Deno.test("a notification comes for every kind of change", async (test) => {
  await using host = await Host.open();
  await host.createVtep();
  await using socket = host.netns.openNotifications(host.libc);
  for (const [command, type, what] of changes) {
    await test.step(`\`${command}\` says ${what}`, async () => {
      const [program, ...args] = command.split(" ");
      await (program === "ip" ? host.netns.ip(...args) : host.netns.bridge(...args));
      const signal = AbortSignal.timeout(DEADLINE_MS);
      const heard: string[] = [];
      while (!heard.includes(type)) {
        await socket.wait({ signal });
        heard.push(...read(socket));
      }
    });
  }
});

/** Waits for what a test did before to fall silent. */
async function settle(socket: NotificationSocket): Promise<void> {
  do {
    await new Promise((resolve) => setTimeout(resolve, 20));
  } while (read(socket).length > 0);
}

Deno.test("wait() ends soon after an abort, with its reason, and the next wait waits again", async () => {
  await using netns = await TestNetns.create();
  using libc = new Libc();
  await using socket = netns.openNotifications(libc);
  await settle(socket);
  for (let times = 0; times < 5; times++) {
    const stop = new AbortController();
    const reason = new Error("enough");
    let abortedAt = 0;
    setTimeout(() => {
      abortedAt = performance.now();
      stop.abort(reason);
    }, 30);
    const startedAt = performance.now();
    const thrown = await assertRejects(() => socket.wait({ signal: stop.signal }), Error);
    assertEquals(thrown, reason);
    assertNotEquals(
      abortedAt,
      0,
      `wait ${times} ended ${performance.now() - startedAt} ms in, before the abort`,
    );
    assertLess(performance.now() - abortedAt, 100);
  }
  const already = AbortSignal.abort(new Error("before"));
  await assertRejects(() => socket.wait({ signal: already }), Error, "before");
  // An abort after the wait has ended must not end the next one.
  const late = new AbortController();
  await netns.ip("link", "add", "br0", "type", "bridge");
  await socket.wait({ signal: late.signal });
  await settle(socket);
  late.abort();
  const startedAt = performance.now();
  await assertRejects(() => socket.wait({ signal: AbortSignal.timeout(30) }), DOMException);
  assert(performance.now() - startedAt > 20);
});

Deno.test("a notification socket that is disposed ends its wait", async () => {
  await using netns = await TestNetns.create();
  using libc = new Libc();
  let waiting: Promise<void>;
  {
    await using socket = netns.openNotifications(libc);
    await settle(socket);
    waiting = socket.wait({ signal: new AbortController().signal });
  }
  await waiting;
});

Deno.test("receive() says -1 when notifications were lost, and goes on", async () => {
  await using host = await Host.open();
  await using socket = host.netns.openNotifications(host.libc, { bufferBytes: 4096 });
  await settle(socket);
  for (let index = 0; index < 40; index++) {
    await host.netns.ip("route", "add", `10.9.${index}.0/24`, "via", "192.0.2.7");
  }
  const heard = read(socket);
  assert(heard.includes("lost"), `heard ${heard}`);
  await host.netns.ip("route", "del", "10.9.0.0/24");
  await socket.wait({ signal: AbortSignal.timeout(DEADLINE_MS) });
  assertEquals(read(socket), ["25"]);
});

function currentNetns(): string {
  return Deno.readLinkSync("/proc/thread-self/ns/net");
}

Deno.test("inNetns() runs its action elsewhere and returns home, also when the action throws", async () => {
  await using netns = await TestNetns.create();
  using libc = new Libc();
  const home = currentNetns();
  assertNotEquals(libc.inNetns(netns.path, currentNetns), home);
  assertEquals(currentNetns(), home);
  assertThrows(
    () =>
      libc.inNetns(netns.path, () => {
        throw new RangeError("inside");
      }),
    RangeError,
    "inside",
  );
  assertEquals(currentNetns(), home);
  const missing = `${netns.path}-missing`;
  const error = assertThrows(() => libc.inNetns(missing, currentNetns), NetlinkError);
  assertEquals({ errno: error.errno, message: error.message }, {
    errno: ENOENT,
    message: `Cannot enter ${missing}: ENOENT`,
  });
  assertThrows(() => libc.inNetns("/proc/self/status", currentNetns), NetlinkError, "EINVAL");
  assertEquals(currentNetns(), home);
});

function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("sockets, namespaces and sysctls give back every descriptor", async () => {
  await using netns = await TestNetns.create();
  using libc = new Libc();
  const before = openDescriptors();
  for (let times = 0; times < 20; times++) {
    using transport = netns.openTransport(libc);
    assertNotEquals(transport.portId, 0);
    await using socket = netns.openNotifications(libc);
    const stop = new AbortController();
    const waiting = socket.wait({ signal: stop.signal });
    stop.abort();
    await assertRejects(() => waiting, DOMException);
    assertThrows(() => libc.inNetns(`${netns.path}-missing`, () => NetlinkSocket.open(libc)), NetlinkError);
    assertThrows(() => libc.readSysctl("/proc/sys/net/missing"), NetlinkError, "ENOENT");
    libc.inNetns(netns.path, () => libc.writeSysctl("/proc/sys/net/ipv4/ip_forward", "1"));
    assertEquals(libc.inNetns(netns.path, () => libc.readSysctl("/proc/sys/net/ipv4/ip_forward")), "1");
    assertThrows(
      () => libc.inNetns(netns.path, () => libc.writeSysctl("/proc/sys/net/ipv4/ip_forward", "x")),
      NetlinkError,
      "EINVAL",
    );
  }
  assertEquals(openDescriptors(), before);
});
