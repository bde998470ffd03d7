import { type BridgeAddress, type BridgeStep, formatBridgeAddress, gatewayOf } from "../pods/bridge_plan.ts";
import { formatPrefix, type Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { ObservedLink } from "../model/state.ts";

/** The smallest MTU of a link that the kernel runs IPv6 on (RFC 8200). */
const IPV6_MIN_MTU = 1280;

// What is told of the bridge that pods are on: what is, what that means, what to do.

/** What has the bridge's name is none. */
export function notABridge(name: string, { kind }: ObservedLink): Condition {
  return {
    code: "bridge-replaced",
    sentence:
      `the link ${name} is ${kind === undefined ? "no bridge" : `of the kind ${kind} and no bridge`}: the ` +
      `plugin bridge refuses each new pod; remove it, or name another bridge in the conflist`,
  };
}

/** What an administrator runs to give or take an address. */
function commandFor(verb: "replace" | "del", address: BridgeAddress, linkName: string): string {
  return `ip address ${verb} ${formatBridgeAddress(address)} dev ${linkName}`;
}

/** The kernel refuses the addresses that the bridge must have. */
export function notGiven(
  { name, mtuBytes }: ObservedLink,
  { own, steps, fault, wantedBytes = IPV6_MIN_MTU }: {
    readonly own: readonly Prefix[];
    readonly steps: readonly BridgeStep[];
    readonly fault: string;
    /** The MTU that it is to have. */
    readonly wantedBytes?: number | undefined;
  },
): Condition {
  if (
    mtuBytes < IPV6_MIN_MTU &&
    steps.some(({ kind, address }) => kind === "add" && typeof address === "bigint")
  ) {
    return {
      code: "bridge-refused",
      sentence:
        `the bridge ${name} has an MTU of ${mtuBytes} bytes, and IPv6 needs ${IPV6_MIN_MTU}: the kernel gives it no ` +
        `address of IPv6, so that pods are cut off in it and can't be started; run ` +
        `"ip link set ${name} mtu ${Math.max(wantedBytes, IPV6_MIN_MTU)}", and end what has set it so`,
    };
  }
  const wanted = own.map((subnet) => formatBridgeAddress(gatewayOf(subnet)));
  const commands = steps.map((step) => commandFor(step.kind === "add" ? "replace" : "del", step, name));
  return {
    code: "bridge-refused",
    sentence:
      `the bridge ${name} could not be given the gateway of this host's subnet: ${fault}; pods can't be ` +
      `started until it has ${wanted.join(" and ")} as its first address: run "${commands.join("; ")}"`,
  };
}

/** Another program takes a gateway away, and it is left so. */
export function takenAway({ name }: ObservedLink, gateway: BridgeAddress): Condition {
  return {
    code: "bridge-robbed",
    sentence:
      `the bridge ${name} lacks ${formatBridgeAddress(gateway)}, the gateway of this host's subnet, as ` +
      `another program takes it away again each time that it is put back: the pods on it are cut off; run ` +
      `"${commandFor("replace", gateway, name)}"`,
  };
}

/**
 * The bridge is down.
 *
 * @param why As a clause that goes on.
 * @param missing The gateways that it lacks.
 */
export function isDown({ name }: ObservedLink, why: string, missing: readonly BridgeAddress[]): Condition {
  const commands = [`ip link set ${name} up`, ...missing.map((one) => commandFor("replace", one, name))];
  return {
    code: "bridge-down",
    sentence: `the bridge ${name} is down, ${why}: the pods on it are cut off; run "${commands.join("; ")}"`,
  };
}

/**
 * An address stands before the gateway.
 *
 * @param whose As a relative clause.
 */
export function isBefore(
  { name }: ObservedLink,
  { found, gateway }: { readonly found: BridgeAddress; readonly gateway: BridgeAddress },
  whose: string,
): Condition {
  const [other, wanted] = [formatBridgeAddress(found), formatBridgeAddress(gateway)];
  return {
    code: "bridge-address-first",
    sentence: `the bridge ${name} has ${other}, ${whose}, before or instead of ${wanted}: the plugin ` +
      `bridge refuses each new pod; run "${commandFor("del", found, name)}", and add it again ` +
      `behind ${wanted} if it is needed`,
  };
}

/**
 * An address keeps this host from another host's pods.
 *
 * @param whose As a relative clause.
 */
export function isShadow(
  { name }: ObservedLink,
  { found, subnet }: { readonly found: BridgeAddress; readonly subnet: Prefix },
  whose: string,
): Condition {
  return {
    code: "bridge-address-shadows",
    sentence:
      `the bridge ${name} has ${formatBridgeAddress(found)}, ${whose}, and ${formatPrefix(subnet)} is ` +
      `another host's: its pods are not reached from here; run "${commandFor("del", found, name)}"`,
  };
}

/**
 * The gateway of an earlier subnet stands where it is in no pod's way.
 *
 * @param whose As a relative clause.
 */
export function isBehind({ name }: ObservedLink, found: BridgeAddress, whose: string): Condition {
  return {
    code: "bridge-address-old",
    sentence:
      `the bridge ${name} has ${formatBridgeAddress(found)}, ${whose}, of a subnet that this host has no ` +
      `more: it stays; end what gives it, and run "${commandFor("del", found, name)}"`,
  };
}

/** Pods were started with a larger MTU than new ones get. */
export function haveLargeMtu(count: number, mtuBytes: number): Condition {
  return {
    code: "pods-with-large-mtu",
    sentence: `${count === 1 ? "1 pod was" : `${count} pods were`} started with an MTU above ${mtuBytes} ` +
      `bytes, which the overlay carries now: larger packets of ${count === 1 ? "it" : "theirs"} may get ` +
      `lost; re-create ${count === 1 ? "it" : "them"}`,
  };
}

/** The kernel does not say how the bridge is. */
export function isUnreadable(name: string, reason: string): Condition {
  return { code: "bridge-unreadable", sentence: `the bridge ${name} can't be looked at: ${reason}` };
}
