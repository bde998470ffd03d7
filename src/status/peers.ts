import { printable } from "../log/printable.ts";
import { type Address, AF_INET, familyOf, formatAddress, formatPrefix } from "../model/address.ts";
import type { Lease, LeasePart } from "../model/lease.ts";
import type { PathState, PeerPath } from "../model/peer_path.ts";
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
 * What is known of a host of the overlay, worst first: `left out`: its lease can't be used; `misled`: the kernel
 * takes another way to it than ours, with all of its packets or some; `broken` to `silent`: what
 * probes have found, as `PathState` says; `other backend`: this backend does not reach it; `well`: what leads to it is in
 * place, and where it is probed, packets come through.
 */
export const PEER_STATES = [
  "left out",
  "misled",
  "broken",
  "damaged",
  "narrow",
  "lossy",
  "silent",
  "other backend",
  "well",
] as const;
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
  /** What probes have found, one for each family; empty where none has been there, or all is well among thousands. */
  readonly paths: readonly PeerPathReport[];
}

/** What probes have found of the path to a peer: over the overlay where packets are encapsulated. */
export interface PeerPathReport {
  readonly family: "ipv4" | "ipv6";
  readonly state: PathState;
  readonly roundTripMs: number | null;
  /** From 0 to 1. */
  readonly lossRatio: number;
  /** The largest packet that gets through; `null` while that is not known. */
  readonly mtuBytes: number | null;
  readonly answeredAt: string | null;
}

/** How many hosts there are beside this one. */
export interface PeerCounts {
  readonly total: number;
  readonly well: number;
  /** Of each state that is not `well` and has some. */
  readonly unwell: Readonly<Partial<Record<PeerState, number>>>;
  /** How many of them take part in probes. */
  readonly probed: number;
}

/** Some of the peers, those that are not well first, the worst of these before. */
export interface PeersReport {
  readonly at: string;
  /** `null` until it is known who is in the overlay. */
  readonly counts: PeerCounts | null;
  /** Where in the whole list `peers` begins. */
  readonly offset: number;
  readonly peers: readonly PeerReport[];
}

/** What peers are judged by. */
export type PeerFacts = Pick<
  StatusDeps,
  "overlay" | "ownLease" | "lastPass" | "underlay" | "paths" | "peerTruth"
>;

/** A peer before it is put in words, which of thousands takes its time. */
interface JudgedPeer {
  readonly lease: Pick<Lease, "host" | "backendType" | "parts">;
  readonly count: number;
  readonly state: PeerState;
  readonly reasons: readonly string[];
}

/** All peers: of those that are well, of which there may be thousands, nothing is made. */
interface JudgedPeers {
  readonly unwell: readonly JudgedPeer[];
  /** In the registry's order, which stays as it is. */
  readonly well: readonly Lease[];
  readonly counts: PeerCounts;
  readonly paths: ReadonlyMap<string, readonly PeerPath[]>;
}

/** How many peers there are; `undefined` until that is known. */
export function peerCounts(facts: PeerFacts): PeerCounts | undefined {
  return judgePeers(facts)?.counts;
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
  const judged = judgePeers(facts);
  if (judged === undefined) return { at: at.toISOString(), counts: null, offset, peers: [] };
  const { counts, unwell, well, paths } = judged;
  const end = offset + Math.min(limit, MAX_PEERS);
  const first = unwell.slice(offset, end);
  const others = well.slice(Math.max(0, offset - unwell.length), Math.max(0, end - unwell.length))
    .map((lease): JudgedPeer => ({ lease, count: 1, state: "well", reasons: [] }));
  const place = { overlay: facts.overlay!()!, underlay: facts.underlay(), paths };
  return {
    at: at.toISOString(),
    counts,
    offset,
    peers: [...first, ...others].map((peer) => describePeer(peer, place)),
  };
}

