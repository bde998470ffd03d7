import type { Address, Family, Prefix } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import type { HookVerdict } from "../../nftables/packet_walk.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import type { NeighbourEntry } from "../../rtnetlink/neighbour_entry.ts";
import type { RouteAnswer } from "../../rtnetlink/route_query.ts";
import type { WalkStep } from "../../rtnetlink/route_walk.ts";
import type { ObservedRule } from "../../rtnetlink/rule.ts";
import type { Packet } from "../../nftables/packet.ts";
import type { FrameVerdict, PodNetns, PodPort, PodWay, TrafficFact } from "./link_facts.ts";
import type { LeaseOf } from "../../status/lease_of.ts";

/** The port that packets go to: that of traceroute(8), where hardly anything listens. */
export const PROBE_PORT = 33434;
/** And the port that they come from. */
export const FROM_PORT = 40_000;

/**
 * What an address is, seen from this host.
 *
 * - `own-address`: one of this host's own.
 * - `own-pod`: in this host's subnet.
 * - `overlay`: in a cluster network, and not in this host's subnet.
 * - `host`: another member's own address in the underlay.
 * - `service`: a Service's, which rules translate.
 * - `outside`: none of these.
 */
export type AddressKind = "own-address" | "own-pod" | "overlay" | "host" | "service" | "outside";

/** What the registry says of an address, by way of the agent. */
export type RegistryWord =
  | { readonly kind: "said"; readonly lease: LeaseOf | undefined }
  /** No agent answers, or it does not know yet: a clause that says so. */
  | { readonly kind: "silent"; readonly reason: string };

/** Where a packet goes next, by the kernel's own word. */
export interface Way {
  readonly answer: RouteAnswer;
  /** The routing policy rule that decided; `undefined` where that can't be told. */
  readonly rule: ObservedRule | undefined;
  /** The link that the packet comes in by; `undefined` for one of this host's own. */
  readonly inputLink: ObservedLink | undefined;
  /** Whether that link takes only what is answered over it: `rp_filter` is 1. */
  readonly isStrict: boolean;
  /** What refuses the packet; `undefined` where it has a way, or that can't be told. */
  readonly refusal: WalkStep | undefined;
  /** The link of the route's first hop. */
  readonly link: ObservedLink | undefined;
  /** Who takes the packet on that link: the gateway, or the address itself. */
  readonly nextHop: Address | undefined;
  readonly neighbour: NeighbourEntry | undefined;
  /** The largest packet for that address, as the kernel has it; 0 where it says none. */
  readonly mtuBytes: number;
  /** In how many seconds that MTU ends, where a router has told it; absent where it is the route's own. */
  readonly mtuEndsS?: number;
}

/** The bridge of this host's pods. */
export interface Bridge {
  readonly link: ObservedLink;
  /** Its addresses of the packet's family. */
  readonly addresses: readonly Address[];
  /** Whether what comes in by it is forwarded; `undefined` where that can't be read. */
  readonly isForwarding: boolean | undefined;
}

/** What encapsulation adds to the chain. */
export interface Tunnel {
  readonly link: ObservedLink;
  /** The FDB entries of the next hop's MAC. */
  readonly fdb: readonly NeighbourEntry[];
  /** Whether the address that it sends from is this host's. */
  readonly isLocalOwn: boolean;
  /** The way of the outer packets; `undefined` where nobody is to be sent to. */
  readonly outer: Way | undefined;
  readonly overheadBytes: number;
  readonly outerPacket: Packet | undefined;
  /** An outer packet of the other host's. */
  readonly outerAnswer: Packet | undefined;
  readonly outerOutput: readonly HookVerdict[];
  /** Of an outer packet of the other host's. */
  readonly outerInput: readonly HookVerdict[];
}

/** What rules do with the packet. */
export interface Filters {
  readonly first: HookVerdict | undefined;
  /** Forwarded, or of this host's own. */
  readonly hook: "forward" | "output" | "input";
  readonly main: HookVerdict;
  readonly last: HookVerdict | undefined;
  /** Of the answer, hook by hook, up to the first that refuses it. */
  readonly answer: readonly HookVerdict[];
}

/** All that one look has found on the way to an address. */
export interface ChainFacts {
  readonly target: Address;
  readonly family: Family;
  readonly kind: AddressKind;
  /** Where the packet comes from. */
  readonly source: Address | undefined;
  /** Whether that is a pod's address: then it is forwarded. */
  readonly isFromPod: boolean;
  /** Whether it is one of this host's own; the kernel chooses one where none is asked for. */
  readonly isFromOwn: boolean;
  readonly subnetFilePath: string;
  /** `undefined` where there is none that can be read, or it names no network of the family. */
  readonly env: SubnetEnv | undefined;
  readonly ownSubnet: Prefix | undefined;
  readonly registry: RegistryWord;
  /** The link that has the address, where it is this host's own. */
  readonly ownLink: ObservedLink | undefined;
  readonly bridge: Bridge | undefined;
  /** Links of this host that are no pod's by what is on them: addresses of the host's own, or the underlay of packets. */
  readonly hostLinks: ReadonlySet<number>;
  /** Whether the host forwards packets of the family at all; `undefined` where that can't be read. */
  readonly isForwarding: boolean | undefined;
  /** The VTEPs of the packet's family that are not in use: down, or set so. */
  readonly idleVteps: readonly ObservedLink[];
  /** Whether the backend has a VTEP, by the subnet file, and there is none. */
  readonly isVtepMissing: boolean;
  readonly way: Way;
  readonly tunnel: Tunnel | undefined;
  /** The way of the answer, from the link that it comes in by; `undefined` where that is not forwarded. */
  readonly back: Way | undefined;
  /** The link that answers come in by. */
  readonly backLink: ObservedLink | undefined;
  /** The pod that it comes from, where its network namespace was found. */
  readonly pod: PodNetns | undefined;
  /** Where that pod sends it first; `undefined` where it is not known, or has no way. */
  readonly podWay: PodWay | undefined;
  /** The ports of the pods that the packet comes from and goes to, where they are known. */
  readonly sourcePort: PodPort | undefined;
  readonly targetPort: PodPort | undefined;
  /** The links of this host that it passes, in its order. */
  readonly wayLinks: readonly ObservedLink[];
  /** What of tc(8) and XDP is on them. */
  readonly traffic: readonly TrafficFact[];
  readonly filters: Filters | undefined;
  /** What rules do with it while it is a frame, as far as they do anything. */
  readonly frameFilters: readonly FrameVerdict[];
  /** Why rules could not be read; `undefined` where they were. */
  readonly filterFault: string | undefined;
  /** Legacy iptables has tables of the family, whose rules are not read here. */
  readonly hasLegacy: boolean;
}

/** How one link of the chain is. `note`: it matters to a person, and stops no packet that is known of. */
export type LinkState = "ok" | "wrong" | "note" | "unknown";

/** One link of the chain of a packet. */
export interface ChainLink {
  /** What a person looks for: `route`, `neighbour`. */
  readonly name: string;
  readonly state: LinkState;
  /** What names the finding; never renamed. */
  readonly code: string;
  readonly text: string;
  /** What to do; absent where nothing is to be done here. */
  readonly remedy?: string;
}
