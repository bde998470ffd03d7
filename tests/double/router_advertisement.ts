import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { parseIpv6 } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETHERNET_BYTES = 14;
const IPV6_BYTES = 40;

/** What a router says. */
export interface RouterAdvertisement {
  /** How long it is a default router; 0 for none; 1,800 s if absent. */
  readonly routerSeconds?: number;
  /** A /64 in which hosts give themselves addresses: `2001:db8:5::`; none if absent. */
  readonly prefix?: string;
  /** How long these are valid. */
  readonly validSeconds?: number;
}

/** Ethernet to all nodes, IPv6 from fe80::99 to ff02::1 with hop limit 255, and what RFC 4861 section 4.2 says. */
function frameOf(
  { routerSeconds = 1800, prefix, validSeconds = 3600 }: RouterAdvertisement,
): Uint8Array<ArrayBuffer> {
  const hex = (value: bigint | number, bytes: number) => value.toString(16).padStart(bytes * 2, "0");
  // Type 3, four times 8 bytes, on link and autonomous, valid and preferred lifetimes, 4 bytes of nothing.
  const option = prefix === undefined
    ? ""
    : "0304" + "40" + "c0" + hex(validSeconds, 4).repeat(2) + "00000000" + hex(parseIpv6(prefix), 16);
  // Type 134, code, checksum to come, hop limit 64, no flags, how long it is a default router, no timers.
  const message = "8600" + "0000" + "40" + "00" + hex(routerSeconds, 2) + "00000000" + "00000000" + option;
  return Uint8Array.fromHex(
    "333300000001" + "020000000099" + "86dd" + "60000000" + hex(message.length / 2, 2) + "3a" + "ff" +
      "fe800000000000000000000000000099" + "ff020000000000000000000000000001" + message,
  );
}

/** Sends a router advertisement out of the link whose index is `linkIndex`. */
export function sendRouterAdvertisement(
  libc: Libc,
  netns: { readonly path: string },
  linkIndex: number,
  advertisement: RouterAdvertisement = {},
): void {
  const frame = frameOf(advertisement);
  const view = new DataView(frame.buffer);
  view.setUint16(ETHERNET_BYTES + IPV6_BYTES + 2, checksum(view));
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

/** Whether a host has a default route from a router. */
export async function hasRouterRoute(host: LabHost): Promise<boolean> {
  return (await host.exec("ip", "-6", "route", "show", "default")).stdout.includes("proto ra");
}

/** How long the address that a router has given is still valid, in seconds; `undefined` if there is none. */
export async function validSeconds(host: LabHost, prefix: string): Promise<number | undefined> {
  const { stdout } = await host.exec("ip", "-6", "-j", "address", "show", "dev", UPLINK);
  const [link] = JSON.parse(stdout);
  return link.addr_info.find(({ local }: { local: string }) => local.startsWith(prefix.slice(0, -1)))
    ?.valid_life_time;
}

/** Over both addresses, the length, the protocol and the message (RFC 8200 section 8.1). */
function checksum(view: DataView): number {
  let sum = view.byteLength - ETHERNET_BYTES - IPV6_BYTES + 58;
  for (let at = ETHERNET_BYTES + 8; at < view.byteLength; at += 2) sum += view.getUint16(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
