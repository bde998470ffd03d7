import {
  AF_INET,
  AF_INET6,
  type Family,
  formatAddress,
  formatMac,
  formatPrefix,
  type Prefix,
} from "../model/address.ts";
import { readAddress, readMac } from "../model/rows.ts";
import type { AttributeReader } from "../netlink/attribute.ts";
import type { MessageReader } from "../netlink/message.ts";
import { decodeAddress, RTM_DELADDR, RTM_NEWADDR } from "../rtnetlink/address.ts";
import { IFLA_IFNAME, LINK_HEADER_BYTES, RTM_DELLINK, RTM_NEWLINK } from "../rtnetlink/link_header.ts";
import {
  NDA_DST,
  NDA_LLADDR,
  NEIGHBOUR_HEADER_BYTES,
  RTM_DELNEIGH,
  RTM_NEWNEIGH,
} from "../rtnetlink/neighbour.ts";
import { ROUTE_HEADER_BYTES, RTA_DST, RTM_DELROUTE, RTM_NEWROUTE } from "../rtnetlink/route_header.ts";

/** Things that are kept in mind: of more than these the ones that changed first are forgotten. */
const MOST_THINGS = 256;

/** What is changed all at once, by the words for it in the sentence about a fight. */
const KINDS = { routes: "route", neighbours: "neighbour", "FDB entries": "FDB entry" } as const;

/**
 * Remembers from which socket what is ours was changed last, as far as the kernel tells: of a VTEP's FDB, of IPv6
 * addresses and of most that links go through it does not.
 */
export class Culprits {
  readonly #ports = new Map<string, number>();
  /** Of things alone, since the last pass. */
  #recent = new Map<string, number>();

  /** Notes that a port has changed what a message is about, and things of its kind. */
  heard(message: MessageReader, attributes: AttributeReader): void {
    const { portId } = message;
    if (portId === 0) return;
    const thing = thingOf(message, attributes);
    if (thing === undefined) return;
    for (const each of [thing, kindOf(thing)]) {
      this.#ports.delete(each);
      this.#ports.set(each, portId);
    }
    if (this.#ports.size > MOST_THINGS) this.#ports.delete(this.#ports.keys().next().value!);
    if (this.#recent.size < MOST_THINGS) this.#recent.set(thing, portId);
  }

  /** The port that has changed a thing since the last pass; `undefined` if that is not known. */
  recentPortOf(thing: string): number | undefined {
    return this.#recent.get(bare(thing));
  }

  /** Runs a pass, which answers all that was heard. */
  answered<T>(pass: () => T): T {
    try {
      return pass();
    } finally {
      if (this.#recent.size > 0) this.#recent = new Map();
    }
  }

  /** The port that has changed a thing of a fight last; `undefined` if that is not known. */
  portOf(thing: string): number | undefined {
    for (const [words, kind] of Object.entries(KINDS)) {
      if (thing.startsWith(`the ${words} of `) || thing.startsWith(`others' ${words} `)) {
        return this.#ports.get(kind);
      }
    }
    return this.#ports.get(bare(thing));
  }
}

/** A thing without its link. */
function bare(thing: string): string {
  return thing.replace(/ (?:dev|of|\().*/, "");
}

function kindOf(thing: string): string {
  return thing.slice(0, thing.lastIndexOf(" "));
}

/** What a message is about, in the words for it in the sentence about a fight, without its link. */
function thingOf(message: MessageReader, attributes: AttributeReader): string | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      message.requireHeader(LINK_HEADER_BYTES);
      attributes.reset(message.start + LINK_HEADER_BYTES, message.end);
      while (attributes.next()) if (attributes.type === IFLA_IFNAME) return `link ${attributes.text()}`;
      return undefined;
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(message);
      return address && `address ${formatPrefix(address)}`;
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return neighbourOf(message, attributes);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return `route ${formatPrefix(destinationOf(message, attributes))}`;
    default:
      return undefined;
  }
}

function neighbourOf(message: MessageReader, attributes: AttributeReader): string | undefined {
  message.requireHeader(NEIGHBOUR_HEADER_BYTES);
  const family = message.view.getUint8(message.start);
  const isFdb = family !== AF_INET && family !== AF_INET6;
  const words = new Uint32Array(4);
  attributes.reset(message.start + NEIGHBOUR_HEADER_BYTES, message.end);
  while (attributes.next()) {
    if (isFdb && attributes.type === NDA_LLADDR) {
      attributes.macWords(words, 0);
      return `FDB entry ${formatMac(readMac(words, 0))}`;
    }
    if (!isFdb && attributes.type === NDA_DST) {
      attributes.addressWords(words, 0);
      return `neighbour ${formatAddress(readAddress(words, 0, family as Family))}`;
    }
  }
  return undefined;
}

/** Where the route leads that a message is about. */
export function destinationOf(message: MessageReader, attributes: AttributeReader): Prefix {
  message.requireHeader(ROUTE_HEADER_BYTES);
  const family = message.view.getUint8(message.start) as Family;
  const length = message.view.getUint8(message.start + 1);
  const words = new Uint32Array(4);
  attributes.reset(message.start + ROUTE_HEADER_BYTES, message.end);
  while (attributes.next()) if (attributes.type === RTA_DST) attributes.addressWords(words, 0);
  return { address: readAddress(words, 0, family), length };
}
