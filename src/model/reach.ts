import type { Address } from "./address.ts";

/** Where an address of another host is, as the kernel would send a packet there. */
export interface Reach {
  /**
   * `segment`: on the segment of the underlay's link, so that packets for others can be handed to it. `elsewhere`: it
   * is reached another way, or not at all. `nobody`: no other host can be there.
   */
  readonly place: "segment" | "elsewhere" | "nobody";
  /** Why it is not on the segment, as a clause: about the way (`elsewhere`), or about the address (`nobody`). */
  readonly why: string;
}

/** Why nobody else is at an address of this host. */
export const OWN = "is this host's own";

/** What was asked of the kernel, by address. */
export type Reaches = ReadonlyMap<Address, Reach>;
