import { BRIDGE, type LabHost, UPLINK } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import {
  AF_INET,
  bitsOf,
  type Family,
  familyOf,
  formatAddress,
  formatPrefix,
} from "../../src/model/address.ts";
import { nthAddress } from "../../src/reconcile/route_truth.ts";
import { halvesOf } from "../double/overlay_foreign.ts";
import { ip } from "../double/overlay_standing.ts";
import type { Mode } from "./site.ts";

/** A table that no other program has. */
const TABLE = "176";
const PRIORITY = "76";
/** Behind the underlay's link, and no host. */
const ELSEWHERE: Readonly<Record<Family, string>> = { 2: "192.0.2.250", 10: "2001:db8::fa" };
const NETWORK: Readonly<Record<Family, string>> = { 2: "10.244.0.0/16", 10: "fd00:10:244::/56" };

/** Where something takes the overlay's packets: three settled hosts, the first of them the victim. */
export interface ReadySite {
  readonly lab: Lab;
  readonly host: LabHost;
  readonly peer: LabHost;
  readonly family: Family;
}

/** Something that takes packets of the overlay while all that is Loden's stands as it was made. */
export interface ReadyFault {
  /** As it stands in the table. */
  readonly name: string;
  /** Modes in which there is such an object; all if absent. */
  readonly modes?: readonly Mode[];
  readonly family?: Family;
  readonly make: (site: ReadySite) => Promise<void>;
  readonly undo: (site: ReadySite) => Promise<void>;
  readonly code: string;
  readonly isBlocking: boolean;
  /** Whether packets still pass for now; they don't if absent. */
  readonly passes?: true;
  /** What the sentence names, at least. */
  readonly says: (site: ReadySite) => readonly string[];
}

const VXLAN: readonly Mode[] = ["vxlan"];

function version({ family }: ReadySite): "-4" | "-6" {
  return family === AF_INET ? "-4" : "-6";
}

function subnetOf(host: LabHost, family: Family): string {
  return formatPrefix(host.share.subnets.find(({ address }) => familyOf(address) === family)!);
}

function halfOf({ share: { subnets } }: LabHost, family: Family): string {
  return halvesOf(subnets.find(({ address }) => familyOf(address) === family)!)[0];
}

function ownHalvesOf({ host: { share: { subnets } }, family }: ReadySite): readonly string[] {
  return halvesOf(subnets.find(({ address }) => familyOf(address) === family)!);
}

/** The second address, as a prefix: the first one is the bridge's. */
function firstPodOf(host: LabHost, family: Family): string {
  const subnet = host.share.subnets.find(({ address }) => familyOf(address) === family)!;
  return `${formatAddress(nthAddress(subnet, 2))}/${bitsOf(family)}`;
}

function underlayOf(host: LabHost, family: Family): string {
  return formatAddress(host.underlayAddresses.find((address) => familyOf(address) === family)!);
}

async function iptables({ host, family }: ReadySite, verb: string): Promise<void> {
  const program = family === AF_INET ? "iptables" : "ip6tables";
  await host.netns.mustExec(program, verb, "INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP");
}

/** A rule, and routes of its table. */
function byRule(
  rule: (site: ReadySite) => readonly string[],
  routes: (site: ReadySite) => readonly (readonly string[])[] = () => [],
): Pick<ReadyFault, "make" | "undo"> {
  return {
    make: async (site) => {
      for (const route of routes(site)) {
        await ip(site.host, version(site), "route", "add", ...route, "table", TABLE);
      }
      await ip(site.host, version(site), "rule", "add", "priority", PRIORITY, ...rule(site));
    },
    undo: async (site) => {
      await ip(site.host, version(site), "rule", "delete", "priority", PRIORITY);
      if (routes(site).length > 0) await ip(site.host, version(site), "route", "flush", "table", TABLE);
    },
  };
}

/** A route that is made and deleted by the same words. */
function byRoute(route: (site: ReadySite) => readonly string[]): Pick<ReadyFault, "make" | "undo"> {
  const change = async (site: ReadySite, verb: string) =>
    void await ip(site.host, version(site), "route", verb, ...route(site));
  return { make: (site) => change(site, "add"), undo: (site) => change(site, "delete") };
}

