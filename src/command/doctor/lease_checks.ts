import { printable } from "../../log/printable.ts";
import {
  formatAddress,
  formatPrefix,
  isOverlapping,
  type Prefix,
  prefixContains,
} from "../../model/address.ts";
import type { Lease } from "../../model/lease.ts";
import { findOverlaps, type SubnetClaim } from "../../registry/overlap.ts";
import type { LeaseFault } from "../../registry/remote_leases.ts";
import { doubtful, ok, type Said, wrong } from "./finding.ts";

/** Names and pairs are told up to so many; all are counted. */
const NAMED = 3;
/** What another host calls itself is cut here. */
const MAX_NAME_LENGTH = 80;

/** All that a registry says of the hosts of a cluster. */
export interface FoundLeases {
  readonly leases: readonly Lease[];
  /** Entries that can't be read. */
  readonly faults: readonly LeaseFault[];
  /** The cluster networks. */
  readonly networks: readonly Prefix[];
  /** What hosts of this backend publish: `vxlan`. */
  readonly leaseType: string;
}

/** Says what in a registry contradicts itself: each of these costs packets of the hosts that are named. */
export function judgeLeases({ leases, faults, networks, leaseType }: FoundLeases): readonly Said[] {
  const claims = leases.flatMap((lease) => lease.parts.map((part): SubnetClaim => ({ lease, part })));
  const inside = claims.filter(({ part }) => networkOf(part.subnet, networks) !== undefined);
  const said = [
    ...overlaps(inside),
    ...doubles(
      inside,
      "underlay address",
      ({ part }) => formatAddress(part.underlayAddress),
      "one of the two hosts gets what is meant for the other",
    ),
    ...doubles(inside, "VTEP MAC", macOf, "the later one is left out by all others"),
    ...outside(claims, networks),
    ...otherTypes(leases, leaseType),
    ...unreadable(faults),
  ];
  if (said.length > 0) return said;
  return [
    ok(
      `${leases.length} ${
        leases.length === 1 ? "lease is" : "leases are"
      } there, and none contradicts another`,
    ),
  ];
}

function networkOf({ address }: Prefix, networks: readonly Prefix[]): Prefix | undefined {
  return networks.find((network) =>
    typeof network.address === typeof address && prefixContains(network, address)
  );
}

function overlaps(claims: readonly SubnetClaim[]): Said[] {
  const found = findOverlaps([...claims], () => 0);
  const text = ({ loser, winner }: (typeof found)[number]) =>
    `${formatPrefix(loser.part.subnet)} of ${nameOf(loser.lease)} and ${
      formatPrefix(winner.part.subnet)
    } of ${nameOf(winner.lease)}`;
  if (found.length === 0) return [];
  const isEqual = found.every(({ loser, winner }) =>
    formatPrefix(loser.part.subnet) === formatPrefix(winner.part.subnet)
  );
  return [wrong(
    `${found.length} ${isEqual ? "subnets are given twice" : "subnets overlap another's"}: ${
      named(found.map(text))
    }`,
    "remove the lease of the host that is gone, or have one of the two take another subnet (delete its lease, start its agent anew)",
  )];
}

function doubles(
  claims: readonly SubnetClaim[],
  noun: string,
  keyOf: (claim: SubnetClaim) => string | undefined,
  effect: string,
): Said[] {
  const holders = new Map<string, Set<string>>();
  for (const claim of claims) {
    const key = keyOf(claim);
    if (key === undefined) continue;
    const hosts = holders.get(key);
    if (hosts === undefined) holders.set(key, new Set([claim.lease.host]));
    else hosts.add(claim.lease.host);
  }
  const found = [...holders].filter(([, hosts]) => hosts.size > 1);
  if (found.length === 0) return [];
  const texts = found.map(([key, hosts]) => `${key} of ${[...hosts].slice(0, NAMED).map(cut).join(" and ")}`);
  return [wrong(
    `the same ${noun} is published twice: ${named(texts)}; ${effect}`,
    noun === "VTEP MAC"
      ? "give one of them another: delete its link flannel.VNI and start its agent anew (clones of one image have one machine id: systemd-machine-id-setup)"
      : "remove the lease of the host that is gone, or give one of them another address",
  )];
}

