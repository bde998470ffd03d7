import { UPLINK } from "../../src/lab/host.ts";
import { metricOf } from "../../src/overlay/backend/push_route.ts";
import { addAddress, linkIndexOf, type Placement } from "../../src/lab/wiring.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  formatAddress,
  formatPrefix,
  type Mac,
} from "../../src/model/address.ts";
import { vtepOf } from "../double/overlay_state.ts";
import { RTPROT_LODEN } from "../../src/rtnetlink/route_header.ts";
import {
  changeUplink,
  changeVtep,
  configureUplink,
  deleteAddress,
  deleteLink,
  deleteRows,
  insertCard,
  ip,
  placementOf,
  vtepName,
} from "./objects.ts";
import { type Fault, type FaultSite, type Mode, WITH_VTEP } from "./site.ts";

const ENCAPSULATING: readonly Mode[] = ["vxlan"];

/** Faults of the kernel's tables. */
export const TABLE_FAULTS: readonly Fault[] = [
  { name: "a route is deleted", reach: "peer", isSingle: true, make: deleteRows("routes", "peer") },
  { name: "all routes are deleted", reach: "family", make: deleteRows("routes", "all") },
  { name: "a route is replaced by one to a wrong next hop", reach: "peer", make: misleadRoute },
  {
    name: "a neighbour is deleted",
    reach: "peer",
    isSingle: true,
    modes: ENCAPSULATING,
    make: deleteRows("neighbours", "peer"),
  },
  {
    name: "all neighbours are deleted",
    reach: "family",
    modes: ENCAPSULATING,
    make: deleteRows("neighbours", "all"),
  },
  {
    name: "an FDB entry is deleted",
    reach: "peer",
    isSingle: true,
    modes: ENCAPSULATING,
    make: deleteRows("fdb", "peer"),
  },
  {
    name: "all FDB entries are deleted",
    reach: "family",
    modes: ENCAPSULATING,
    make: deleteRows("fdb", "all"),
  },
];

/** Faults of the overlay's own link. */
export const VTEP_FAULTS: readonly Fault[] = [
  {
    name: "the overlay link is set down",
    reach: "family",
    modes: WITH_VTEP,
    make: changeVtep({ isUp: false }),
  },
  {
    name: "the overlay link is set down and up",
    reach: "family",
    modes: WITH_VTEP,
    make: changeVtep({ isUp: false }, { isUp: true }),
    // With direct routes there is nothing on it but its address, which IPv4 keeps.
    shows: false,
  },
  {
    name: "the overlay link is deleted",
    reach: "family",
    modes: WITH_VTEP,
    make: (site) => deleteLink(site, vtepName(site)),
  },
  {
    name: "the MAC of the overlay link is changed",
    reach: "family",
    modes: WITH_VTEP,
    make: (site) => changeVtep({ mac: vtepOf(site.host.client, site.family).link.mac + 1 as Mac })(site),
  },
  {
    name: "the MTU of the overlay link is changed",
    reach: "nobody",
    isSingle: true,
    modes: WITH_VTEP,
    make: changeVtep({ mtuBytes: 1300 }),
  },
  {
    name: "the address of the overlay link is deleted",
    reach: "family",
    isSingle: true,
    modes: WITH_VTEP,
    make: (site) => {
      const { address } = ownSubnet(site);
      deleteAddress(site, vtepName(site), { address, length: hostLength(site) });
    },
  },
  {
    name: "a foreign address is put on the overlay link",
    reach: "nobody",
    isSingle: true,
    modes: WITH_VTEP,
    make: (site) => {
      const { client } = site.host;
      const address = after(ownSubnet(site).address, 77);
      addAddress(client, linkIndexOf(client, vtepName(site)), { address, length: hostLength(site) });
    },
  },
];

/** Faults of the link and the addresses below the overlay. */
export const UNDERLAY_FAULTS: readonly Fault[] = [
  {
    name: "the underlay link is set down and up",
    isOfHost: true,
    reach: "host",
    make: changeUplink({ isUp: false }),
    restore: (site) => {
      changeUplink({ isUp: true })(site);
      // The kernel keeps IPv4 addresses only.
      configureUplink(site.host);
    },
  },
  {
    name: "the cable is pulled and plugged in again",
    isOfHost: true,
    reach: "host",
    shows: false,
    make: ({ lab, host }) => lab.setConnected(host, false),
    restore: ({ lab, host }) => lab.setConnected(host, true),
  },
  {
    name: "the network card goes, and comes back as another link of the same name",
    isOfHost: true,
    reach: "host",
    make: (site) => deleteLink(site, UPLINK),
    restore: insertCard,
  },
  {
    name: "the MTU of the underlay is changed, and back",
    isOfHost: true,
    reach: "nobody",
    follows: "host",
    make: changeUplink({ mtuBytes: 1400 }),
    restore: changeUplink({ mtuBytes: 1500 }),
  },
  {
    name: "the underlay address is changed, and back",
    reach: "family",
    follows: "peer",
    make: (site) => exchangeAddress(site, placementOf(site), otherPlacement(site)),
    restore: (site) => {
      exchangeAddress(site, otherPlacement(site), placementOf(site));
      configureUplink(site.host, [site.family]);
    },
  },
  {
    name: "the underlay loses its address, and gets it back",
    reach: "family",
    make: (site) => deleteAddress(site, UPLINK, placementOf(site)),
    restore: (site) => configureUplink(site.host, [site.family]),
  },
];

/** Another address of the same segment. */
function otherPlacement(site: FaultSite): Placement {
  const { address, length } = placementOf(site);
  return { address: after(address, 100), length };
}

/** Puts another address in the place of one. IPv4 loses all of a segment with the first of them. */
function exchangeAddress(site: FaultSite, from: Placement, to: Placement): void {
  const linkIndex = linkIndexOf(site.host.client, UPLINK);
  addAddress(site.host.client, linkIndex, to);
  deleteAddress(site, UPLINK, from);
  addAddress(site.host.client, linkIndex, to);
}

/** Sends the peer's pods to an address of the segment that nobody has. */
async function misleadRoute(site: FaultSite): Promise<void> {
  const { peer, family } = site;
  const subnet = peer.share.subnets[peer.families.indexOf(family)]!;
  const nobody = after(placementOf(site).address, 60);
  const version = family === AF_INET6 ? "-6" : "-4";
  await ip(
    site,
    version,
    "route",
    "replace",
    formatPrefix(subnet),
    "via",
    formatAddress(nobody),
    "dev",
    UPLINK,
    "proto",
    String(RTPROT_LODEN),
    "metric",
    String(metricOf(subnet)),
  );
}

/** The share of the cluster network that the host itself has, of the site's family. */
function ownSubnet({ host, family }: FaultSite): { readonly address: Address } {
  return host.share.subnets[host.families.indexOf(family)]!;
}

function hostLength({ family }: FaultSite): number {
  return family === AF_INET ? 32 : 128;
}

function after(address: Address, count: number): Address {
  return (typeof address === "number" ? address + count : address + BigInt(count)) as Address;
}
