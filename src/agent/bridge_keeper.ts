import {
  type BridgeAddress,
  formatBridgeAddress,
  gatewayOf,
  isEqual,
  isOldGateway,
  isOwed,
  planBridge,
  shadowedBy,
  subnetOf,
} from "../pods/bridge_plan.ts";
import type { PodAttachment } from "../pods/conflist.ts";
import {
  type Address,
  type Family,
  familyOf,
  isOverlapping,
  type Prefix,
  prefixContains,
  prefixEquals,
} from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { ObservedLink } from "../model/state.ts";
import { dumpAddresses } from "../rtnetlink/address.ts";
import { dumpLinks, queryLink } from "../rtnetlink/link.ts";
import {
  haveLargeMtu,
  isBefore,
  isBehind,
  isDown,
  isShadow,
  isUnreadable,
  notABridge,
  notGiven,
  takenAway,
} from "./bridge_conditions.ts";
import { errorText } from "../log/error_text.ts";
import { SILENT } from "../log/log.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { type FightLimits, Fights } from "../loop/fights.ts";
import { type BridgeChangeDeps, changeBridge, setBridgeUp } from "./bridge_changes.ts";

/** What it needs of the agent. */
export interface BridgeDeps extends BridgeChangeDeps {
  readonly elapsedMs: () => number;
  /** Called when the bridge has lost an address, and with it a way that the kernel had: others may have it now. */
  readonly changed: () => void;
}

/** What is done to a bridge. */
type BridgeChange = "add" | "remove" | "up";

/** What is known of this host's pods at this moment. */
export interface BridgeSituation {
  readonly attachment: PodAttachment;
  /** Whether the conflist is ours: without one it is not known that pods are on this bridge. */
  readonly isNamed: boolean;
  readonly own: readonly Prefix[];
  /** Subnets that this host is known to have had. */
  readonly held: readonly Prefix[];
  /** Addresses outside of its subnets that are reserved. */
  readonly reserved: readonly Address[];
  /** Those of them that pods have; `undefined` if that can't be seen. */
  readonly inUse: readonly Address[] | undefined;
  /** Subnets of other hosts; asked for where that matters. */
  readonly others: () => readonly Prefix[];
}

/** Each change costs the bridge's neighbours, and pods what they were about to send. */
const LIMITS: FightLimits = {
  silentTurns: 2,
  slowing: { freeTurns: 2, windowMs: 600_000, pauseMs: 60_000 },
};
/** Ports are looked at this often while nothing is wrong with them. */
const PORTS_MS = 600_000;

/**
 * Keeps the bridge that pods are on as they need it: up, with the gateways of this host's subnets; and its addresses as
 * the plugin wants them after the subnet has changed.
 */
