import { printable } from "../log/printable.ts";
import { type Address, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import type { Underlay } from "../model/underlay.ts";
import { type PeerFault, usesSegment, usesTunnel } from "../overlay/backend/backend.ts";
import { reachOf } from "../overlay/backend/direct_route.ts";
import { countFaults } from "../reconcile/report.ts";
import type { OverlayFacts, StatusDeps } from "./facts.ts";

/** A reason is cut here: part of it can be another host's words. */
const MAX_REASON_LENGTH = 300;
/** Peers of one answer, whatever is asked for: the rest is another question. */
export const MAX_PEERS = 500;

/**
 * What is known of a host of the overlay, worst first: `left out`: its lease can't be used; `other backend`: this backend
 * does not reach it; `well`: what leads to it is in place.
 */
export const PEER_STATES = ["left out", "other backend", "well"] as const;
export type PeerState = (typeof PEER_STATES)[number];

/** How packets for a peer leave this host. */
export type PeerWay = "vxlan" | "direct" | "cloud" | "none";

/** One host of the overlay, as this one sees it. */
export interface PeerReport {
  readonly host: string;
  /** How many hosts it stands for: more than one where they are too many to be named. */
  readonly count: number;
  readonly subnets: readonly string[];
  readonly underlayAddresses: readonly string[];
  readonly backendType: string;
  /** One for each family. */
  readonly ways: readonly PeerWay[];
  readonly state: PeerState;
  /** Why it is not well. */
  readonly reason: string | null;
}

/** How many hosts there are beside this one. */
export interface PeerCounts {
  readonly total: number;
  readonly well: number;
  /** Of each state that is not `well` and has some. */
  readonly unwell: Readonly<Partial<Record<PeerState, number>>>;
}

/** Some of the peers, those that are not well first, then by name. */
export interface PeersReport {
  readonly at: string;
  /** `null` until it is known who is in the overlay. */
  readonly counts: PeerCounts | null;
  /** Where in the whole list `peers` begins. */
  readonly offset: number;
  readonly peers: readonly PeerReport[];
}

/** What peers are judged by. */
export type PeerFacts = Pick<StatusDeps, "overlay" | "ownLease" | "lastPass" | "underlay">;

/** A peer before it is put in words, which of thousands takes its time. */
interface JudgedPeer {
  readonly lease: Pick<Lease, "host" | "backendType" | "parts">;
  readonly count: number;
  readonly state: PeerState;
  readonly reasons: readonly string[];
}

/** How many peers there are; `undefined` until that is known. */
export function peerCounts(facts: PeerFacts): PeerCounts | undefined {
  const peers = judgePeers(facts);
  return peers && countPeers(peers);
}

/** What the agent's door answers to `/peers?offset=N&limit=N`. */
export function answerPeers(facts: PeerFacts, query: URLSearchParams): PeersReport {
  const number = (name: string, usual: number) => {
    const text = query.get(name) ?? "";
    return /^\d{1,9}$/.test(text) ? Number(text) : usual;
  };
  return peersReport(facts, {
    at: new Date(),
    offset: number("offset", 0),
    limit: number("limit", MAX_PEERS),
  });
}

/** A part of the list of peers, which is made when it is asked for. */
export function peersReport(
  facts: PeerFacts,
  { at, offset, limit }: { readonly at: Date; readonly offset: number; readonly limit: number },
): PeersReport {
  const peers = judgePeers(facts);
  if (peers === undefined) return { at: at.toISOString(), counts: null, offset, peers: [] };
  const rank = ({ state }: JudgedPeer) => PEER_STATES.indexOf(state);
  peers.sort((a, b) => rank(a) - rank(b) || (a.lease.host < b.lease.host ? -1 : 1));
  const overlay = facts.overlay!()!;
  const underlay = facts.underlay();
  const some = peers.slice(offset, offset + Math.min(limit, MAX_PEERS));
  return {
    at: at.toISOString(),
    counts: countPeers(peers),
    offset,
    peers: some.map((peer) => describePeer(peer, overlay, underlay)),
  };
}

function countPeers(peers: readonly JudgedPeer[]): PeerCounts {
  const unwell: Partial<Record<PeerState, number>> = {};
  let [total, well] = [0, 0];
  for (const { state, count } of peers) {
    total += count;
    if (state === "well") well += count;
    else unwell[state] = (unwell[state] ?? 0) + count;
  }
  return { total, well, unwell };
}

function judgePeers(facts: PeerFacts): JudgedPeer[] | undefined {
  const overlay = facts.overlay?.();
  const leases = overlay?.leases;
  if (overlay === undefined || leases === undefined) return undefined;
  const own = facts.ownLease()?.host;
  const faults = Map.groupBy(facts.lastPass()?.faults ?? [], ({ host }) => host);
  const peers = leases.filter(({ host }) => host !== own).map((lease) => judge(lease, overlay, faults));
  // Who has no lease that can be read has no line of its own yet.
  const known = new Set(leases.map(({ host }) => host));
  for (const [host, about] of faults) {
    if (known.has(host) || host === own) continue;
    const lease = { host, backendType: "", parts: [] };
    peers.push({
      lease,
      count: countFaults(about),
      state: "left out",
      reasons: about.map(({ reason }) => reason),
    });
  }
  return peers;
}

function judge(
  lease: Lease,
  { leaseType }: OverlayFacts,
  faults: ReadonlyMap<string, readonly PeerFault[]>,
): JudgedPeer {
  const about = faults.get(lease.host);
  if (about !== undefined) {
    return { lease, count: 1, state: "left out", reasons: about.map(({ reason }) => reason) };
  }
  // A backend that publishes nothing reaches nobody, and does not mean to.
  if (leaseType !== "" && lease.backendType !== leaseType) {
    const reason = `its backend is ${lease.backendType || "alloc"}, and this host's ${leaseType}`;
    return { lease, count: 1, state: "other backend", reasons: [reason] };
  }
  return { lease, count: 1, state: "well", reasons: [] };
}

function describePeer(
  { lease, count, state, reasons }: JudgedPeer,
  overlay: OverlayFacts,
  underlay: Underlay | undefined,
): PeerReport {
  const { host, parts, backendType } = lease;
  return {
    host: printable(host, MAX_REASON_LENGTH),
    count,
    subnets: parts.map(({ subnet }) => formatPrefix(subnet)),
    underlayAddresses: parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
    backendType: printable(backendType, MAX_REASON_LENGTH),
    ways: state === "well" ? parts.map((part) => wayOf(part, overlay, underlay)) : [],
    state,
    reason: reasons.length === 0 ? null : printable(reasons.join("; "), MAX_REASON_LENGTH),
  };
}

/** How packets for a part of a lease leave this host. */
function wayOf(
  { underlayAddress }: LeasePart,
  { carriage }: OverlayFacts,
  underlay: Underlay | undefined,
): PeerWay {
  if (carriage === "none") return "none";
  if (carriage === "router") return "cloud";
  if (usesSegment(carriage) && isOnSegment(underlayAddress, underlay)) return "direct";
  return usesTunnel(carriage) ? "vxlan" : "none";
}

function isOnSegment(address: Address, underlay: Underlay | undefined): boolean {
  const own = underlay?.addresses.find(({ family }) => family === familyOf(address));
  return own !== undefined && reachOf(own, address).place === "segment";
}
