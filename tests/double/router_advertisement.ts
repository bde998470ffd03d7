import type { Libc } from "../../src/netlink/ffi.ts";
import type { TestNetns } from "./netns.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;

/** Ethernet to all nodes, IPv6 from fe80::99 to ff02::1 with hop limit 255, and what RFC 4861 section 4.2 says. */
const FRAME = Uint8Array.fromHex(
  [
    "333300000001" + "020000000099" + "86dd",
    "60000000" + "0010" + "3a" + "ff" + "fe800000000000000000000000000099" +
    "ff020000000000000000000000000001",
    // Type 134, code, checksum to come, hop limit 64, no flags, a router for 1,800 s, no timers.
    "8600" + "0000" + "40" + "00" + "0708" + "00000000" + "00000000",
  ].join(""),
);

/** Sends a router advertisement out of the link whose index is `linkIndex`. */
export function sendRouterAdvertisement(libc: Libc, netns: TestNetns, linkIndex: number): void {
  const frame = new Uint8Array(FRAME);
  const view = new DataView(frame.buffer);
  view.setUint16(14 + 40 + 2, checksum(view));
  const { call } = libc;
  const fd = libc.inNetns(
    netns.path,
    () => libc.checked("open packet socket", call.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0)),
  );
  try {
    // `struct sockaddr_ll` of packet(7).
    const address = new Uint8Array(20);
    new DataView(address.buffer).setUint16(0, AF_PACKET, true);
    new DataView(address.buffer).setInt32(4, linkIndex, true);
    libc.checked("bind packet socket", call.bind(fd, address, address.length));
    libc.checked("send router advertisement", call.send(fd, frame, BigInt(frame.length), 0));
  } finally {
    call.close(fd);
  }
}

/** Over both addresses, the length, the protocol and the message (RFC 8200 section 8.1). */
function checksum(view: DataView): number {
  let sum = 16 + 58;
  for (let at = 14 + 8; at < view.byteLength; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
