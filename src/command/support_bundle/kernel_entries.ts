import {
  type Address,
  AF_INET,
  AF_INET6,
  FAMILIES,
  familyOf,
  formatAddress,
  formatMac,
  formatPrefix,
  type Mac,
} from "../../model/address.ts";
import { readAddress, readMac } from "../../model/rows.ts";
import { isVtepName } from "../../model/vtep.ts";
import { AttributeReader } from "../../netlink/attribute.ts";
import { NLM_F_DUMP } from "../../netlink/message.ts";
import { LITTLE_ENDIAN } from "../../linux/byte_order.ts";
import { dumpRules as dumpChainRules } from "../../nftables/dump.ts";
import type { NftExpression } from "../../nftables/expression.ts";
import { IP_NAME } from "../../firewall/rules.ts";
import { expressionText } from "../../firewall/plan_words.ts";
import { dumpAddresses } from "../../rtnetlink/address.ts";
import {
  encodeNeighbourHeader,
  NDA_DST,
  NDA_LLADDR,
  NEIGHBOUR_HEADER_BYTES,
  RTM_GETNEIGH,
  RTM_NEWNEIGH,
} from "../../rtnetlink/neighbour.ts";
import { dumpRules } from "../../rtnetlink/rule.ts";
import { formatRule, tableName } from "../../rtnetlink/rule_text.ts";
import { decodeTableRoute, encodeTableDump } from "../../rtnetlink/table_route.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import type { Entry } from "./collect.ts";

const AF_BRIDGE = 7;
const ALL_TABLES = 0;
/** More lines of one kind are counted and not written. */
const MOST_LINES = 20_000;
/** More chains are not asked for their rules: each takes a question. */
const MOST_CHAINS = 2000;
/** `RTN_*` that lead nowhere, and others that stand before a route. */
const TYPES: Readonly<Record<number, string>> = {
  2: "local",
  3: "broadcast",
  4: "anycast",
  5: "multicast",
  6: "blackhole",
  7: "unreachable",
  8: "prohibit",
  9: "throw",
};
const STATES: readonly (readonly [bit: number, name: string])[] = [
  [0x01, "INCOMPLETE"],
  [0x02, "REACHABLE"],
  [0x04, "STALE"],
  [0x08, "DELAY"],
  [0x10, "PROBE"],
  [0x20, "FAILED"],
  [0x40, "NOARP"],
  [0x80, "PERMANENT"],
];

/** What the kernel holds, read by the agent's own codecs, in the words of ip(8). */
export const KERNEL_ENTRIES: readonly Entry[] = [
  { name: "kernel/links.txt", collect: links },
  { name: "kernel/addresses.txt", collect: addresses },
  { name: "kernel/ip-rules.txt", collect: ipRules },
  { name: "kernel/routes.txt", collect: routes },
  { name: "kernel/neighbours.txt", collect: (place) => neighbours(place, FAMILIES) },
  { name: "kernel/fdb.txt", collect: (place) => neighbours(place, [AF_BRIDGE]) },
  { name: "kernel/nft.txt", collect: packetFilter },
  { name: "kernel/sysctls.txt", collect: sysctls },
];

/** Lines up to a number, and a count of the others. */
class Lines {
  readonly #lines: string[] = [];
  #left = 0;

