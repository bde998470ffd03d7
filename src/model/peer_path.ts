import type { Address, Family } from "./address.ts";

/** The network that a probe goes through: the hosts' own, or the one that pods see. */
export type ProbedNetwork = "underlay" | "overlay";

/** The way from this host to a peer, and the way back. */
export type PathDirection = "there" | "back";

/**
 * What is known of the path to a peer. `good`: packets of full size come there and back. `narrow`: only smaller ones
 * do. `lossy`: some are lost. `damaged`: what arrives is not what was sent, or does not arrive unless its checksum is
 * left out. `broken`: none come through, though the peer is alive. `silent`: there is no sign of the peer at all; it may
 * be down. `unknown`: it was not asked yet.
 */
export type PathState = "unknown" | "good" | "narrow" | "lossy" | "damaged" | "broken" | "silent";

/** How large a packet may be, in bytes of the IP packet. */
export interface PathMtu {
  /** What must get through: the MTU of the link that packets leave by. */
  readonly expectedBytes: number;
  /** What does get through; `undefined` while that is not known. */
  readonly foundBytes: number | undefined;
  /** Which way larger packets are lost; absent where that is not known, or both are. */
  readonly direction?: PathDirection;
}

/** The path through one network. */
export interface NetworkPath {
  readonly state: PathState;
  /** The last round trip in milliseconds; `undefined` before the first. */
  readonly roundTripMs: number | undefined;
  /** Of the last probes, how many were lost, from 0 to 1. */
  readonly lossRatio: number;
  readonly mtu: PathMtu;
  /** Which way is broken; absent where that is not known, or both are. */
  readonly direction?: PathDirection;
  /** When the peer was asked last, in milliseconds since 1970; `undefined` if never. */
  readonly askedAtMs: number | undefined;
  /** When it answered last, likewise. */
  readonly answeredAtMs: number | undefined;
}

/** The path to one peer in one family. */
export interface PeerPath {
  /** What the registry knows it by. */
  readonly host: string;
  readonly family: Family;
  /** What a person has to know first: of the overlay where there is one, else of the underlay. */
  readonly state: PathState;
  /** What is wrong, as a clause with addresses and sizes; absent where nothing is. */
  readonly reason?: string;
  /** Absent where pods' packets are not encapsulated. */
  readonly overlay?: NetworkPath;
  readonly underlay: NetworkPath;
}

/** The key of what is known of a path, by host and family. */
export function sizeKey(host: string, family: Family): string {
  return `${family} ${host}`;
}

/** All that probes have found. */
export interface PathReport {
  /** `-path-probes`. */
  readonly mode: "off" | "auto" | "on";
  /** The UDP port at which this host answers; `undefined` where it does not. */
  readonly port: number | undefined;
  /** Peers that take part. */
  readonly peerCount: number;
  /** The paths that are known, the worst first; of thousands of peers those that are good may be left out. */
  readonly peers: readonly PeerPath[];
  /** Probes since the start. */
  readonly totals: PathTotals;
}

/** Probes since the start, and the round trips of those that were answered. */
export interface PathTotals {
  readonly asked: number;
  readonly answered: number;
  readonly lost: number;
  /** Questions of others that were answered. */
  readonly served: number;
  /** Datagrams of others that were not: of strangers, malformed, or too many. */
  readonly refused: number;
  readonly roundTripMsSum: number;
}

/** What one question to a peer came to. */
export interface PeerAnswer {
  readonly network: ProbedNetwork;
  readonly target: Address;
  /** The size of the IP packet. */
  readonly packetBytes: number;
  /** `undefined` if no answer came in time. */
  readonly roundTripMs: number | undefined;
  /** What the peer says of what it hears of this host; `undefined` without an answer. */
  readonly view: PeerView | undefined;
}

/** How a peer sees this host. */
export interface PeerView {
  /** The bytes of the IP packet that came to it. */
  readonly arrivedBytes: number;
  /** Whether it was damaged on the way. */
  readonly isDamaged: boolean;
  /** Whether it has heard a probe of this host through each network within the last seconds. */
  readonly hears: Readonly<Record<ProbedNetwork, boolean>>;
  /** Whether it has heard others through the overlay. */
  readonly hearsOthers: boolean;
}
