import { assertEquals } from "@std/assert";
import { encodeMacAnnouncement } from "../../src/host/mac_announcement.ts";
import { parseAddress, parseMac } from "../../src/model/address.ts";
import { Libc } from "../../src/linux/libc.ts";
import { PacketSocket } from "../../src/linux/packet_socket.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { until } from "../double/overlay_rig.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";

const MAC = "02:00:5e:10:00:01";
const ADDRESSES = ["192.0.2.1", "2001:db8::1"];

/** Waits until `socket` has heard each of `frames`. */
async function untilHeard(socket: NetnsSocket, frames: readonly string[]): Promise<void> {
  const missing = new Set(frames);
  await until("hear each announcement", () => {
    for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
      missing.delete(frame.toHex());
    }
    return missing.size === 0 ? true : undefined;
  }, () => `${[...missing].join(", ")} not heard`);
}

/** A namespace in which all that `eth0` sends is heard by the socket. */
async function segment(libc: Libc, stack: AsyncDisposableStack) {
  const netns = stack.use(await TestNetns.create());
  await netns.writeSysctl("net/ipv6/conf/all/forwarding", "1");
  const linkIndex = await createUnderlayLink(netns, {
    name: "eth0",
    address4: "192.0.2.1/24",
    address6: "2001:db8::1/64",
  });
  const [peer] = await netns.ipJson("link", "show", "dev", "eth0-p");
  return { netns, linkIndex, socket: stack.use(NetnsSocket.packets(libc, netns, Number(peer!["ifindex"]))) };
}

const announcements = () =>
  ADDRESSES.map((address) => encodeMacAnnouncement(parseAddress(address), parseMac(MAC)).toHex());

Deno.test("an announcement is, byte for byte, what Linux itself sends of a new MAC", async () => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, socket } = await segment(libc, stack);
  await netns.writeSysctl("net/ipv4/conf/eth0/arp_notify", "1");
  await netns.writeSysctl("net/ipv6/conf/eth0/ndisc_notify", "1");
  await netns.ip("link", "set", "eth0", "address", MAC);
  await untilHeard(socket, announcements());
});

Deno.test("a packet socket sends whole frames over its link", async () => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, linkIndex, socket } = await segment(libc, stack);
  using sender = libc.inNetns(netns.path, () => PacketSocket.open(libc, linkIndex));
  for (const frame of announcements()) sender.send(Uint8Array.fromHex(frame));
  await untilHeard(socket, announcements());
});

Deno.test("a packet socket says that its link is gone, or down", async () => {
  using libc = new Libc();
  await using stack = new AsyncDisposableStack();
  const { netns, linkIndex } = await segment(libc, stack);
  using sender = libc.inNetns(netns.path, () => PacketSocket.open(libc, linkIndex));
  const said = (run: () => void) => {
    try {
      run();
    } catch (error) {
      return (error as Error).message;
    }
  };
  await netns.ip("link", "set", "eth0", "down");
  const frame = Uint8Array.fromHex(announcements()[0]!);
  const down = said(() => sender.send(frame));
  await netns.ip("link", "delete", "eth0");
  const gone = said(() => sender.send(frame));
  const unknown = said(() => libc.inNetns(netns.path, () => PacketSocket.open(libc, linkIndex)));
  assertEquals([down, gone, unknown], [
    "Cannot send a frame: ENETDOWN",
    "Cannot send a frame: ENXIO",
    "Cannot bind packet socket: ENODEV",
  ]);
});