  push(line: () => string): void {
    if (this.#lines.length < MOST_LINES) this.#lines.push(line());
    else this.#left++;
  }

  clear(): void {
    this.#lines.length = 0;
    this.#left = 0;
  }

  get text(): string {
    const more = this.#left === 0 ? [] : [`and ${this.#left} more`];
    return [...this.#lines, ...more, ""].join("\n");
  }
}

function namesOf(place: DoctorPlace): (linkIndex: number) => string {
  const names = new Map(place.links.map(({ linkIndex, name }) => [linkIndex, name]));
  return (linkIndex) => names.get(linkIndex) ?? `link ${linkIndex}`;
}

function links(place: DoctorPlace): string {
  const lines = new Lines();
  const nameOf = namesOf(place);
  for (const { linkIndex, name, isUp, mtuBytes, mac, kind, vxlan, masterIndex } of place.links) {
    lines.push(() =>
      [
        `${linkIndex}: ${name} ${isUp ? "up" : "down"} mtu ${mtuBytes}`,
        ...mac === undefined ? [] : [`lladdr ${formatMac(mac)}`],
        ...kind === undefined ? [] : [kind],
        ...vxlan === undefined ? [] : [
          `id ${vxlan.vni} dstport ${vxlan.port}`,
          ...vxlan.local === undefined ? [] : [`local ${formatAddress(vxlan.local)}`],
          `dev ${nameOf(vxlan.underlayLinkIndex)}`,
        ],
        ...masterIndex === undefined ? [] : [`master ${nameOf(masterIndex)}`],
      ].join(" ")
    );
  }
  return lines.text;
}

function addresses(place: DoctorPlace): string {
  const lines = new Lines();
  const nameOf = namesOf(place);
  for (const { linkIndex, address, length, scope, flags } of dumpAddresses(place.client, 0)) {
    lines.push(() =>
      `${nameOf(linkIndex)} ${formatAddress(address)}/${length} scope ${scope} flags 0x${flags.toString(16)}`
    );
  }
  return lines.text;
}

function ipRules(place: DoctorPlace): string {
  const lines = new Lines();
  for (const family of FAMILIES) {
    for (const rule of dumpRules(place.client, family)) lines.push(() => formatRule(rule));
  }
  return lines.text;
}

function routes(place: DoctorPlace): string {
  const lines = new Lines();
  const nameOf = namesOf(place);
  for (const family of FAMILIES) {
    const ofFamily = new Lines();
    place.client.dump(
      "read all routes",
      (writer, sequence) => encodeTableDump(writer, sequence, family, ALL_TABLES),
      () => ofFamily.clear(),
      (message) => {
        const route = decodeTableRoute(message);
        if (route === undefined || familyOf(route.destination.address) !== family) return;
        ofFamily.push(() => {
          const { destination, table, protocol, type, metric, linkIndex, gateway, isOnlink } = route;
          return [
            ...TYPES[type] === undefined ? [] : [TYPES[type]],
            formatPrefix(destination),
            ...gateway === undefined ? [] : [`via ${formatAddress(gateway)}`],
            ...linkIndex === 0 ? [] : [`dev ${nameOf(linkIndex)}`],
            `table ${tableName(table)} proto ${protocol} metric ${metric}${isOnlink ? " onlink" : ""}`,
          ].join(" ");
        });
      },
    );
    for (const line of ofFamily.text.split("\n")) if (line !== "") lines.push(() => line);
  }
  return lines.text;
}

function neighbours(place: DoctorPlace, families: readonly number[]): string {
  const nameOf = namesOf(place);
  return families.map((family) => {
    const lines = new Lines();
    place.client.dump(
      "read neighbours",
      (writer, sequence) => {
        writer.begin(RTM_GETNEIGH, NLM_F_DUMP, sequence);
        encodeNeighbourHeader(writer, family, 0, 0, 0);
        writer.end();
      },
      () => lines.clear(),
      (message) => {
        if (message.type !== RTM_NEWNEIGH) return;
        message.requireHeader(NEIGHBOUR_HEADER_BYTES);
        const { view, start, end } = message;
        const state = view.getUint16(start + 8, LITTLE_ENDIAN);
        const linkIndex = view.getInt32(start + 4, LITTLE_ENDIAN);
        const attributes = new AttributeReader(view, start + NEIGHBOUR_HEADER_BYTES, end);
        const words = new Uint32Array(4);
        let [address, mac] = [undefined as Address | undefined, undefined as Mac | undefined];
        while (attributes.next()) {
          if (attributes.type === NDA_DST && [4, 16].includes(attributes.length)) {
            const length = attributes.length;
            attributes.addressWords(words, 0);
            address = readAddress(words, 0, length === 4 ? AF_INET : AF_INET6);
          } else if (attributes.type === NDA_LLADDR && attributes.length === 6) {
            attributes.macWords(words, 0);
            mac = readMac(words, 0);
          }
        }
        const states = STATES.filter(([bit]) => state & bit).map(([, name]) => name).join("|");
        const [first, second] = family === AF_BRIDGE
          ? [mac && formatMac(mac), address && `dst ${formatAddress(address)}`]
          : [address && formatAddress(address), mac && `lladdr ${formatMac(mac)}`];
        lines.push(() => `${first ?? "-"} dev ${nameOf(linkIndex)}${second ? ` ${second}` : ""} ${states}`);
      },
    );
    return lines.text;
  }).join("");
}

/** All chains and rules. What others have written as a comment is left out. */
function packetFilter(place: DoctorPlace): string {
  const lines = new Lines();
  for (const { family, table } of place.tables.filter(({ isDormant }) => isDormant)) {
    lines.push(() => `table ${IP_NAME[family] ?? `family ${family}`} ${table} flags dormant`);
  }
  for (const chain of place.chains.slice(0, MOST_CHAINS)) {
    const { family, table, base } = chain;
    const hook = base === undefined
      ? ""
      : ` type ${base.type} hook ${base.hook} priority ${base.priority} policy ${
        base.policy === 0 ? "drop" : "accept"
      }`;
    lines.push(() => `chain ${IP_NAME[family] ?? `family ${family}`} ${table} ${chain.chain}${hook}`);
    for (const { expressions } of dumpChainRules(place.nft, chain)) {
      lines.push(() => `  ${expressions.map(bundledText).join(" ")}`);
    }
  }
  if (place.chains.length > MOST_CHAINS) {
    lines.push(() => `and ${place.chains.length - MOST_CHAINS} more chains`);
  }
  return lines.text;
}

function bundledText(expression: NftExpression): string {
  switch (expression.kind) {
    case "source":
    case "destination":
      return `${expression.kind === "source" ? "saddr" : "daddr"} ${expression.isNot ? "!= " : ""}${
        formatPrefix(expression.prefix)
      }`;
    case "mark":
      return `mark & 0x${expression.mask.toString(16)} == 0x${expression.value.toString(16)}`;
    case "verdict":
      return `${expression.verdict}${expression.chain === undefined ? "" : ` ${expression.chain}`}`;
    case "masquerade":
      return `masquerade${expression.isFullyRandom ? " fully-random" : ""}`;
    case "other":
      return `[${expression.name}]`;
    case "comment":
    case "counter":
      return `[${expression.kind}]`;
    default:
      return expressionText(expression);
  }
}

const OF_LINKS = ["ipv4", "ipv6"].flatMap((family) =>
  ["forwarding", "rp_filter", "accept_ra", "disable_ipv6", "arp_ignore", "arp_announce", "proxy_arp"].map(
    (name) => [family, name] as const,
  )
);
const OF_HOST = [
  "net/ipv4/ip_forward",
  "net/ipv4/fib_multipath_hash_policy",
  "net/ipv4/neigh/default/gc_thresh1",
  "net/ipv4/neigh/default/gc_thresh2",
  "net/ipv4/neigh/default/gc_thresh3",
  "net/ipv6/neigh/default/gc_thresh3",
  "net/bridge/bridge-nf-call-iptables",
  "net/bridge/bridge-nf-call-ip6tables",
  "net/netfilter/nf_conntrack_count",
  "net/netfilter/nf_conntrack_max",
  "net/core/rmem_max",
  "fs/file-nr",
  "fs/inotify/max_user_instances",
  "fs/inotify/max_user_watches",
];

async function sysctls(place: DoctorPlace): Promise<string> {
  const bridge = await place.podsBridge;
  const underlay = await place.underlay.then(({ linkName }) => linkName, () => undefined);
  const own = place.links.map(({ name }) => name)
    .filter((name) => isVtepName(name) || name === bridge || name === underlay);
  const paths = [
    ...OF_HOST,
    ...["all", "default", ...own].flatMap((link) =>
      OF_LINKS.map(([family, name]) => `net/${family}/conf/${link}/${name}`)
    ),
  ];
  return paths.flatMap((path) => {
    const value = place.kernelFile(`/proc/sys/${path}`);
    return value === undefined ? [] : [`${path} = ${value}\n`];
  }).join("");
}
