import { encodeMacAnnouncement } from "../host/mac_announcement.ts";
import { LONGEST_TIMER_MS } from "../loop/pause.ts";
import type { Log } from "../log/log.ts";
import type { ObservedAddress } from "../model/state.ts";
import type { Underlay } from "../model/underlay.ts";
import { dumpAddresses } from "../rtnetlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { PacketSocket } from "../linux/packet_socket.ts";
import { inTurns } from "../loop/worker.ts";
import { Trigger } from "../loop/trigger.ts";
import { isConfirmed } from "../overlay/underlay/addresses.ts";

/** A switch may open its port a moment later, and an IPv6 address is looked for duplicates of for up to 2 s. */
const ROUNDS = 5;
const ROUND_MS = 1000;

/** What an announcer works with. */
export interface MacAnnouncerDeps {
  /** The link that carries the overlay. */
  readonly underlay: () => Underlay;
  /** The addresses of a link, as the kernel has them. */
  readonly addresses: (linkIndex: number) => readonly ObservedAddress[];
  /** Opens what sends whole frames over a link. Throws `NetlinkError` where it can't. */
  readonly open: (linkIndex: number) => { send(frame: Uint8Array<ArrayBuffer>): void } & Disposable;
  readonly log: Log;
}

/** An announcer that works with the kernel. */
export function openMacAnnouncer(
  { libc, client, underlay, log }: {
    readonly libc: Libc;
    readonly client: NetlinkClient;
    readonly underlay: () => Underlay;
    readonly log: Log;
  },
): MacAnnouncer {
  return new MacAnnouncer({
    underlay,
    addresses: (linkIndex) => dumpAddresses(client, linkIndex),
    open: (linkIndex) => PacketSocket.open(libc, linkIndex),
    log,
  });
}

/**
 * Tells the segment of another network card: its MAC is new, and the address that peers have routes to is old. Packets
 * alone don't, in IPv6: solicitations for those of pods come from a link-local address. Peers would go on sending to
 * the old card until they doubt it, for up to 50 s.
 */
export class MacAnnouncer {
  readonly #deps: MacAnnouncerDeps;
  readonly #trigger = new Trigger();
  #roundsLeft = ROUNDS;

  constructor(deps: MacAnnouncerDeps) {
    this.#deps = deps;
  }

  /** Says that the card or its addresses may be others. */
  nudge(): void {
    this.#roundsLeft = ROUNDS;
    this.#trigger.nudge();
  }

  /** Announces at the start and after each nudge, until `signal` aborts. */
  async run(options: { readonly signal: AbortSignal }): Promise<void> {
    const announce = () => {
      if (this.#roundsLeft === 0) return;
      this.#roundsLeft--;
      this.#announce();
    };
    const periodMs = () => this.#roundsLeft > 0 ? ROUND_MS : LONGEST_TIMER_MS;
    await inTurns(announce, { trigger: this.#trigger, periodMs })(options);
  }

  #announce(): void {
    const { underlay, addresses, open, log } = this.#deps;
    const { linkIndex, mac, addresses: chosen } = underlay();
    if (mac === undefined) return;
    try {
      const usable = addresses(linkIndex).filter(isConfirmed);
      using socket = open(linkIndex);
      for (const { address } of usable) {
        if (chosen.some((own) => own.address === address)) socket.send(encodeMacAnnouncement(address, mac));
      }
    } catch (error) {
      // A link that is down or gone comes back with a nudge; without the right to send, neighbours find out in time.
      if (!(error instanceof NetlinkError)) throw error;
      log.write("debug", "MAC not announced", { reason: error.message });
    }
  }
}