/** The MAC in what a host of VXLAN publishes; others' data may be anything. */
function macOf({ part }: SubnetClaim): string | undefined {
  const mac = (part.backendData as { readonly VtepMAC?: unknown } | null | undefined)?.VtepMAC;
  return typeof mac === "string" && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)
    ? mac.toLowerCase()
    : undefined;
}

function outside(claims: readonly SubnetClaim[], networks: readonly Prefix[]): Said[] {
  const used = claims.filter(({ part: { subnet } }) =>
    networks.some(({ address }) => typeof address === typeof subnet.address)
  );
  const found = used.filter(({ part: { subnet } }) => networkOf(subnet, networks) === undefined);
  if (found.length === 0) return [];
  const covers = found.some(({ part: { subnet } }) =>
    networks.some((network) => isOverlapping(network, subnet))
  );
  const texts = found.map(({ lease, part }) => `${formatPrefix(part.subnet)} of ${nameOf(lease)}`);
  const where = networks.map(formatPrefix).join(" and ");
  return [wrong(
    `${found.length} ${found.length === 1 ? "subnet lies" : "subnets lie"} outside of ${where}${
      covers ? ", or cover it" : ""
    }: ${named(texts)}; these hosts are left out`,
    "see that Network of net-conf.json holds the cluster's pod CIDR (kube-controller-manager --cluster-cidr), or remove old leases",
  )];
}

function otherTypes(leases: readonly Lease[], leaseType: string): Said[] {
  const found = leases.filter(({ backendType, parts }) => parts.length > 0 && backendType !== leaseType);
  if (found.length === 0) return [];
  const types = [...new Set(found.map(({ backendType }) => typeOf(backendType)))].slice(0, NAMED)
    .join(", ");
  return [doubtful(
    `${found.length} of ${leases.length} hosts have another backend (${types}), and this one publishes ${
      leaseType || "alloc"
    }: ${named(found.map(nameOf))}; they don't reach each other`,
    "give all hosts one net-conf.json, and start their agents anew",
  )];
}

function unreadable(faults: readonly LeaseFault[]): Said[] {
  if (faults.length === 0) return [];
  const without = faults.filter(({ reason }) => /has no podCIDR/.test(reason));
  const others = faults.filter((fault) => !without.includes(fault));
  const total = (list: readonly LeaseFault[]) => list.reduce((sum, { count = 1 }) => sum + count, 0);
  return [
    ...without.length === 0 ? [] : [wrong(
      `${total(without)} ${total(without) === 1 ? "node has" : "nodes have"} no podCIDR: ${
        named(without.map(({ host }) => cut(host)))
      }`,
      "start kube-controller-manager with --allocate-node-cidrs and --cluster-cidr, or see whether the pod CIDR is used up",
    )],
    ...others.length === 0 ? [] : [doubtful(
      `${total(others)} ${total(others) === 1 ? "entry" : "entries"} can't be read: ${
        named(others.map(({ host, reason }) => `${cut(host)}: ${printable(reason, 200)}`))
      }`,
      "see what writes there",
    )],
  ];
}

/** What a host calls its backend, if that is a word. */
function typeOf(backendType: string): string {
  if (backendType === "") return "alloc";
  return /^[\w-]{1,20}$/.test(backendType) ? backendType : "an unknown one";
}

function named(texts: readonly string[]): string {
  const shown = texts.slice(0, NAMED).join(", ");
  return texts.length > NAMED ? `${shown} and ${texts.length - NAMED} more` : shown;
}

function nameOf({ host }: Lease): string {
  return cut(host);
}

function cut(text: string): string {
  return printable(text, MAX_NAME_LENGTH);
}
