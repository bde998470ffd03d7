import type { CounterName, LinkCounters } from "../rtnetlink/link_counters.ts";

/** What a link is for. */
export type LinkRole = "vtep" | "underlay" | "bridge";

/** A reading of one link. */
export interface LinkReading {
  readonly role: string;
  readonly counters: LinkCounters;
}

/** What is said of a link on which packets are lost. */
export interface LinkLoss {
  readonly link: string;
  /** By how much each counter rose, as `ip -s -s link` calls it. */
  readonly rose: Readonly<Record<string, number>>;
  /** In which time. */
  readonly seconds: number;
  /** What the first of them means. */
  readonly reason: string;
}

/** A counter that rises as packets are lost, the one that says most first. */
interface Counter {
  readonly name: CounterName;
  /** As the kernel calls it. */
  readonly shown: string;
  readonly reason: string;
  /** From how many within a minute on it is worth a line. */
  readonly enough: number;
}

/** What comes of links that are set up, as packets of IPv6 to nobody, is less than that. */
const SOME = 10;
/** Every host gets frames of protocols that it does not speak, some in a minute, and they count as dropped. */
const MANY = 300;
/** A link has one line in so long; what rose less in that time is forgotten. */
const REST_MS = 60_000;

const COUNTERS: Readonly<Record<LinkRole, readonly Counter[]>> = {
  vtep: [
    {
      name: "txCarrierErrors",
      shown: "tx_carrier_errors",
      reason: "packets can't be encapsulated: the underlay has no route to the other host",
      enough: SOME,
    },
    {
      name: "collisions",
      shown: "collisions",
      reason: "packets can't be encapsulated: the route to the other host leads into the overlay itself",
      enough: SOME,
    },
    {
      name: "txErrors",
      shown: "tx_errors",
      reason: "packets can't be encapsulated: the kernel refuses to send them over the underlay",
      enough: SOME,
    },
    {
      name: "txDropped",
      shown: "tx_dropped",
      reason:
        "packets don't get out of the VTEP: no FDB entry has their MAC, they are broadcasts, or a rule of this host's packet " +
        "filter drops what carries them",
      enough: SOME,
    },
    {
      name: "rxFrameErrors",
      shown: "rx_frame_errors",
      reason: "packets of other hosts are malformed",
      enough: SOME,
    },
    {
      name: "rxErrors",
      shown: "rx_errors",
      reason: "packets of other hosts are no good inside: something on the way changes them",
      enough: SOME,
    },
    {
      name: "rxDropped",
      shown: "rx_dropped",
      reason:
        "packets of other hosts are thrown away once they are unpacked: the host is too busy, or does not expect them",
      enough: SOME,
    },
  ],
  underlay: [
    {
      name: "carrierLosses",
      shown: "carrier_down_count",
      reason:
        "the underlay's link has lost its carrier: look at the cable, the port, or the virtual machine's host",
      enough: 1,
    },
    {
      name: "rxMissed",
      shown: "rx_missed_errors",
      reason: "the network interface had no room for what came: the host takes packets too slowly",
      enough: SOME,
    },
    {
      name: "rxErrors",
      shown: "rx_errors",
      reason: "packets arrive damaged: look at the cable, the port and the MTU of the network",
      enough: SOME,
    },
    {
      name: "txCarrierErrors",
      shown: "tx_carrier_errors",
      reason: "packets could not be sent for want of a carrier",
      enough: SOME,
    },
    { name: "txErrors", shown: "tx_errors", reason: "packets could not be sent", enough: SOME },
    {
      name: "txDropped",
      shown: "tx_dropped",
      reason:
        "packets were thrown away as they were sent, by the link itself: of a veth pair, as its other end is down, takes less " +
        "or has no room",
      enough: SOME,
    },
    {
      name: "rxDropped",
      shown: "rx_dropped",
      reason:
        "packets were thrown away when they came: nothing on this host speaks their protocol, or it is too busy",
      enough: MANY,
    },
  ],
  bridge: [
    {
      name: "txDropped",
      shown: "tx_dropped",
      reason:
        "packets for pods were thrown away as they were handed to the bridge: it was down, or had no memory",
      enough: SOME,
    },
    { name: "txErrors", shown: "tx_errors", reason: "packets for pods could not be sent", enough: SOME },
    { name: "rxErrors", shown: "rx_errors", reason: "packets of pods are no good", enough: SOME },
    {
      name: "rxDropped",
      shown: "rx_dropped",
      reason: "packets of pods were thrown away: nothing on this host speaks their protocol",
      enough: MANY,
    },
  ],
};

interface Memory {
  readonly since: LinkCounters;
  readonly sinceMs: number;
  readonly toldMs: number;
}

/** Compares readings of links, and says where packets are lost: of each link one line a minute at most. */
export class LinkLosses {
  #links = new Map<number, Memory>();

  /**
   * Takes in a reading of all links.
   *
   * @param nowMs Of a clock that nobody sets.
   */
  see(readings: readonly LinkReading[], nowMs: number): readonly LinkLoss[] {
    const before = this.#links;
    this.#links = new Map();
    return readings.flatMap(({ role, counters }) => {
      const memory = before.get(counters.linkIndex);
      const fresh = { since: counters, sinceMs: nowMs, toldMs: memory?.toldMs ?? -Infinity };
      // What the driver has set back counts anew.
      const isKnown = memory !== undefined && !hasFallen(memory.since, counters);
      if (!isKnown) {
        this.#links.set(counters.linkIndex, fresh);
        return [];
      }
      const risen = COUNTERS[role as LinkRole].filter(({ name }) => counters[name] > memory.since[name]);
      const first = risen.find(({ name, enough }) => counters[name] - memory.since[name] >= enough);
      const isDue = nowMs - memory.toldMs >= REST_MS;
      const isOver = first === undefined && nowMs - memory.sinceMs >= REST_MS;
      const isTold = first !== undefined && isDue;
      this.#links.set(
        counters.linkIndex,
        isTold ? { ...fresh, toldMs: nowMs } : isOver ? fresh : memory,
      );
      if (!isTold) return [];
      return [{
        link: counters.name,
        rose: Object.fromEntries(
          risen.map(({ name, shown }) => [shown, counters[name] - memory.since[name]]),
        ),
        seconds: Math.round((nowMs - memory.sinceMs) / 1000),
        reason: first.reason,
      }];
    });
  }
}

function hasFallen(before: LinkCounters, now: LinkCounters): boolean {
  return (Object.keys(now) as (keyof LinkCounters)[])
    .some((name) => name !== "name" && (now[name] as number) < (before[name] as number));
}