/** A rule of iptables that is made and deleted by the same words. */
function byIptables(
  table: string,
  chain: string,
  rule: (site: ReadySite) => readonly string[],
): Pick<ReadyFault, "make" | "undo"> {
  const change = async (site: ReadySite, verb: string) => {
    const program = site.family === AF_INET ? "iptables" : "ip6tables";
    await site.host.netns.mustExec(program, "-t", table, verb, chain, ...rule(site));
  };
  return { make: (site) => change(site, "-I"), undo: (site) => change(site, "-D") };
}

/** A table of nft(8) that is made of lines, and deleted. */
function byNft(lines: (site: ReadySite) => readonly string[]): Pick<ReadyFault, "make" | "undo"> {
  return {
    make: async (site) => {
      await site.host.netns.mustExec("nft", ["add table inet site", ...lines(site)].join("\n"));
    },
    undo: async ({ host }) => void await host.netns.mustExec("nft", "delete table inet site"),
  };
}

function nftAddress({ family }: ReadySite): string {
  return family === AF_INET ? "ip" : "ip6";
}

/** The link that packets for a peer's pods leave by, and come in by. */
async function linkTo(site: ReadySite): Promise<string> {
  const shown = await ip(site.host, version(site), "route", "show", subnetOf(site.peer, site.family));
  return / dev (\S+)/.exec(shown)![1]!;
}

const elsewhere = ({ family }: ReadySite): readonly string[] => [
  "default",
  "via",
  ELSEWHERE[family],
  "dev",
  UPLINK,
  "onlink",
];
const cutOff = { code: "host-cut-off", isBlocking: true } as const;
const notForwarded = { code: "forwarding-dropped", isBlocking: true } as const;
const filtered = { code: "peers-filtered", isBlocking: false } as const;
const misrouted = { code: "peers-misrouted", isBlocking: false } as const;