function judgePeers(facts: PeerFacts): JudgedPeers | undefined {
  const overlay = facts.overlay?.();
  const leases = overlay?.leases;
  if (overlay === undefined || leases === undefined) return undefined;
  const own = facts.ownLease()?.host;
  const faults = Map.groupBy(facts.lastPass()?.faults ?? [], ({ host }) => host);
  const report = facts.paths?.();
  const paths = Map.groupBy(report?.peers ?? [], ({ host }) => host);
  const truth = facts.peerTruth?.();
  const unwell: JudgedPeer[] = [];
  const well: Lease[] = [];
  for (const lease of leases) {
    const { host } = lease;
    if (host === own) continue;
    const about = { faults: faults.get(host), misled: truth?.get(host), paths: paths.get(host) };
    const judged = judge(lease, overlay, about);
    if (judged === undefined) well.push(lease);
    else unwell.push(judged);
    faults.delete(host);
  }
  // Who has no lease that can be read has no line of its own yet.
  for (const [host, about] of faults) {
    if (host === own) continue;
    const lease = { host, backendType: "", parts: [] };
    const reasons = about.map(({ reason }) => reason);
    unwell.push({ lease, count: countFaults(about), state: "left out", reasons });
  }
  const rank = ({ state }: JudgedPeer) => PEER_STATES.indexOf(state);
  unwell.sort((a, b) => rank(a) - rank(b) || (a.lease.host < b.lease.host ? -1 : 1));
  return { unwell, well, paths, counts: countPeers(unwell, well.length, report?.peerCount ?? 0) };
}

function countPeers(unwell: readonly JudgedPeer[], well: number, probed: number): PeerCounts {
  const counts: Partial<Record<PeerState, number>> = {};
  let total = well;
  for (const { state, count } of unwell) {
    total += count;
    counts[state] = (counts[state] ?? 0) + count;
  }
  return { total, well, unwell: counts, probed };
}

/** What is wrong with a peer; `undefined` if nothing is. */
function judge(
  lease: Lease,
  { leaseType }: OverlayFacts,
  { faults, misled, paths }: {
    readonly faults: readonly PeerFault[] | undefined;
    readonly misled: string | undefined;
    readonly paths: readonly PeerPath[] | undefined;
  },
): JudgedPeer | undefined {
  const judged = (state: PeerState, reasons: readonly string[]) => ({ lease, count: 1, state, reasons });
  if (faults?.some(({ taken }) => taken === undefined)) {
    return judged("left out", faults.map(({ reason }) => reason));
  }
  // A backend that publishes nothing reaches nobody, and does not mean to.
  if (leaseType !== "" && lease.backendType !== leaseType) {
    return judged("other backend", [
      `its backend is ${lease.backendType || "alloc"}, and this host's ${leaseType}`,
    ]);
  }
  const taken = faults?.map(({ reason }) => reason) ?? (misled === undefined ? [] : [misled]);
  if (taken.length > 0) return judged("misled", taken);
  const bad = paths?.filter(({ state }) => state !== "good" && state !== "unknown") ?? [];
  const worst = PEER_STATES.find((state) => bad.some((path) => path.state === state));
  return worst && judged(worst, bad.map(({ reason, state }) => reason ?? `its path is ${state}`));
}

function describePeer(
  { lease, count, state, reasons }: JudgedPeer,
  { overlay, underlay, paths }: {
    readonly overlay: OverlayFacts;
    readonly underlay: Underlay | undefined;
    readonly paths: JudgedPeers["paths"];
  },
): PeerReport {
  const { host, parts, backendType } = lease;
  return {
    host: printable(host, MAX_REASON_LENGTH),
    count,
    subnets: parts.map(({ subnet }) => formatPrefix(subnet)),
    underlayAddresses: parts.map(({ underlayAddress }) => formatAddress(underlayAddress)),
    backendType: printable(backendType, MAX_REASON_LENGTH),
    ways: state !== "left out" && state !== "other backend"
      ? parts.map((part) => wayOf(part, overlay, underlay))
      : [],
    state,
    reason: reasons.length === 0 ? null : printable(reasons.join("; "), MAX_REASON_LENGTH),
    paths: (paths.get(host) ?? []).map(describePath),
  };
}

function describePath({ family, state, overlay, underlay }: PeerPath): PeerPathReport {
  const { roundTripMs, lossRatio, mtu, answeredAtMs } = overlay ?? underlay;
  return {
    family: family === AF_INET ? "ipv4" : "ipv6",
    state,
    roundTripMs: roundTripMs ?? null,
    lossRatio,
    mtuBytes: mtu.foundBytes ?? null,
    answeredAt: answeredAtMs === undefined ? null : new Date(answeredAtMs).toISOString(),
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
