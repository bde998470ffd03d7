import type { Mac } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EPERM, isErrno } from "../linux/errno.ts";
import { encodeLinkDeletion } from "../rtnetlink/link.ts";

/** A link index that no kernel gives. */
const NO_LINK = 0x7fff_ffff;

/**
 * Checks that this process may program the network, before anything is made.
 *
 * The kernel looks at the privilege first, so a request that could never be carried out tells.
 *
 * @throws {Error} If it may not.
 */
export function requirePrivilege(client: NetlinkClient): void {
  try {
    client.request("delete a link", (writer, sequence) => encodeLinkDeletion(writer, sequence, NO_LINK));
  } catch (error) {
    if (!isErrno(error, EPERM)) return;
    throw new Error(
      "Cannot program the network: the kernel answers EPERM; run as root, or give the process CAP_NET_ADMIN",
    );
  }
}

/** A random MAC, unicast and locally administered (IEEE 802 section 8.4). */
export function randomMac(): Mac {
  const bytes = crypto.getRandomValues(new Uint8Array(6));
  bytes[0] = bytes[0]! & 0xfe | 0x02;
  return bytes.reduce((mac, byte) => mac * 256 + byte, 0) as Mac;
}