/** All that takes packets of the overlay away, in the order of the table. */
export const READY_FAULTS: readonly ReadyFault[] = [
  {
    name: "a rule leads all packets into a VPN's table with a default route",
    // Where peers are to be on the segment, they are not any more: that is said of each.
    modes: VXLAN,
    ...byRule(() => ["lookup", TABLE], (site) => [elsewhere(site)]),
    ...cutOff,
    says: () => [`route default via`, `table ${TABLE}`, `"${PRIORITY}: from all lookup ${TABLE}"`, "ip"],
  },
  {
    name: "a rule leads packets for the cluster network into a VPN's table with a default route",
    ...byRule(({ family }) => ["to", NETWORK[family], "lookup", TABLE], (site) => [elsewhere(site)]),
    ...cutOff,
    says: (
      { family },
    ) => [`"${PRIORITY}: from all to ${NETWORK[family]} lookup ${TABLE}"`, "route default via"],
  },
  {
    name: "a rule leads what pods send into another table",
    ...byRule(({ host, family }) => ["from", subnetOf(host, family), "lookup", TABLE], (
      site,
    ) => [elsewhere(site)]),
    ...cutOff,
    says: ({ host, family }) => [`"${PRIORITY}: from ${subnetOf(host, family)} lookup ${TABLE}"`],
  },
  {
    name: "a rule leads what comes in by the pods' bridge into another table",
    ...byRule(() => ["iif", BRIDGE, "lookup", TABLE], (site) => [elsewhere(site)]),
    ...cutOff,
    says: () => [`"${PRIORITY}: from all iif ${BRIDGE} lookup ${TABLE}"`],
  },
  {
    name: "a rule drops packets for the cluster network",
    ...byRule(({ family }) => ["to", NETWORK[family], "blackhole"]),
    ...cutOff,
    says: ({ family }) => [
      `rule "${PRIORITY}: from all to ${NETWORK[family]} blackhole" refuses`,
      `rule delete priority ${PRIORITY}`,
    ],
  },
  {
    name: "the rule that leads to the table main is deleted",
    make: async (site) => void await ip(site.host, version(site), "rule", "delete", "priority", "32766"),
    undo: async (site) =>
      void await ip(site.host, version(site), "rule", "add", "priority", "32766", "lookup", "main"),
    ...cutOff,
    says: () => ["no rule leads all packets to the table main", "rule add lookup main priority 32766"],
  },
  {
    name: "a route with a better metric stands before that of each peer",
    make: async (site) => {
      const { lab, host, family } = site;
      for (const peer of lab.hosts.filter((one) => one !== host)) {
        await ip(host, version(site), "route", "add", "unreachable", subnetOf(peer, family), "metric", "1");
      }
    },
    undo: async (site) => {
      const { lab, host, family } = site;
      for (const peer of lab.hosts.filter((one) => one !== host)) {
        const route = ["unreachable", subnetOf(peer, family), "metric", "1"];
        await ip(host, version(site), "route", "delete", ...route);
      }
    },
    ...cutOff,
    says: ({ peer, family }) => [`route unreachable ${subnetOf(peer, family)}`],
  },
  {
    name: "a VPN's table has a route to half of a peer's subnet",
    ...byRule(
      ({ family }) => ["to", NETWORK[family], "lookup", TABLE],
      ({ peer, family, ...site }) => [[
        halvesOf(peer.share.subnets.find(({ address }) => familyOf(address) === family)!)[0],
        ...elsewhere({ peer, family, ...site }).slice(1),
      ]],
    ),
    ...misrouted,
    says: ({ peer, family }) => [
      `takes a part of the packets for ${subnetOf(peer, family)}`,
      `table ${TABLE}`,
    ],
  },
  {
    name: "half of a peer's subnet is dropped",
    ...byRoute(({ peer, family }) => ["blackhole", halfOf(peer, family)]),
    ...misrouted,
    says: ({ peer, family }) => [
      `${underlayOf(peer, AF_INET)}: route blackhole ${halfOf(peer, family)}`,
      `takes a part of ${subnetOf(peer, family)}; delete it`,
    ],
  },
  {
    name: "one address of a peer's subnet is led out by the underlay's link",
    ...byRoute(({ peer, family }) => [firstPodOf(peer, family), "dev", UPLINK]),
    ...misrouted,
    says: ({ peer, family }) => [
      `${underlayOf(peer, AF_INET)}: route ${firstPodOf(peer, family)}`,
      `dev ${UPLINK}`,
      `takes a part of ${subnetOf(peer, family)}; delete it`,
    ],
  },
  {
    name: "the table local has a peer's subnet",
    ...byRoute(({ peer, family }) => ["local", subnetOf(peer, family), "dev", "lo", "table", "local"]),
    ...misrouted,
    says: ({ peer, family }) => [`route local ${subnetOf(peer, family)} dev lo table local`],
  },
  {
    name: "the table local drops a peer's subnet",
    ...byRoute(({ peer, family }) => ["blackhole", subnetOf(peer, family), "table", "local"]),
    ...misrouted,
    says: ({ peer, family }) => [`route blackhole ${subnetOf(peer, family)} table local`],
  },
  {
    name: "a rule leads packets for this host's own pods into another table",
    ...byRule(
      ({ host, family }) => ["to", subnetOf(host, family), "lookup", TABLE],
      (site) => [elsewhere(site)],
    ),
    code: "own-subnet-taken",
    isBlocking: true,
    says: ({ host, family }) => [
      `this host's own subnet ${subnetOf(host, family)} is not reached`,
      `"${PRIORITY}: from all to ${subnetOf(host, family)} lookup ${TABLE}"`,
    ],
  },
  {
    name: "this host's own subnet is led out by the underlay's link, half by half",
    make: async (site) => {
      for (const half of ownHalvesOf(site)) {
        await ip(site.host, version(site), "route", "add", half, "dev", UPLINK);
      }
    },
    undo: async (site) => {
      for (const half of ownHalvesOf(site)) {
        await ip(site.host, version(site), "route", "delete", half, "dev", UPLINK);
      }
    },
    code: "own-subnet-taken",
    isBlocking: true,
    says: ({ host, family }) => [
      `dev ${UPLINK} proto boot`,
      `takes the packets for this host's own subnet ${subnetOf(host, family)}`,
    ],
  },
  {
    name: "one pod of this host is led out by the underlay's link",
    ...byRoute(({ host, family }) => [firstPodOf(host, family), "dev", UPLINK, "metric", "1"]),
    code: "own-subnet-partly-taken",
    isBlocking: false,
    says: ({ host, family }) => [
      `route ${firstPodOf(host, family)} dev ${UPLINK}`,
      `takes a part of this host's own subnet ${subnetOf(host, family)}`,
    ],
  },
  {
    name: "a rule drops what VTEPs send",
    modes: VXLAN,
    ...byRule(({ family, peer }) => [
      "to",
      `${underlayOf(peer, family)}/${family === AF_INET ? 24 : 64}`,
      "ipproto",
      "udp",
      "dport",
      "8472",
      "blackhole",
    ]),
    ...cutOff,
    says: () => ["what the VTEP sends to", `"${PRIORITY}: `],
  },
  {
    name: "a rule drops what a peer's VTEP sends, as it comes in",
    modes: VXLAN,
    ...byRule(({ family, peer }) => ["from", underlayOf(peer, family), "iif", UPLINK, "prohibit"]),
    ...misrouted,
    // The kernel looks into the table local before, and has the answer there.
    make: async (site) => {
      const { host, peer, family } = site;
      await ip(host, version(site), "rule", "add", "priority", "99", "lookup", "local");
      await ip(host, version(site), "rule", "delete", "priority", "0");
      const from = ["from", underlayOf(peer, family), "iif", UPLINK, "prohibit"];
      await ip(host, version(site), "rule", "add", "priority", PRIORITY, ...from);
    },
    undo: async (site) => {
      await ip(site.host, version(site), "rule", "delete", "priority", PRIORITY);
      await ip(site.host, version(site), "rule", "add", "priority", "0", "lookup", "local");
      await ip(site.host, version(site), "rule", "delete", "priority", "99");
    },
    says: ({ peer, family }) => [
      `what the VTEP at ${underlayOf(peer, family)} sends to this host`,
      `iif ${UPLINK} prohibit`,
    ],
  },
  {
    name: "iptables drops the overlay's port",
    modes: VXLAN,
    make: (site) => iptables(site, "-I"),
    undo: (site) => iptables(site, "-D"),
    code: "overlay-port-dropped",
    isBlocking: true,
    says: ({ family }) => [
      `chain INPUT of table ${family === AF_INET ? "ip" : "ip6"} filter drops all`,
      `tables -I INPUT -p udp --dport 8472 -j ACCEPT`,
    ],
  },
  {
    name: "a firewall of nftables drops what it does not name",
    modes: VXLAN,
    make: async ({ host }) => {
      const chain = "add chain inet site in { type filter hook input priority 10; policy drop; }";
      const rules = ["ct state established,related accept", "iif lo accept", "meta l4proto ipv6-icmp accept"];
      const lines = [
        "add table inet site",
        chain,
        ...rules.map((rule) => `add rule inet site in ${rule}`),
        "add rule inet site in tcp dport 22 accept",
      ];
      await host.netns.mustExec("nft", lines.join("\n"));
    },
    undo: async ({ host }) => void await host.netns.mustExec("nft", "delete table inet site"),
    code: "overlay-port-dropped",
    isBlocking: true,
    says: () => ["chain in of table inet site", "nft insert rule inet site in udp dport 8472 accept"],
  },
  {
    name: "iptables drops what is forwarded within the cluster network",
    ...byIptables("filter", "FORWARD", ({ family }) => ["-d", NETWORK[family], "-j", "DROP"]),
    ...notForwarded,
    says: (site) => [
      `line 1, of chain FORWARD of table ${nftAddress(site)} filter`,
      `drops all packets between pods of this host and those of other hosts`,
      `nft delete rule ${nftAddress(site)} filter FORWARD handle `,
    ],
  },
  {
    name: "iptables rejects new connections within the cluster network",
    ...byIptables("filter", "FORWARD", ({ family }) => [
      ...["-d", NETWORK[family], "-m", "conntrack", "--ctstate", "NEW", "-j", "REJECT"],
    ]),
    ...notForwarded,
    says: () => [`rejects all packets between pods of this host and those of other hosts`],
  },
  {
    name: "iptables drops what pods send to those of one peer",
    ...byIptables("filter", "FORWARD", ({ peer, family }) => ["-d", subnetOf(peer, family), "-j", "DROP"]),
    ...filtered,
    says: ({ peer, family }) => [
      `those of 1 of 2 other hosts: ${underlayOf(peer, AF_INET)}: the rule with handle`,
      `drops all that pods of this host send to ${subnetOf(peer, family)}`,
    ],
  },
  {
    name: "iptables drops what pods send, before it is routed",
    ...byIptables("raw", "PREROUTING", () => ["-i", BRIDGE, "-j", "DROP"]),
    ...notForwarded,
    says: (site) => [
      `chain PREROUTING of table ${nftAddress(site)} raw`,
      "drops all that pods of this host send to those of other hosts",
    ],
  },
  {
    name: "iptables drops what one peer's pods send, before it is routed",
    ...byIptables(
      "mangle",
      "PREROUTING",
      ({ peer, family }) => ["-s", subnetOf(peer, family), "-j", "DROP"],
    ),
    ...filtered,
    says: ({ peer, family }) => [`drops all that comes from ${subnetOf(peer, family)} for pods of this host`],
  },
  {
    name: "iptables gives packets for other hosts' pods another address",
    ...byIptables("nat", "PREROUTING", ({ family }) => [
      ...["-i", BRIDGE, "-d", NETWORK[family], "-j", "DNAT", "--to-destination", ELSEWHERE[family]],
    ]),
    ...notForwarded,
    says: () => ["leads to another address all that pods of this host send to those of other hosts"],
  },
  {
    name: "a firewall of nftables drops what is forwarded from one peer",
    ...byNft((site) => [
      "add chain inet site through { type filter hook forward priority 10; }",
      `add rule inet site through ${nftAddress(site)} saddr ${subnetOf(site.peer, site.family)} counter drop`,
    ]),
    ...filtered,
    says: ({ peer, family }) => [
      `of chain through of table inet site`,
      `drops all that comes from ${subnetOf(peer, family)} for pods of this host`,
      "nft delete rule inet site through handle ",
    ],
  },
  {
    name: "a firewall of nftables lets through what it names, and no pods",
    ...byNft((site) => [
      "add chain inet site through { type filter hook forward priority 10; policy drop; }",
      `add rule inet site through meta nfproto ${site.family === AF_INET ? "ipv6" : "ipv4"} accept`,
      `add rule inet site through ${nftAddress(site)} daddr ${ELSEWHERE[site.family]} tcp dport 443 accept`,
    ]),
    ...notForwarded,
    says: () => ["the policy drop of chain through of table inet site drops all packets between pods"],
  },
  {
    name: "a chain of nftables drops where it would translate the source",
    ...byNft((site) => [
      "add chain inet site translate { type nat hook postrouting priority 100; }",
      `add rule inet site translate ${nftAddress(site)} daddr ${NETWORK[site.family]} counter drop`,
      "add chain inet site out { type nat hook output priority 100; }",
      `add rule inet site out ${nftAddress(site)} daddr ${ELSEWHERE[site.family]} redirect`,
    ]),
    ...notForwarded,
    says: () => ["of chain translate of table inet site", "drops all packets between pods"],
  },
  {
    name: "the pods' bridge drops what pods send",
    make: async (site) => {
      const rule = `add rule bridge site pre ${nftAddress(site)} daddr ${NETWORK[site.family]} drop`;
      const chain = "add chain bridge site pre { type filter hook prerouting priority 0; }";
      await site.host.netns.mustExec("nft", ["add table bridge site", chain, rule].join("\n"));
    },
    undo: async ({ host }) => void await host.netns.mustExec("nft", "delete table bridge site"),
    ...notForwarded,
    says: () => ["of chain pre of table bridge site", "drops all that pods of this host send"],
  },
  {
    name: "the link that a peer's packets come in by drops them",
    make: async (site) => {
      const { host, family, peer } = site;
      const link = await linkTo(site);
      const rule = `add rule netdev site in ${nftAddress(site)} saddr ${subnetOf(peer, family)} drop`;
      const chain = `add chain netdev site in { type filter hook ingress device ${link} priority 0; }`;
      await host.netns.mustExec("nft", ["add table netdev site", chain, rule].join("\n"));
    },
    undo: async ({ host }) => void await host.netns.mustExec("nft", "delete table netdev site"),
    ...filtered,
    says: ({ peer, family }) => [
      "of chain in of table netdev site",
      `drops all that comes from ${subnetOf(peer, family)} for pods of this host`,
    ],
  },
  {
    name: "a policy of IPsec blocks what is forwarded within the cluster network",
    make: async ({ host, family }) => {
      const within = ["src", NETWORK[family], "dst", NETWORK[family]];
      await ip(host, "xfrm", "policy", "add", "dir", "fwd", ...within, "action", "block");
    },
    undo: async ({ host, family }) => {
      const within = ["src", NETWORK[family], "dst", NETWORK[family]];
      await ip(host, "xfrm", "policy", "delete", "dir", "fwd", ...within);
    },
    ...notForwarded,
    says: ({ family }) => [
      `the IPsec policy "src ${NETWORK[family]} dst ${
        NETWORK[family]
      } dir fwd action block" drops all packets between`,
      `ip xfrm policy delete src ${NETWORK[family]} dst ${NETWORK[family]} dir fwd`,
    ],
  },
  {
    name: "the underlay's link has no carrier",
    make: ({ lab, host }) => Promise.resolve(lab.setConnected(host, false)),
    undo: ({ lab, host }) => Promise.resolve(lab.setConnected(host, true)),
    ...cutOff,
    says: () => [`link ${UPLINK}, by which packets for it leave, has no carrier`],
  },
  {
    name: "the VTEP is given another name",
    modes: VXLAN,
    make: async ({ host, family }) => {
      const name = family === AF_INET ? "flannel.1" : "flannel-v6.1";
      await ip(host, "link", "set", name, "name", "renamed0");
    },
    undo: async ({ host }) => void await ip(host, "link", "delete", "renamed0"),
    code: "changes-failed",
    isBlocking: true,
    // Until a peer comes or moves: routes go by the link's index.
    passes: true,
    says: () => ["link renamed0 has VNI 1 and port 8472"],
  },
];

