import { assertEquals } from "@std/assert";
import { type HostNeeds, sysctlChecks, sysctlName } from "../../src/host/sysctl_checks.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";

const NEEDS: HostNeeds = {
  families: [AF_INET],
  ownLinks: ["flannel.1"],
  underlayLink: "eth0",
  hasDirectRoutes: false,
  vxlan: "needed",
  hasRules: true,
  hasServices: false,
};

/** What is checked, with a star where it may be set. */
function checked(needs: Partial<HostNeeds>, ...routerLedLinks: readonly string[]): string[] {
  return sysctlChecks({ ...NEEDS, ...needs }, routerLedLinks).map(({ path, wanted, isOurs }) =>
    `${path}=${wanted}${isOurs ? "*" : ""}`
  );
}

const OWN = [
  "net/ipv4/ip_forward=1*",
  "net/ipv4/conf/flannel.1/forwarding=1*",
  "net/ipv4/conf/flannel.1/rp_filter=2*",
];

const cases: [why: string, needs: Partial<HostNeeds>, routerLedLinks: string[], checks: string[]][] = [
  ["IPv4 alone", {}, [], [
    ...OWN,
    "net/ipv4/conf/eth0/forwarding=1",
    "net/ipv6/conf/flannel.1/accept_ra=0*",
  ]],
  ["direct routes come in over the underlay", { hasDirectRoutes: true }, [], [
    ...OWN,
    "net/ipv4/conf/eth0/forwarding=1",
    "net/ipv4/conf/eth0/rp_filter=2",
    "net/ipv6/conf/flannel.1/accept_ra=0*",
  ]],
  ["host-gw has no link of its own", { ownLinks: [], hasDirectRoutes: true }, [], [
    "net/ipv4/ip_forward=1*",
    "net/ipv4/conf/eth0/forwarding=1",
    "net/ipv4/conf/eth0/rp_filter=2",
  ]],
  ["Kubernetes' Services need the bridge", { ownLinks: [], hasServices: true }, [], [
    "net/ipv4/ip_forward=1*",
    "net/ipv4/conf/eth0/forwarding=1",
    "net/bridge/bridge-nf-call-iptables=1",
  ]],
  ["IPv6 alone", { families: [AF_INET6], ownLinks: ["flannel-v6.1"], hasServices: true }, [], [
    "net/ipv6/conf/all/forwarding=1*",
    "net/bridge/bridge-nf-call-ip6tables=1",
    "net/ipv6/conf/flannel-v6.1/accept_ra=0*",
  ]],
  ["routers are listened to before the host forwards", { families: [AF_INET6], ownLinks: [] }, [
    "eth1",
    "eth2",
  ], [
    "net/ipv6/conf/eth1/accept_ra=2*",
    "net/ipv6/conf/eth2/accept_ra=2*",
    "net/ipv6/conf/all/forwarding=1*",
  ]],
  ["a pod or a peer leads nobody", { families: [AF_INET6], podsBridge: "cni0" }, ["flannel.1", "cni0"], [
    "net/ipv6/conf/cni0/disable_ipv6=0*",
    "net/ipv6/conf/all/forwarding=1*",
    "net/ipv6/conf/cni0/forwarding=1*",
    "net/ipv6/conf/flannel.1/accept_ra=0*",
    "net/ipv6/conf/cni0/accept_ra=0*",
  ]],
  ["the pods' bridge is made for us", { ownLinks: [], podsBridge: "cni0" }, [], [
    "net/ipv4/ip_forward=1*",
    "net/ipv4/conf/eth0/forwarding=1",
    "net/ipv4/conf/cni0/forwarding=1*",
    "net/ipv6/conf/cni0/accept_ra=0*",
  ]],
  ["a bridge that carries the overlay is not ours", { ownLinks: [], podsBridge: "eth0" }, [], [
    "net/ipv4/ip_forward=1*",
    "net/ipv4/conf/eth0/forwarding=1",
  ]],
  [
    "IPv6 is off on the underlay, which a person has decided",
    {
      families: [AF_INET, AF_INET6],
      presentFamilies: [AF_INET],
      ownLinks: [],
    },
    [],
    [
      "net/ipv4/ip_forward=1*",
      "net/ipv4/conf/eth0/forwarding=1",
      "net/ipv6/conf/eth0/disable_ipv6=0",
      "net/ipv6/conf/all/forwarding=1*",
    ],
  ],
  [
    "our links have IPv6 where the underlay has",
    {
      families: [AF_INET6],
      ownLinks: ["flannel.1", "flannel-v6.1"],
      ownIpv6Links: ["flannel-v6.1"],
    },
    [],
    [
      "net/ipv6/conf/flannel-v6.1/disable_ipv6=0*",
      "net/ipv6/conf/all/forwarding=1*",
      "net/ipv6/conf/flannel.1/accept_ra=0*",
      "net/ipv6/conf/flannel-v6.1/accept_ra=0*",
    ],
  ],
];

for (const [why, needs, routerLedLinks, checks] of cases) {
  Deno.test(`sysctlChecks() names what counts: ${why}`, () => {
    assertEquals(checked(needs, ...routerLedLinks), checks);
  });
}

Deno.test("sysctlChecks() calls the value that it sets good, and never sets one twice", () => {
  const families = [AF_INET, AF_INET6] as const;
  const links = {
    ownLinks: ["flannel.1", "flannel-v6.1"],
    ownIpv6Links: ["flannel-v6.1"],
    podsBridge: "cni0",
  };
  const needs = { ...NEEDS, ...links, families, hasDirectRoutes: true, hasServices: true };
  const checks = sysctlChecks(needs, ["eth0", "eth1"]);
  for (const { path, isGood, wanted } of checks) assertEquals(isGood(wanted), true, path);
  assertEquals(new Set(checks.map(({ path }) => path)).size, checks.length);
});

const names: [path: string, name: string][] = [
  ["net/ipv4/ip_forward", "net.ipv4.ip_forward"],
  // `sysctl -a` prints it like this.
  ["net/ipv4/conf/flannel.1/rp_filter", "net.ipv4.conf.flannel/1.rp_filter"],
];

for (const [path, name] of names) {
  Deno.test(`sysctlName() says ${name} as sysctl(8) does`, () => assertEquals(sysctlName(path), name));
}
