import type { Address } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { HookVerdict } from "../../nftables/packet_walk.ts";
import type { PortState } from "../../rtnetlink/bridge_port.ts";
import type { NeighbourEntry } from "../../rtnetlink/neighbour_entry.ts";

// What is known of the links on the way of a packet.

/** A pod of this host that packets can be sent from. */
export interface PodNetns {
  /** What setns(2) takes, once opened. */
  readonly path: string;
  readonly address: Address;
  /** The link that has the address, in there. */
  readonly link: ObservedLink;
  /** The other end of that link, on this host. */
  readonly portIndex: number;
}

/** Where a pod itself sends a packet first. */
export interface PodWay {
  /** The pod's own link, by its name in there. */
  readonly link: string | undefined;
  /** Who takes it there: the gateway, or the address itself. */
  readonly nextHop: Address;
  /** What the pod has for that one's MAC. */
  readonly neighbour: NeighbourEntry | undefined;
}

/** Where a pod of this host hangs on the bridge. */
export interface PodPort {
  readonly address: Address;
  /** The pod itself; `undefined` where its network namespace was not found. */
  readonly pod: PodNetns | undefined;
  /** This host's end of its link. */
  readonly link: ObservedLink;
  /** What that is enslaved to. */
  readonly master: ObservedLink | undefined;
  /** What the bridge does with its frames. */
  readonly state: PortState | undefined;
  /** What this host has for its MAC. */
  readonly neighbour: NeighbourEntry | undefined;
  /** FDB entries of the bridge that lead frames for the pod's own MAC to another port, or to this host. */
  readonly elsewhere: readonly (NeighbourEntry & { readonly link: ObservedLink })[];
}

/** Which packet rules are asked about. */
export type Whose = "packet" | "answer" | "outer-packet" | "outer-answer";

/** What rules do with a packet while it is a frame. */
export interface FrameVerdict {
  readonly whose: Whose;
  /** Where that is, as a clause. */
  readonly where: string;
  readonly verdict: HookVerdict;
}

/** Something of tc(8) on a link that may stop packets. */
export interface TrafficFact {
  readonly link: string;
  readonly where: "ingress" | "egress" | "root";
  /** The kinds of filters, or that of the queueing discipline. */
  readonly kinds: readonly string[];
}