/** What other programs have on hosts that work: none of it may be told of. */
export const HARMLESS: readonly {
  readonly name: string;
  readonly make: readonly (readonly string[])[];
}[] = [
  {
    name: "a VPN's rule for other destinations",
    make: [
      ["route", "add", "198.51.100.0/24", "via", ELSEWHERE[2], "dev", UPLINK, "onlink", "table", TABLE],
      ["rule", "add", "priority", "50", "to", "198.51.100.0/24", "lookup", TABLE],
    ],
  },
  {
    name: "a VPN's table without a route to the overlay, which all packets look into",
    make: [
      ["route", "add", "198.51.100.0/24", "via", ELSEWHERE[2], "dev", UPLINK, "onlink", "table", "177"],
      ["route", "add", "throw", "10.244.0.0/16", "table", "177"],
      ["rule", "add", "priority", "51", "lookup", "177"],
    ],
  },
  {
    name: "Tailscale's rules",
    make: [
      ["rule", "add", "priority", "5210", "fwmark", "0x80000/0xff0000", "lookup", "main"],
      ["rule", "add", "priority", "5230", "fwmark", "0x80000/0xff0000", "lookup", "default"],
      ["rule", "add", "priority", "5250", "fwmark", "0x80000/0xff0000", "unreachable"],
      ["route", "add", "100.100.100.100", "dev", UPLINK, "table", "52"],
      ["rule", "add", "priority", "5270", "lookup", "52"],
    ],
  },
  {
    name: "Cilium's rules, with the table local behind",
    make: [
      ["rule", "add", "priority", "9", "fwmark", "0x200/0xf00", "lookup", "2004"],
      ["route", "add", "local", "default", "dev", "lo", "table", "2004"],
      ["rule", "add", "priority", "100", "lookup", "local"],
      ["rule", "delete", "priority", "0"],
    ],
  },
  {
    name: "wg-quick's rules",
    make: [
      ["route", "add", "default", "via", ELSEWHERE[2], "dev", UPLINK, "onlink", "table", "51820"],
      ["rule", "add", "priority", "32765", "not", "fwmark", "0xca6c", "lookup", "51820"],
      ["rule", "add", "priority", "32764", "lookup", "main", "suppress_prefixlength", "0"],
    ],
  },
  {
    name: "policy routing by mark, by user, by port and by link",
    make: [
      ["route", "add", "default", "via", ELSEWHERE[2], "dev", UPLINK, "onlink", "table", TABLE],
      ["rule", "add", "priority", "60", "fwmark", "0x1", "lookup", TABLE],
      ["rule", "add", "priority", "61", "uidrange", "4000-4001", "lookup", TABLE],
      ["rule", "add", "priority", "62", "ipproto", "tcp", "dport", "443", "lookup", TABLE],
      ["rule", "add", "priority", "63", "iif", "eth7", "lookup", TABLE],
      ["rule", "add", "priority", "64", "oif", "eth7", "lookup", TABLE],
    ],
  },
  {
    name: "a rule for another address of the host",
    make: [
      ["route", "add", "default", "via", ELSEWHERE[2], "dev", UPLINK, "onlink", "table", TABLE],
      ["rule", "add", "priority", "65", "from", "198.51.100.7", "lookup", TABLE],
    ],
  },
];
