import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET, AF_INET6, type Family } from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import type { HostState } from "./host_state.ts";

const IPV4 = { Network: "10.244.0.0/16" };
const IPV6 = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };

/** Which families all hosts of a lab have. */
export interface Kind {
  readonly name: string;
  readonly families: readonly Family[];
  readonly network: Readonly<Record<string, unknown>>;
}

/** Modes of the overlay that the matrix goes through, as they are called in its table. */
export const MODES = ["vxlan", "vxlan + DirectRouting", "host-gw"] as const;
export type Mode = typeof MODES[number];

/** Families that the matrix goes through, with their part of `net-conf.json`. */
export const KINDS: readonly Kind[] = [
  { name: "IPv4", families: [AF_INET], network: IPV4 },
  { name: "IPv6", families: [AF_INET6], network: { EnableIPv4: false, ...IPV6 } },
  { name: "dual stack", families: [AF_INET, AF_INET6], network: { ...IPV4, ...IPV6 } },
];

/** Modes with a VTEP. */
export const WITH_VTEP: readonly Mode[] = ["vxlan", "vxlan + DirectRouting"];

/** The backend of each mode in `net-conf.json`. */
export const BACKENDS: Readonly<Record<Mode, Readonly<Record<string, unknown>>>> = {
  "vxlan": { Type: "vxlan" },
  "vxlan + DirectRouting": { Type: "vxlan", DirectRouting: true },
  "host-gw": { Type: "host-gw" },
};

/** Where a fault is made: a lab of settled hosts, one of them the victim. */
export interface FaultSite {
  readonly lab: Lab;
  readonly libc: Libc;
  /** The host that it is made on. */
  readonly host: LabHost;
  /** The peer whose objects on the host are meant, where a fault is about one. */
  readonly peer: LabHost;
  /** The family that is meant, where a fault is about one. */
  readonly family: Family;
  /** What the host holds. */
  readonly state: HostState;
  /** Flags that an agent is started again with. */
  readonly agentFlags: readonly string[];
}

/** Who is hit by a fault, from little to much. All others must lose no packet. */
export type Reach =
  /** Nobody: not a packet is lost anywhere. */
  | "nobody"
  /** One family on the way to one peer. */
  | "peer"
  /** One family of the host. */
  | "family"
  /** The host. */
  | "host";

/** Something that goes wrong on a host. */
export interface Fault {
  /** As it stands in the table: `a route is deleted`. */
  readonly name: string;
  readonly reach: Reach;
  /** Modes in which there is such an object; all if absent. */
  readonly modes?: readonly Mode[];
  /** The only family that has such an object; each by itself if absent. */
  readonly family?: Family;
  /** Whether others have it too. */
  readonly isOfAll?: boolean;
  /** Whether it has nothing to do with families. */
  readonly isOfHost?: boolean;
  /** Whether it leaves a trace in the host's state, until it is repaired: it does if absent. */
  readonly shows?: boolean;
  /** Whether it is one object only, repaired within the goal for these. */
  readonly isSingle?: boolean;
  /** Whether it is about rules of the packet filter. */
  readonly isOfRules?: boolean;
  /** Whose state follows, before all is restored; nobody's has to if absent. */
  readonly follows?: "host" | "peer";
  /** Makes it. */
  readonly make: (site: FaultSite) => void | Promise<void>;
  /** What is not the agent's to mend: the card is put in again. The time runs from here, else from `make`. */
  readonly restore?: (site: FaultSite) => void | Promise<void>;
}

/** Reports whether a fault can be made in a mode with hosts of some families. */
export function applies({ modes, family }: Fault, mode: Mode, families: readonly Family[]): boolean {
  return (modes?.includes(mode) ?? true) && (family === undefined || families.includes(family));
}
