import type { Address, Family, Mac, Prefix } from "./address.ts";
import type { Table } from "./table.ts";

/** A VXLAN link that this host must hold (RFC 7348). */
export interface VxlanLink {
  readonly kind: "vxlan";
  readonly name: string;
  /** VXLAN network identifier, 24 bits. */
  readonly vni: number;
  /** UDP destination port. */
  readonly port: number;
  readonly mtuBytes: number;
  readonly mac: Mac;
  /** Source address of the outer packets. */
  readonly local: Address;
  /** The underlay link that outer packets leave by. */
  readonly underlayLinkIndex: number;
  /** Whether the VTEP learns remote MACs from traffic. */
  readonly learning: boolean;
  /** Whether the group policy extension is on. */
  readonly gbp: boolean;
}

/** A link that is not ours: routes may use it, it is never created, changed or deleted. */
export interface UnderlayLink {
  readonly kind: "underlay";
  readonly name: string;
}

/** A link of the desired state. Its position in the list is its slot, which table rows refer to. */
export type DesiredLink = VxlanLink | UnderlayLink;

/** An address that one of our links must have, and the only one of its family that is ours to keep. */
export interface DesiredAddress {
  readonly slot: number;
  readonly prefix: Prefix;
}

/** The three hot tables; row layouts are in `rows.ts`. */
export interface StateTables {
  readonly neighbours: Table;
  readonly fdb: Table;
  readonly routes: Table;
}

/** The hot tables as the kernel has them, and what stands beside them. */
export interface ObservedTables extends StateTables {
  /**
   * Routes to the cluster networks that are not ours, as rows of `ROUTE`; `slot` holds the kernel's link index, 0 for
   * none.
   */
  readonly foreignRoutes: Table;
}

/** What the route tables of a cloud must hold for this host. */
export interface DesiredCloud {
  /** Subnets of this host. */
  readonly own: readonly Prefix[];
  /** Subnets of all others, which make their routes themselves. */
  readonly peers: readonly Prefix[];
  /** The cluster networks, and how long the prefix of a host's subnet is in each. */
  readonly networks: readonly { readonly network: Prefix; readonly subnetLength: number }[];
}

/** The network interface of this host that packets for its pods come in by. */
export interface CloudPath {
  /** `eni-0abc`. */
  readonly interfaceId: string;
  /** Which of this host's links it is. */
  readonly mac: Mac;
  readonly addresses: readonly Address[];
  /** The subnets of the cloud's network that it is in, at most one of each family. */
  readonly subnetPrefixes: readonly Prefix[];
  /** All prefixes of the cloud's network. */
  readonly vpcPrefixes: readonly Prefix[];
  /** Whether the agent has made it, and configures its link. */
  readonly isManaged: boolean;
}

/** What this host must hold. */
export interface DesiredState extends StateTables {
  readonly links: readonly DesiredLink[];
  readonly addresses: readonly DesiredAddress[];
  /** The cluster networks: only routes to these are ours. */
  readonly networks: readonly Prefix[];
  /** What a cloud must hold; absent for backends that need none. */
  readonly cloud?: DesiredCloud;
}

/** A link as the kernel has it. */
export interface ObservedLink {
  readonly linkIndex: number;
  readonly name: string;
  /** `IFF_UP`: it is meant to be up. */
  readonly isUp: boolean;
  /** Whether it has no carrier, as without a cable: nothing leaves by it; it has one if absent. */
  readonly hasNoCarrier?: true;
  /** `protodown` of ip-link(8): another program has set it out of use; not so if absent. */
  readonly isProtoDown?: true;
  /** Whether it resolves no neighbours: `IFF_LOOPBACK`, `IFF_POINTOPOINT` or `IFF_NOARP`; it does if absent. */
  readonly resolvesNothing?: true;
  readonly mtuBytes: number;
  readonly mac: Mac | undefined;
  /** `vxlan`, `bridge`, `veth`; absent for hardware. */
  readonly kind: string | undefined;
  /** Present where `kind` is `vxlan`. */
  readonly vxlan: ObservedVxlan | undefined;
  /** The bridge, bond or VRF that it is enslaved to; absent where it is free. */
  readonly masterIndex?: number;
  /** What that is called, where it was asked for. */
  readonly masterName?: string;
}

/** The attributes of a VXLAN link as the kernel has them. */
export interface ObservedVxlan {
  readonly vni: number;
  readonly port: number;
  readonly local: Address | undefined;
  readonly underlayLinkIndex: number;
  readonly learning: boolean;
  readonly gbp: boolean;
  /** Has a multicast group or default remote, asks user space about misses, or is in collect-metadata mode. */
  readonly isForeign: boolean;
}

/** An address as the kernel has it. */
export interface ObservedAddress {
  readonly linkIndex: number;
  readonly family: Family;
  readonly address: Address;
  readonly length: number;
  /** `RT_SCOPE_*`. */
  readonly scope: number;
  /** `IFA_F_*` bits. */
  readonly flags: number;
}
