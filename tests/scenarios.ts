import type { Family } from "../src/model/address.ts";
import type { Lease } from "../src/model/lease.ts";
import { leaseOf } from "./double/test_host.ts";

/** A state of the cluster, and the whole kernel state that follows from it on one host. */
export interface Scenario {
  readonly name: string;
  readonly remote: readonly Lease[];
  /** As `TestHost.show()` prints it: one entry a line, sorted. */
  readonly kernel: readonly string[];
}

const A = "0e:2a:00:00:00:0a";
const B = "0e:2a:00:00:00:0b";
const C = "0e:2a:00:00:00:0c";

const VTEP4 = [
  "address 10.244.1.0/32 dev flannel.1",
  "link flannel.1 up mtu 1450 lladdr 0e:2a:00:00:00:01 vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472",
];

/** One peer in IPv4, as the kernel shows it. The metric is by the last bits of the subnet. */
function peer4(third: number, mac: string, underlay: string, length = 24): string[] {
  const gateway = `10.244.${third}.0`;
  const metric = 1 + third * 2 ** (length - 24) % 256;
  return [
    `fdb ${mac} dst ${underlay} self permanent`,
    `neigh ${gateway} dev flannel.1 lladdr ${mac} PERMANENT`,
    `route ${gateway}/${length} via ${gateway} dev flannel.1 proto 76 metric ${metric} onlink`,
  ];
}

const VTEP6 = [
  "address fd00:10:244:1::/128 dev flannel-v6.1",
  "link flannel-v6.1 up mtu 1430 lladdr 0e:2a:00:00:00:01 vxlan id 1 local 2001:db8::1 dev eth0 dstport 8472",
];

/** One peer in IPv6. All routes have one metric: IPv6 does not need many to be fast. */
function peer6(fourth: number, mac: string, underlay: string, length = 64): string[] {
  const gateway = `fd00:10:244:${fourth}::`;
  return [
    `fdb ${mac} dst ${underlay} self permanent`,
    `neigh ${gateway} dev flannel-v6.1 lladdr ${mac} PERMANENT`,
    `route ${gateway}/${length} via ${gateway} dev flannel-v6.1 proto 76 metric 1024 onlink pref medium`,
  ];
}

const IPV4: readonly Scenario[] = [
  { name: "nobody else", remote: [], kernel: VTEP4 },
  {
    name: "one peer",
    remote: [leaseOf("a", "10.244.2.0/24", "192.0.2.2", A)],
    kernel: [...VTEP4, ...peer4(2, A, "192.0.2.2")],
  },
  {
    name: "three peers",
    remote: [
      leaseOf("a", "10.244.2.0/24", "192.0.2.2", A),
      leaseOf("b", "10.244.3.0/24", "192.0.2.3", B),
      leaseOf("c", "10.244.255.0/24", "192.0.2.4", C),
    ],
    kernel: [
      ...VTEP4,
      ...peer4(2, A, "192.0.2.2"),
      ...peer4(3, B, "192.0.2.3"),
      ...peer4(255, C, "192.0.2.4"),
    ],
  },
  {
    name: "a peer whose MAC is new",
    remote: [leaseOf("a", "10.244.2.0/24", "192.0.2.2", C)],
    kernel: [...VTEP4, ...peer4(2, C, "192.0.2.2")],
  },
  {
    name: "a peer whose underlay address is new",
    remote: [leaseOf("a", "10.244.2.0/24", "198.51.100.9", A)],
    kernel: [...VTEP4, ...peer4(2, A, "198.51.100.9")],
  },
  {
    name: "two peers that swapped subnets",
    remote: [
      leaseOf("a", "10.244.3.0/24", "192.0.2.2", A),
      leaseOf("b", "10.244.2.0/24", "192.0.2.3", B),
    ],
    kernel: [...VTEP4, ...peer4(3, A, "192.0.2.2"), ...peer4(2, B, "192.0.2.3")],
  },
  {
    name: "a peer with a longer prefix to the same first address",
    remote: [leaseOf("a", "10.244.2.0/26", "192.0.2.2", A)],
    kernel: [...VTEP4, ...peer4(2, A, "192.0.2.2", 26)],
  },
];

const IPV6: readonly Scenario[] = [
  { name: "nobody else", remote: [], kernel: VTEP6 },
  {
    name: "one peer",
    remote: [leaseOf("a", "fd00:10:244:2::/64", "2001:db8::2", A)],
    kernel: [...VTEP6, ...peer6(2, A, "2001:db8::2")],
  },
  {
    name: "three peers",
    remote: [
      leaseOf("a", "fd00:10:244:2::/64", "2001:db8::2", A),
      leaseOf("b", "fd00:10:244:3::/64", "2001:db8::3", B),
      leaseOf("c", "fd00:10:244:4::/64", "2001:db8::4", C),
    ],
    kernel: [
      ...VTEP6,
      ...peer6(2, A, "2001:db8::2"),
      ...peer6(3, B, "2001:db8::3"),
      ...peer6(4, C, "2001:db8::4"),
    ],
  },
  {
    name: "a peer whose MAC is new",
    remote: [leaseOf("a", "fd00:10:244:2::/64", "2001:db8::2", C)],
    kernel: [...VTEP6, ...peer6(2, C, "2001:db8::2")],
  },
  {
    name: "a peer whose underlay address is new",
    remote: [leaseOf("a", "fd00:10:244:2::/64", "2001:db8:9::9", A)],
    kernel: [...VTEP6, ...peer6(2, A, "2001:db8:9::9")],
  },
  {
    name: "two peers that swapped subnets",
    remote: [
      leaseOf("a", "fd00:10:244:3::/64", "2001:db8::2", A),
      leaseOf("b", "fd00:10:244:2::/64", "2001:db8::3", B),
    ],
    kernel: [...VTEP6, ...peer6(3, A, "2001:db8::2"), ...peer6(2, B, "2001:db8::3")],
  },
  {
    name: "a peer with a longer prefix to the same first address",
    remote: [leaseOf("a", "fd00:10:244:2::/80", "2001:db8::2", A)],
    kernel: [...VTEP6, ...peer6(2, A, "2001:db8::2", 80)],
  },
];

/** The scenarios of one family; any of them must be reachable from any other in one pass. */
export function scenarios(family: Family): readonly Scenario[] {
  return (family === 2 ? IPV4 : IPV6).map((scenario) => ({
    ...scenario,
    kernel: scenario.kernel.toSorted(),
  }));
}
