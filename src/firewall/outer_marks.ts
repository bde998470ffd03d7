import type { Address } from "../model/address.ts";
import { type Packet, type PacketLink, UDP } from "../nftables/packet.ts";
import { PACKET_HOOK, walkHook, walkLink } from "../nftables/packet_walk.ts";
import type { WalkedBook } from "../nftables/rule_book.ts";

/** What carries packets to this host over UDP. */
export interface OuterPackets {
  readonly port: number;
  /** Whom they are for. */
  readonly local: Address;
  /** What they come in by; any link may be it if absent. */
  readonly link?: PacketLink | undefined;
}

/**
 * Whether rules may give packets a mark that carry others in a tunnel. It stays on what they carry: the kernel takes it off
 * only where that goes into another network namespace (`skb_scrub_packet()` of net/core/skbuff.c).
 */
export function mayMarkCarried(book: WalkedBook, { port, local, link }: OuterPackets): boolean {
  return (["new", "established"] as const).some((state) => {
    const packet: Packet = {
      source: local,
      sourceBits: 0,
      destination: local,
      protocol: UDP,
      destinationPort: port,
      state,
      ...link === undefined ? { frame: { isPortUnknown: true } } : { inputLink: link },
    };
    const frame = link === undefined ? undefined : walkLink(book, "ingress", link, packet);
    const first = walkHook(book, PACKET_HOOK.prerouting, {
      ...packet,
      ...frame?.isMarked && { isMarked: true },
    });
    return first.isMarked || walkHook(book, PACKET_HOOK.input, first.packet).isMarked;
  });
}
