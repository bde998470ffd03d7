import { assertEquals, assertThrows } from "@std/assert";
import { randomMac, requirePrivilege } from "../../src/agent/preflight.ts";
import { formatMac, isUnicastMac } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EINVAL, ENODEV, EPERM } from "../../src/linux/errno.ts";
import { answering } from "../reconcile/answering.ts";
import { RTM_DELLINK } from "../../src/rtnetlink/link_header.ts";

Deno.test("requirePrivilege() says in one line what is missing when the kernel answers EPERM", () => {
  const error = assertThrows(() => requirePrivilege(new NetlinkClient(answering(() => EPERM))), Error);
  assertEquals(
    error.message,
    "Cannot program the network: the kernel answers EPERM; run as root, or give the process CAP_NET_ADMIN",
  );
});

for (const [errno, why] of [[ENODEV, "there is no such link"], [EINVAL, "an old kernel looks at it first"]]) {
  Deno.test(`requirePrivilege() is content with errno ${errno}: ${why}`, () => {
    const transport = answering(() => errno as number);
    requirePrivilege(new NetlinkClient(transport));
    assertEquals(transport.asked, [RTM_DELLINK]);
  });
}

Deno.test("randomMac() is unicast, locally administered, and another each time", () => {
  const macs = Array.from({ length: 1000 }, randomMac);
  for (const mac of macs) {
    assertEquals(isUnicastMac(mac), true, formatMac(mac));
    assertEquals(Math.floor(mac / 2 ** 40) & 0x03, 0x02, formatMac(mac));
  }
  assertEquals(new Set(macs).size, macs.length);
});