export class BridgeKeeper {
  readonly #deps: BridgeDeps;
  #conditions: readonly Condition[] = [];
  /** What had to be done to the bridge again and again. */
  readonly #fights: Fights<string>;
  /** Subnets whose gateway was on the bridge while pods were known to have addresses of them. */
  #outlived: readonly Prefix[] = [];
  /** The families in which the bridge of this index had this host's gateway. */
  #had: { readonly linkIndex: number; readonly families: Set<Family> } = {
    linkIndex: 0,
    families: new Set(),
  };
  #portsLookedAtMs = -Infinity;
  #portsLookedFor = "";
  #largePorts = 0;

  constructor(deps: BridgeDeps) {
    this.#deps = deps;
    this.#fights = new Fights(deps.elapsedMs, LIMITS);
  }

  /** What must be known of the bridge. */
  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /** Looks with another client, which writes down what is asked for; nothing is learnt by it. */
  dryRun(client: NetlinkClient, situation: BridgeSituation): void {
    const twin = new BridgeKeeper({ ...this.#deps, client, log: SILENT, changed: () => {} });
    twin.#had = { linkIndex: this.#had.linkIndex, families: new Set(this.#had.families) };
    twin.#outlived = this.#outlived;
    twin.keep(situation);
  }

  /** Looks at the bridge, and gives it what it lacks. Never throws: a fault becomes a finding, and the next pass tries. */
  keep(situation: BridgeSituation): void {
    const { bridge } = situation.attachment;
    this.#conditions = bridge === undefined ? [] : this.#look(bridge, situation);
  }

  #look(name: string, situation: BridgeSituation): Condition[] {
    const { client } = this.#deps;
    try {
      const link = queryLink(client, name);
      if (link === undefined) return [];
      if (link.kind !== "bridge") return situation.isNamed ? [notABridge(name, link)] : [];
      return [...this.#mend(link, situation), ...this.#lookAtPorts(link, situation)];
    } catch (error) {
      return [isUnreadable(name, errorText(error))];
    }
  }

  #mend(link: ObservedLink, situation: BridgeSituation): Condition[] {
    const { client } = this.#deps;
    const { own, inUse, others, attachment, isNamed } = situation;
    const addresses = dumpAddresses(client, link.linkIndex);
    const past = this.#learn(link, addresses, situation);
    const had = new Set(this.#had.families);
    const hasPods = () => isNamed && this.#portsOf(link).some(({ kind }) => kind === "veth");
    const isOwedHere = (gateway: BridgeAddress) =>
      isOwed({ own, addresses, hasPods, hadGateway: had.has(familyOf(gateway.address)) });
    const isLeft = (gateway: BridgeAddress) => this.#isLeft("add", gateway);
    const gateways = own.map(gatewayOf);
    const isThere = (gateway: BridgeAddress) => addresses.some((one) => isEqual(one, gateway));
    const missing = gateways.filter((gateway) => !isThere(gateway) && isOwedHere(gateway));
    const isOurs = missing.length > 0 || gateways.some(isThere) ||
      addresses.some((one) => isOldGateway(one, past));
    if (!link.isUp && isOurs) {
      const finding = this.#setUp(link, missing);
      if (finding !== undefined) return [finding];
    }
    const { steps, inTheWay } = planBridge({
      addresses,
      own,
      isOldGateway: (address) => isOldGateway(address, past) && !this.#isLeft("remove", address),
      // Another host's subnet is reached over the overlay, and not while the bridge has it too.
      isKept: (subnet) =>
        !others().some((other) => isOverlapping(other, subnet)) &&
        (inUse === undefined || inUse.some((address) => prefixContains(subnet, address))),
      isOwed: isOwedHere,
      isLeft,
    });
    const conditions = missing.filter(isLeft).map((gateway) => takenAway(link, gateway));
    const { fault, removed, added } = changeBridge(this.#deps, link, steps);
    for (const one of removed) this.#count("remove", one);
    if (removed.length > 0) this.#deps.changed();
    for (const one of added.filter((one) => gateways.some((gateway) => isEqual(gateway, one)))) {
      const family = familyOf(one.address);
      this.#had.families.add(family);
      // Of a link that is set down the kernel takes the addresses of IPv6 away by itself.
      if (had.has(family) && link.isUp) this.#count("add", one);
    }
    if (fault !== undefined) return [notGiven(link, { own, steps, fault, wantedBytes: attachment.mtuBytes })];
    const whose = (found: BridgeAddress) =>
      this.#isLeft("remove", found)
        ? "which another program gives it again each time that it is taken away"
        : isOldGateway(found, past)
        ? "the gateway of an earlier subnet, with addresses beside it that Loden did not give it"
        : "which Loden did not give it";
    const blocking = isNamed && !attachment.isForced ? inTheWay : [];
    conditions.push(...blocking.map((one) => isBefore(link, one, whose(one.found))));
    const isGone = (one: BridgeAddress) =>
      steps.some((step) => isEqual(step, one)) || blocking.some(({ found }) => isEqual(found, one));
    const left = addresses.filter((one) =>
      !gateways.some((gateway) => isEqual(gateway, one)) && !isGone(one)
    );
    return [...conditions, ...isOurs ? this.#nameLeft(link, left, { others, whose }) : []];
  }

  /** What is known of the past, with what is learnt from what is on the bridge now. */
  #learn(
    { linkIndex }: ObservedLink,
    addresses: readonly BridgeAddress[],
    { own, held, reserved }: BridgeSituation,
  ) {
    if (this.#had.linkIndex !== linkIndex) this.#had = { linkIndex, families: new Set() };
    for (const gateway of own.map(gatewayOf)) {
      const isThere = addresses.some((one) => isEqual(one, gateway));
      if (isThere) this.#had.families.add(familyOf(gateway.address));
    }
    const past = { own, held: [...held, ...this.#outlived], reserved };
    // The pods go, and what says that the subnet was this host's goes with the last of them.
    const learnt = addresses.filter((one) => isOldGateway(one, past)).map(subnetOf)
      .filter((subnet) => !past.held.some((known) => prefixEquals(known, subnet)));
    this.#outlived = [...this.#outlived, ...learnt];
    return past;
  }

  /** Names what keeps this host from the pods of others, and what is given again and again. */
  #nameLeft(
    link: ObservedLink,
    left: readonly BridgeAddress[],
    { others, whose }: Pick<BridgeSituation, "others"> & { readonly whose: (one: BridgeAddress) => string },
  ): Condition[] {
    if (left.length === 0) return [];
    const theirs = others();
    return left.flatMap((found) => {
      const subnet = shadowedBy(found, theirs);
      if (subnet !== undefined) return isShadow(link, { found, subnet }, whose(found));
      return this.#isLeft("remove", found) ? isBehind(link, found, whose(found)) : [];
    });
  }

  /** Sets the bridge up unless another program sets it down each time; says why it stays down. */
  #setUp(link: ObservedLink, missing: readonly BridgeAddress[]): Condition | undefined {
    if (this.#isLeft("up")) {
      return isDown(link, "and another program sets it down again each time that it is set up", missing);
    }
    const fault = setBridgeUp(this.#deps, link);
    if (fault !== undefined) return isDown(link, `and could not be set up: ${fault}`, missing);
    this.#count("up");
  }

  #count(change: BridgeChange, address?: BridgeAddress): void {
    this.#fights.turn(thingOf(change, address), () => change);
  }

  #isLeft(change: BridgeChange, address?: BridgeAddress): boolean {
    return this.#fights.isSlowed(thingOf(change, address));
  }

  #portsOf({ linkIndex }: ObservedLink) {
    return dumpLinks(this.#deps.client).filter(({ masterIndex }) => masterIndex === linkIndex);
  }

  /** Names the pods that were started with a larger MTU than new ones get; theirs can't be changed from here. */
  #lookAtPorts(link: ObservedLink, { attachment }: BridgeSituation): Condition[] {
    const { elapsedMs } = this.#deps;
    const { mtuBytes } = attachment;
    if (mtuBytes === undefined) return [];
    const about = `${link.linkIndex} ${mtuBytes}`;
    const isNews = about !== this.#portsLookedFor || this.#largePorts > 0 || link.mtuBytes > mtuBytes;
    if (isNews || elapsedMs() - this.#portsLookedAtMs >= PORTS_MS) {
      this.#largePorts = this.#portsOf(link).filter((port) =>
        port.kind === "veth" && port.mtuBytes > mtuBytes
      ).length;
      this.#portsLookedFor = about;
      this.#portsLookedAtMs = elapsedMs();
    }
    const count = this.#largePorts;
    return count === 0 ? [] : [haveLargeMtu(count, mtuBytes)];
  }
}

function thingOf(change: BridgeChange, address: BridgeAddress | undefined): string {
  return address === undefined ? change : `${change} ${formatBridgeAddress(address)}`;
}
