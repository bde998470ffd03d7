import {
  type BridgeAddress,
  type BridgeStep,
  formatBridgeAddress,
  gatewayOf,
  isOldGateway,
  planBridge,
} from "../cni/bridge_plan.ts";
import type { PodAttachment } from "../cni/conflist.ts";
import { dumpHostLinks } from "../cni/host_links.ts";
import { isOverlapping } from "../lease/overlap.ts";
import type { Log } from "../log/log.ts";
import { type Address, type Family, familyOf, type Prefix, prefixContains } from "../model/address.ts";
import type { Finding } from "../model/finding.ts";
import type { ObservedLink } from "../model/state.ts";
import { dumpAddresses, encodeAddress, encodeAddressDeletion } from "../netlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { EADDRNOTAVAIL, isErrno } from "../netlink/errno.ts";
import { encodeLinkChange, queryLink } from "../netlink/link.ts";
import { errorText } from "./keep_running.ts";

/** What it needs of the agent. */
export interface BridgeDeps {
  readonly client: NetlinkClient;
  readonly elapsedMs: () => number;
  readonly log: Log;
  /** The networks of the cluster. */
  readonly networks: readonly Prefix[];
  /** Called when the bridge has lost an address, and with it a way that the kernel had: others may have it now. */
  readonly changed: () => void;
}

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

/** An address that comes back this often within the time below is given by somebody else: it is left to them. */
const MAX_REMOVALS = 3;
const REMOVALS_MS = 600_000;
/** Ports are looked at this often while nothing is wrong with them. */
const PORTS_MS = 600_000;

/** Keeps the addresses of the bridge that pods are on as the plugin wants them after the subnet has changed. */
export class BridgeKeeper {
  readonly #deps: BridgeDeps;
  #findings: readonly Finding[] = [];
  readonly #removals = new Map<string, number[]>();
  #portsLookedAtMs = -Infinity;
  #portsLookedFor = "";
  #largePorts = 0;

  constructor(deps: BridgeDeps) {
    this.#deps = deps;
  }

  /** What must be known of the bridge. */
  get findings(): readonly Finding[] {
    return this.#findings;
  }

  /** Looks at the bridge, and gives it what it lacks. Never throws: a fault becomes a finding, and the next pass tries. */
  keep(situation: BridgeSituation): void {
    const { bridge } = situation.attachment;
    const findings = bridge === undefined ? [] : this.#look(bridge, situation);
    const told = new Set(this.#findings.map(({ sentence }) => sentence));
    for (const { sentence } of findings.filter(({ sentence }) => !told.has(sentence))) {
      this.#deps.log.write("warn", "bridge not as it must be", { reason: sentence });
    }
    this.#findings = findings;
  }

  #look(name: string, situation: BridgeSituation): Finding[] {
    const { client } = this.#deps;
    try {
      const link = queryLink(client, name);
      if (link === undefined) return [];
      if (link.kind !== "bridge") return situation.isNamed ? [notABridge(name, link)] : [];
      return [...this.#mend(link, situation), ...this.#lookAtPorts(link, situation)];
    } catch (error) {
      return [{ isBlocking: false, sentence: `the bridge ${name} can't be looked at: ${errorText(error)}` }];
    }
  }

  #mend(link: ObservedLink, situation: BridgeSituation): Finding[] {
    const { client, networks } = this.#deps;
    const { own, held, reserved, inUse, others, attachment, isNamed } = situation;
    const past = { own, networks, held, reserved };
    const addresses = dumpAddresses(client, link.linkIndex);
    const { steps, inTheWay } = planBridge({
      addresses,
      own,
      isOldGateway: (address) => isOldGateway(address, past) && !this.#isFoughtOver(address),
      // Another host's subnet is reached over the overlay, and not while the bridge has it too.
      isKept: (subnet) =>
        !others().some((other) => isOverlapping(other, subnet)) &&
        (inUse === undefined || inUse.some((address) => prefixContains(subnet, address))),
    });
    const findings: Finding[] = [];
    const { fault, hasRemoved } = this.#apply(link, steps);
    if (hasRemoved) this.#deps.changed();
    if (fault !== undefined) {
      const wanted = own.map((subnet) => formatBridgeAddress(gatewayOf(subnet)));
      const commands = steps.map((step) =>
        `ip address ${step.kind === "add" ? "replace" : "del"} ${formatBridgeAddress(step)} dev ${link.name}`
      ).join("; ");
      findings.push({
        isBlocking: true,
        sentence: `the bridge ${link.name} could not be given the gateway of this host's subnet: ${fault}; ` +
          `pods can't be started until it has ${
            wanted.join(" and ")
          } as its first address: run "${commands}"`,
      });
    }
    if (!isNamed || attachment.isForced || fault !== undefined) return findings;
    for (const { found, gateway } of inTheWay) {
      const [other, wanted] = [formatBridgeAddress(found), formatBridgeAddress(gateway)];
      const why = this.#isFoughtOver(found)
        ? "which somebody gives it again each time that it is taken away"
        : isOldGateway(found, past)
        ? "the gateway of an earlier subnet, with addresses beside it that Loden did not give it"
        : "which Loden did not give it";
      findings.push({
        isBlocking: true,
        sentence:
          `the bridge ${link.name} has ${other}, ${why}, before or instead of ${wanted}: the plugin ` +
          `bridge refuses each new pod; run "ip address del ${other} dev ${link.name}", and add it again ` +
          `behind ${wanted} if it is needed`,
      });
    }
    return findings;
  }

