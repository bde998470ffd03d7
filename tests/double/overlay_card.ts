import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import {
  addAddress,
  addDefaultRoute,
  changeLink,
  linkIndexOf,
  makeVeth,
  type Placement,
} from "../../src/lab/wiring.ts";
import type { Libc } from "../../src/linux/libc.ts";

/** Puts another network card into a host whose own is gone, with the same addresses. */
export function plugIn(lab: Lab, libc: Libc, host: LabHost): void {
  const uplink = plugInto(lab, libc, host, UPLINK, host.name);
  for (const placement of host.placements) {
    addAddress(host.client, uplink, placement);
    addDefaultRoute(host.client, uplink, placement.gateway);
  }
}

/** Puts one more network card into a host, on the segment of the others. */
export function plugInSecond(lab: Lab, libc: Libc, host: LabHost, name: string, placement: Placement): void {
  addAddress(host.client, plugInto(lab, libc, host, name, `${host.name}-${name}`), placement);
}

/** Puts a network card without an address into a host, on the segment of the others; returns its index. */
export function plugInto(lab: Lab, libc: Libc, host: LabHost, name: string, portName: string): number {
  const { underlay } = lab;
  const [port, uplink] = makeVeth(libc, { netns: underlay, name: portName }, { netns: host.netns, name });
  changeLink(underlay.client, port, { master: linkIndexOf(underlay.client, "switch") });
  return uplink;
}
