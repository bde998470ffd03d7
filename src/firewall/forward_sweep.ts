import { type Address, maskAddress, type Prefix } from "../model/address.ts";
import type { PacketLink } from "../nftables/packet.ts";
import type { OuterPackets } from "./outer_marks.ts";
import { type ForwardBook, type ForwardEnd, forwardFate, type Refusal } from "./forwarded.ts";

/** Of what pods of this host send, or of what comes for them. */
export type Direction = "out" | "in";

/** Peers of one family behind one link. */
export interface ForwardGroup {
  /** This host's pods. */
  readonly own: ForwardEnd;
  readonly network: Prefix;
  readonly link: PacketLink;
  /** What carries packets that come in by that link; nothing if absent. */
  readonly carriedBy?: OuterPackets;
  /** The peers' subnets, none of which is in another. */
  readonly subnets: readonly Prefix[];
}

/** A peer's subnet whose packets a rule refuses. */
export interface Refused {
  readonly direction: Direction;
  readonly subnet: Prefix;
  readonly refusal: Refusal;
}

/** What is still to be played: packets of a prefix that has some subnets. */
interface Task {
  readonly group: ForwardGroup;
  readonly direction: Direction;
  readonly prefix: Prefix;
  readonly subnets: readonly Prefix[];
}

/**
 * Plays packets between this host's pods and all peers' through rules: of the whole network first, and of its parts only
 * where it may be certain what becomes of these, and is not of the whole.
 */
export class ForwardSweep {
  readonly #book: ForwardBook;
  readonly #tasks: Task[];
  readonly #refused: Refused[] = [];
  #isOpen = false;

  constructor(book: ForwardBook, groups: readonly ForwardGroup[]) {
    this.#book = book;
    this.#tasks = groups.flatMap((group) =>
      (["out", "in"] as const).map((direction) => ({
        group,
        direction,
        prefix: group.network,
        subnets: group.subnets,
      }))
    );
  }

  get refused(): readonly Refused[] {
    return this.#refused;
  }

  /** Whether some peers' packets are refused, unless a rule lets them through by what is not known here. */
  get isOpen(): boolean {
    return this.#isOpen || !this.isDone;
  }

  get isDone(): boolean {
    return this.#tasks.length === 0;
  }

  /** Plays one part of it. */
  next(): void {
    const task = this.#tasks.shift();
    if (task === undefined) return;
    const { group: { own, link, carriedBy }, direction, prefix, subnets } = task;
    const other = { prefix, link, ...carriedBy && { carriedBy } };
    const [from, to] = direction === "out" ? [own, other] : [other, own];
    const fate = forwardFate(this.#book, from, to, direction === "out" ? "destination" : "source");
    const { refusal, isOfParts, isOpen } = fate;
    if (refusal !== undefined) {
      for (const subnet of subnets) this.#refused.push({ direction, subnet, refusal });
      return;
    }
    const parts = isOfParts ? partsOf(prefix, subnets) : [];
    // Of the parts it may be known.
    if (parts.length === 0) this.#isOpen ||= isOpen;
    this.#tasks.push(...parts.map((part) => ({ ...task, ...part })));
  }
}

/** Cuts a prefix into the two or more that have its subnets; none for a subnet alone. */
function partsOf(
  { length }: Prefix,
  subnets: readonly Prefix[],
): readonly { readonly prefix: Prefix; readonly subnets: readonly Prefix[] }[] {
  const whole = Math.min(...subnets.map((subnet) => subnet.length));
  for (let bits = length + 1; bits < whole; bits++) {
    const halves = Map.groupBy(subnets, ({ address }): Address => maskAddress(address, bits));
    if (halves.size === 1) continue;
    return [...halves].map(([address, part]) =>
      part.length === 1
        ? { prefix: part[0]!, subnets: part }
        : { prefix: { address, length: bits }, subnets: part }
    );
  }
  return length >= whole ? [] : subnets.map((subnet) => ({ prefix: subnet, subnets: [subnet] }));
}