  /** Carries the steps out, those of each family up to the first that can't be; says why it can't. */
  #apply(
    link: ObservedLink,
    steps: readonly BridgeStep[],
  ): { readonly fault: string | undefined; readonly hasRemoved: boolean } {
    const { client, log } = this.#deps;
    const { linkIndex, name: linkName, mac } = link;
    let fault: string | undefined;
    let hasRemoved = false;
    const stuck = new Set<Family>();
    for (const { kind, ...address } of steps) {
      // What follows rests on what failed.
      if (stuck.has(familyOf(address.address))) continue;
      const value = { linkIndex, ...address };
      const text = formatBridgeAddress(address);
      const action = `${kind} address ${text} ${kind === "add" ? "to" : "from"} ${linkName}`;
      try {
        client.request(
          action,
          (writer, sequence) =>
            kind === "add"
              ? encodeAddress(writer, sequence, value)
              : encodeAddressDeletion(writer, sequence, value),
        );
        log.write("info", "bridge changed", { action });
        if (kind === "remove") {
          this.#count(text);
          hasRemoved = true;
        }
      } catch (error) {
        // Somebody was faster.
        if (kind === "remove" && isErrno(error, EADDRNOTAVAIL)) continue;
        fault ??= errorText(error);
        stuck.add(familyOf(address.address));
      }
    }
    if (fault === undefined && mac !== undefined && steps.some(({ kind }) => kind === "add")) {
      // As the plugin does it: else the bridge takes another MAC whenever a port with a lower one comes.
      client.request(
        `fix the MAC of ${linkName}`,
        (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, { mac }),
      );
    }
    return { fault, hasRemoved };
  }

  #count(address: string): void {
    this.#removals.set(address, [...this.#removals.get(address) ?? [], this.#deps.elapsedMs()]);
  }

  #isFoughtOver(address: BridgeAddress): boolean {
    const text = formatBridgeAddress(address);
    const recent = this.#removals.get(text)?.filter((ms) => this.#deps.elapsedMs() - ms < REMOVALS_MS) ?? [];
    return recent.length >= MAX_REMOVALS;
  }

  /** Names the pods that were started with a larger MTU than new ones get; theirs can't be changed from here. */
  #lookAtPorts(link: ObservedLink, { attachment }: BridgeSituation): Finding[] {
    const { client, elapsedMs } = this.#deps;
    const { mtuBytes } = attachment;
    if (mtuBytes === undefined) return [];
    const about = `${link.linkIndex} ${mtuBytes}`;
    const isNews = about !== this.#portsLookedFor || this.#largePorts > 0 || link.mtuBytes > mtuBytes;
    if (isNews || elapsedMs() - this.#portsLookedAtMs >= PORTS_MS) {
      const ports = dumpHostLinks(client).filter(({ masterIndex }) => masterIndex === link.linkIndex);
      this.#largePorts = ports.filter((port) => port.kind === "veth" && port.mtuBytes > mtuBytes).length;
      this.#portsLookedFor = about;
      this.#portsLookedAtMs = elapsedMs();
    }
    const count = this.#largePorts;
    if (count === 0) return [];
    return [{
      isBlocking: false,
      sentence: `${count === 1 ? "1 pod was" : `${count} pods were`} started with an MTU above ${mtuBytes} ` +
        `bytes, which the overlay carries now: larger packets of ${count === 1 ? "it" : "theirs"} may get ` +
        `lost; re-create ${count === 1 ? "it" : "them"}`,
    }];
  }
}

function notABridge(name: string, { kind }: ObservedLink): Finding {
  return {
    isBlocking: true,
    sentence:
      `the link ${name} is ${kind === undefined ? "no bridge" : `of the kind ${kind} and no bridge`}: the ` +
      `plugin bridge refuses each new pod; remove it, or name another bridge in the conflist`,
  };
}
