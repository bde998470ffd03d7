import { AF_INET, familyOf } from "../model/address.ts";
import type { VxlanLink } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { dumpLinks, queryLink } from "../rtnetlink/link.ts";

/**
 * Says who has the UDP port of a VTEP that the kernel would not set up because of that, and what to do.
 *
 * @param owner Says who has a UDP port, as a phrase.
 * @returns `undefined` where the link is no VTEP.
 * @throws {NetlinkError} If the kernel can't be read.
 */
export function sayWhoHasPort(
  client: NetlinkClient,
  name: string,
  owner: (port: number) => string,
): string | undefined {
  const port = queryLink(client, name)?.vxlan?.port;
  if (port === undefined) return undefined;
  const what = `Cannot set link ${name} up: UDP port ${port} is in use by`;
  const remedy = "choose another Port of the Backend, the same on all hosts";
  // VXLAN links share a port only if they have it with the same options.
  const other = dumpLinks(client).find((link) =>
    link.name !== name && link.isUp && link.vxlan?.port === port
  );
  return other === undefined
    ? `${what} ${owner(port)}; end it ("ss -lnup sport = :${port}" shows it), or ${remedy}`
    : `${what} the VXLAN link ${other.name}, with other options; delete it (ip link delete ${other.name}), or ${remedy}`;
}

/**
 * Says who has the VNI and the port of a VTEP that the kernel would not make because of that, and what to do. A VTEP that
 * was renamed keeps both, and so does one that was moved to another network namespace.
 *
 * @returns `undefined` where it is a link of that very name.
 * @throws {NetlinkError} If the kernel can't be read.
 */
export function sayWhoHasVni(
  client: NetlinkClient,
  { name, vni, port, local }: VxlanLink,
): string | undefined {
  if (queryLink(client, name) !== undefined) return undefined;
  const holder = dumpLinks(client).find(({ vxlan }) =>
    vxlan?.vni === vni && vxlan.port === port &&
    // The VTEPs of the two families have one VNI and one port, each with a socket of its family.
    (vxlan.local === undefined ? AF_INET : familyOf(vxlan.local)) === familyOf(local)
  )?.name;
  const what = `VNI ${vni} and port ${port}`;
  return holder === undefined
    ? `Cannot create link ${name}: a link that was moved to another network namespace has ${what}; delete it there; ` +
      '"ip -all netns exec ip -details link show type vxlan" finds it'
    : `Cannot create link ${name}: link ${holder} has ${what}; delete it (ip link delete ${holder}), or give one of ` +
      "the two another VNI";
}
