/** Of the table of a router that has the internet's routes, and of kube-proxy in a large cluster. */
const MANY_ROUTES = 200_000;
const MANY_CHAINS = 20_000;
const LEGACY_CHAINS = 5000;

/** What other programs do on a host, which is none of the agent's business. */
export interface Noise {
  readonly name: string;
  readonly backend: string;
  readonly leases: number;
  readonly perSecond: number;
  /** Lines of ip-batch(8) that are there before the agent. */
  readonly before?: () => string[];
  /** Lines of nft(8) that are. */
  readonly rules?: () => string[];
  /** Lines of iptables-legacy-restore(8) that are. */
  readonly legacy?: () => string[];
  /** The lines of ip-batch(8) of one change; a rule of nf_tables where there are none. */
  readonly change: (at: number) => string[];
}

const other = "other0";
const otherLink = [
  `link add ${other} type veth peer name other1`,
  `link set ${other} up`,
  "link set other1 up",
];
const arp = (at: number) => [
  `neigh replace 100.64.200.${1 + at % 200} lladdr 02:00:00:00:00:01 dev eth0 nud ${
    at % 2 === 0 ? "reachable" : "stale"
  }`,
];
const turns = (at: number) => Math.floor(at / 2);
const isFirst = (at: number) => at % 2 === 0;

/** Each on a host of its own. */
export const NOISES: readonly Noise[] = [
  { name: "ARP of the underlay", backend: "host-gw", leases: 5000, perSecond: 30, change: arp },
  { name: "ARP of the underlay", backend: "auto", leases: 5000, perSecond: 30, change: arp },
  ...["host-gw", "vxlan"].map((backend) => ({
    name: `others' routes, half of them multipath, beside ${MANY_ROUTES}`,
    backend,
    leases: 1000,
    perSecond: 20,
    before: () => [
      ...otherLink,
      `address add 192.168.1.1/24 dev ${other}`,
      ...Array.from(
        { length: MANY_ROUTES },
        (_, at) =>
          `route add ${16 + (at >> 16)}.${at >> 8 & 255}.${
            at & 255
          }.0/24 via 192.168.1.2 dev ${other} proto bird`,
      ),
    ],
    change: (at: number) => {
      const to = `172.${16 + turns(at) % 16}.${turns(at) % 256}.0/24`;
      const hops = [2, 3].map((n) => `nexthop via 192.168.1.${n} dev ${other}`).join(" ");
      const way = turns(at) % 2 === 0 ? hops : `via 192.168.1.2 dev ${other}`;
      return [`route ${isFirst(at) ? "add" : "delete"} ${to} proto bird ${way}`];
    },
  })),
  {
    name: `rules of others, beside ${MANY_CHAINS} chains`,
    backend: "vxlan",
    leases: 1000,
    perSecond: 6,
    rules: () => [
      "add table ip nat",
      "add chain ip nat x",
      ...Array.from({ length: MANY_CHAINS }, (_, at) => `add chain ip nat KUBE-SEP-${at}`),
    ],
    change: () => [],
  },
  {
    name: `rules of others, beside ${LEGACY_CHAINS} chains of legacy iptables`,
    backend: "vxlan",
    leases: 1000,
    perSecond: 6,
    rules: () => ["add table ip nat", "add chain ip nat x"],
    legacy: () => {
      const chains = Array.from({ length: LEGACY_CHAINS }, (_, at) => `KUBE-SEP-${at}`);
      return [
        "*filter",
        ...chains.map((chain) => `:${chain} - [0:0]`),
        ...chains.map((chain) => `-A ${chain} -j ACCEPT`),
        "COMMIT",
        "",
      ];
    },
    change: () => [],
  },
  {
    name: "pods' links up and down",
    backend: "vxlan",
    leases: 1000,
    perSecond: 10,
    before: () => [
      ...otherLink,
      "link add cbr9 type bridge",
      "link set cbr9 up",
      ...Array.from({ length: 100 }, (_, at) => [
        `link add veth${at} type veth peer name pod${at}`,
        `link set veth${at} master cbr9 up`,
      ]).flat(),
    ],
    change: (at) => [`link set pod${turns(at) % 100} ${isFirst(at) ? "up" : "down"}`],
  },
  {
    name: "addresses of other links",
    backend: "auto",
    leases: 5000,
    perSecond: 10,
    before: () => otherLink,
    change: (at) => [
      `address ${isFirst(at) ? "add" : "delete"} 192.168.${turns(at) % 250}.1/24 dev ${other}`,
    ],
  },
];
