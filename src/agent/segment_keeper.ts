import { Damper } from "../loop/damper.ts";
import { LONGEST_TIMER_MS } from "../loop/pause.ts";
import type { Log } from "../log/log.ts";
import { type Address, familyOf, type Prefix, prefixContains } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { Lease } from "../model/lease.ts";
import { compareAddresses, firstNotBefore } from "../model/ordered.ts";
import type { Reach } from "../model/reach.ts";
import type { Underlay } from "../model/underlay.ts";
import type { RouteLookup } from "../rtnetlink/route_lookup.ts";
import { inTurns } from "../loop/worker.ts";
import { Trigger } from "../loop/trigger.ts";
import { isLinkLocal } from "../overlay/underlay/addresses.ts";
import { reachBy } from "../overlay/underlay/reach.ts";
import { ReachMemory } from "../overlay/underlay/reach_memory.ts";
import { errorText } from "../log/error_text.ts";

/** Ways that come and go more often than this are used again only after a pause. */
const FLAPS = { freeTurns: 3, windowMs: 300_000, pauseMs: 30_000 };
/** After the kernel did not answer. */
const RETRY_MS = 1000;

/** The kernel's way to an address, over one link or (0) any; `undefined` for none. */
export type AskWay = (address: Address, linkIndex: number) => RouteLookup | undefined;

/** What a keeper works with. */
export interface SegmentKeeperDeps {
  readonly ask: AskWay;
  /** Others' leases. Keeps its identity while nothing changes. */
  readonly peers: () => readonly Lease[];
  /** What leases of this host's backend say: the others are not asked for. */
  readonly leaseType: string;
  /** Whether a peer off the segment is reached through the VTEP. */
  readonly hasTunnel: boolean;
  /** Whether no link carries the overlay now: what is known stays. */
  readonly isLost: () => boolean;
  /** Called when it is time to look again. */
  readonly changed: () => void;
  /** All are asked for again after this long: rules and next-hop objects change without a word. */
  readonly maxAgeMs: number;
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Knows which peers are on the underlay's segment: the kernel is asked for each, and again when routes change. */
export class SegmentKeeper {
  readonly #deps: SegmentKeeperDeps;
  readonly #memory: ReachMemory;
  readonly #trigger = new Trigger();
  #leases: readonly Lease[] | undefined;
  #wanted: ReadonlySet<Address> = new Set();
  /** The same by family, in order. */
  #sorted: readonly Address[] = [];
  readonly #stale = new Set<Address>();
  /** To whom the kernel's last way was not over the underlay's link, or none. */
  readonly #beyond = new Set<Address>();
  #link = "";
  #askedAllMs = -Infinity;
  #retryMs: number | undefined;
  #conditions: readonly Condition[] = [];
  #last: { readonly underlay: Underlay; readonly reaches: unknown; readonly seen: Underlay } | undefined;

  constructor(deps: SegmentKeeperDeps) {
    this.#deps = deps;
    this.#memory = new ReachMemory(new Damper(FLAPS, deps.elapsedMs), deps);
  }

  /** That it is not known where peers are, if so. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** `underlay` with what is known of where peers are, asked anew as far as that may have changed. */
  look(underlay: Underlay): Underlay {
    this.#ask(underlay);
    const { reaches } = this.#memory;
    if (this.#last?.underlay !== underlay || this.#last.reaches !== reaches) {
      const addresses = underlay.addresses.map((address) => ({ ...address, reaches }));
      this.#last = { underlay, reaches, seen: { ...underlay, addresses } };
    }
    return this.#last.seen;
  }

  /** `underlay` with where the kernel finds what this host advertises, if that is no address of the link. */
  withAdvertised(underlay: Underlay): Underlay {
    const addresses = underlay.addresses.map((address) => {
      const { advertised } = address;
      if (advertised === address.address) return address;
      const way = this.#deps.ask(advertised, linkFor(advertised, underlay));
      return { ...address, reaches: new Map([[advertised, reachBy(way, underlay)]]) };
    });
    return { ...underlay, addresses };
  }

