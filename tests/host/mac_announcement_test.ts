import { assertEquals } from "@std/assert";
import { encodeMacAnnouncement } from "../../src/host/mac_announcement.ts";
import { parseAddress, parseMac } from "../../src/model/address.ts";

/**
 * Heard at the other end of a veth pair after `ip link set eth0 address 02:00:5e:10:00:01`, with `arp_notify` and
 * `ndisc_notify` of eth0 and IPv6 forwarding on; `tests/netns/mac_announcement_test.ts` hears them anew.
 */
const GOLDEN: [address: string, frame: string][] = [
  [
    "192.0.2.1",
    `ffffffffffff 02005e100001 0806
     0001 0800 06 04 0001 02005e100001 c0000201 000000000000 c0000201`,
  ],
  [
    "2001:db8::1",
    `333300000001 02005e100001 86dd
     60000000 0020 3a ff 20010db8000000000000000000000001 ff020000000000000000000000000001
     88 00 1b1a a0000000 20010db8000000000000000000000001 02 01 02005e100001`,
  ],
];

for (const [address, frame] of GOLDEN) {
  Deno.test(`the announcement of ${address} is what Linux sends`, () => {
    const announcement = encodeMacAnnouncement(parseAddress(address), parseMac("02:00:5e:10:00:01"));
    assertEquals(announcement.toHex(), frame.replaceAll(/\s/g, ""));
  });
}
