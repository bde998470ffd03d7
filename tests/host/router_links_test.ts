import { assertEquals } from "@std/assert";
import { linksToBeLed } from "../../src/host/router_links.ts";
import type { ObservedLink } from "../../src/model/state.ts";

const LOOPBACK = link(1, "lo");
const ETH0 = link(2, "eth0");

/** A link of hardware where no kind is given. */
function link(linkIndex: number, name: string, kind?: string, masterIndex?: number): ObservedLink {
  return {
    linkIndex,
    name,
    isUp: false,
    mtuBytes: 1500,
    mac: undefined,
    kind,
    vxlan: undefined,
    ...masterIndex !== undefined && { masterIndex },
  };
}

const cases: [why: string, links: ObservedLink[], led: string[]][] = [
  ["a card", [ETH0], ["eth0"]],
  ["the loopback link hears nobody", [LOOPBACK], []],
  ["what stands on cards", [link(3, "bond0", "bond"), link(4, "eth0.5", "vlan"), link(5, "wwan0", "wwan")], [
    "bond0",
    "eth0.5",
    "wwan0",
  ]],
  ["the master of a port listens", [link(3, "bond0", "bond"), link(4, "eth1", undefined, 3)], ["bond0"]],
  ["a bridge with a card among its ports", [link(3, "br0", "bridge"), link(4, "eth1", undefined, 3)], [
    "br0",
  ]],
  ["a bridge that only containers and machines are on", [
    link(3, "docker0", "bridge"),
    link(4, "veth1", "veth", 3),
    link(5, "vnet0", "tun", 3),
  ], []],
  ["an empty bridge", [link(3, "virbr0", "bridge")], []],
  ["bridges in a ring, which can be tried", [
    link(3, "br0", "bridge", 4),
    link(4, "br1", "bridge", 3),
  ], []],
  ["a VRF only has other routes", [link(3, "vrf0", "vrf"), link(4, "eth1", undefined, 3)], ["eth1"]],
  ["a port whose master is in another namespace", [link(4, "eth1", undefined, 99)], []],
  ["containers, machines and tunnels are behind the others", [
    ...["veth", "netkit", "tun", "macvtap", "vxlan", "wireguard", "dummy"].map((kind, index) =>
      link(10 + index, `${kind}0`, kind)
    ),
  ], []],
  ["a host that is a container is led over what carries the overlay", [
    link(2, "under0", "veth"),
    link(3, "veth1", "veth"),
  ], ["under0"]],
  ["never by a pod or a peer", [
    link(2, "cni0", "bridge"),
    link(3, "eth9", undefined, 2),
    link(4, "flannel.1"),
  ], []],
];

for (const [why, links, led] of cases) {
  Deno.test(`linksToBeLed() names what a router may lead this host over: ${why}`, () => {
    assertEquals(linksToBeLed(links, { underlayLink: "under0", never: ["cni0", "flannel.1"] }), led);
  });
}