  /**
   * Says that the way to the addresses in a prefix may have changed; to any where it is absent. Reports whether that
   * is of interest, and asks for a look then.
   */
  nudge(prefix?: Prefix): boolean {
    let isNews = prefix === undefined;
    if (prefix === undefined) this.#askedAllMs = -Infinity;
    else {
      for (
        let at = firstNotBefore(this.#sorted, prefix.address, (address) => address);
        at < this.#sorted.length;
        at++
      ) {
        const address = this.#sorted[at]!;
        if (!prefixContains(prefix, address)) break;
        this.#stale.add(address);
        isNews = true;
      }
    }
    if (isNews) this.#deps.changed();
    return isNews;
  }

  /**
   * Says that a link beside the underlay's has changed, with which routes come and go without a word. Reports whether that
   * is of interest, and asks for a look then: it is where somebody is not reached over the underlay's.
   */
  nudgeBeyond(): boolean {
    if (this.#beyond.size === 0) return false;
    for (const address of this.#beyond) this.#stale.add(address);
    this.#deps.changed();
    return true;
  }

  /** Has those looked at again whose answer is not believed yet, until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    let waitMs = 0;
    const look = () => {
      const nowMs = this.#deps.elapsedMs();
      const waits = [this.#memory.waitMs(nowMs), this.#retryMs && Math.max(this.#retryMs - nowMs, 0)];
      waitMs = Math.min(...waits.filter((wait) => wait !== undefined), LONGEST_TIMER_MS);
      if (waitMs === 0) this.#deps.changed();
    };
    // A look that finds something to wait for tells.
    const periodMs = () => waitMs === 0 ? RETRY_MS : waitMs;
    await inTurns(look, { trigger: this.#trigger, periodMs })({ signal });
  }

  #ask(underlay: Underlay): void {
    const { isLost, elapsedMs, maxAgeMs, log } = this.#deps;
    if (isLost()) {
      // With the link its routes have gone: what is there when it is back was made anew.
      this.#link = "";
      this.#memory.forgetDoubts();
      return;
    }
    const nowMs = elapsedMs();
    const link = `${underlay.linkIndex} ${underlay.resolvesNothing ?? false}`;
    if (link !== this.#link) this.#memory.forget();
    const isAll = link !== this.#link || nowMs - this.#askedAllMs >= maxAgeMs;
    this.#link = link;
    const isNew = this.#takeLeases();
    const doubted = [...this.#memory.doubted];
    if (!isAll && !isNew && this.#stale.size === 0 && doubted.length === 0) return;
    const families = new Set(underlay.addresses.map(({ family }) => family));
    const { reaches } = this.#memory;
    const answers = new Map<Address, Reach>();
    const again = new Set([...this.#stale, ...doubted]);
    try {
      for (const address of this.#wanted) {
        if (!families.has(familyOf(address))) continue;
        if (!isAll && reaches.has(address) && !again.has(address)) continue;
        const way = this.#deps.ask(address, linkFor(address, underlay));
        answers.set(address, reachBy(way, underlay));
        if (way?.linkIndex === underlay.linkIndex) this.#beyond.delete(address);
        else this.#beyond.add(address);
      }
      this.#conditions = [];
      this.#retryMs = undefined;
    } catch (error) {
      const sentence = `the kernel does not say by which ways it reaches the other hosts: ${
        errorText(error)
      }`;
      this.#conditions = [{ code: "ways-unreadable", sentence }];
      this.#retryMs = nowMs + RETRY_MS;
      this.#trigger.nudge();
      return;
    }
    if (isAll) this.#askedAllMs = nowMs;
    this.#stale.clear();
    const moved = this.#memory.take(answers, this.#wanted, nowMs);
    if (moved > 0) {
      const onSegment = [...this.#memory.reaches.values()].filter(({ place }) => place === "segment").length;
      log.write("info", "segment changed", { moved, onSegment, addresses: this.#wanted.size });
    }
    if (doubted.length > 0 || this.#memory.waitMs(nowMs) !== undefined) this.#trigger.nudge();
  }

  /** Reports whether there are other peers than at the last look. */
  #takeLeases(): boolean {
    const leases = this.#deps.peers();
    if (leases === this.#leases) return false;
    this.#leases = leases;
    this.#wanted = new Set(
      leases.filter(({ backendType }) => backendType === this.#deps.leaseType)
        .flatMap(({ parts }) => parts.map(({ underlayAddress }) => underlayAddress)),
    );
    this.#sorted = [...this.#wanted].sort(compareAddresses);
    for (const address of this.#beyond) if (!this.#wanted.has(address)) this.#beyond.delete(address);
    return true;
  }
}

/** A link-local address is on every link: it is asked for on the underlay's. */
function linkFor(address: Address, { linkIndex }: Underlay): number {
  return typeof address === "bigint" && isLinkLocal(address) ? linkIndex : 0;
}
