import { type BridgeAddress, type BridgeStep, formatBridgeAddress } from "../pods/bridge_plan.ts";
import { EACCES, EADDRNOTAVAIL, isErrno } from "../linux/errno.ts";
import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { type Family, familyOf } from "../model/address.ts";
import type { ObservedLink } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { encodeAddress, encodeAddressDeletion } from "../rtnetlink/address.ts";
import { encodeLinkChange } from "../rtnetlink/link.ts";

// What is asked of the kernel for the bridge that pods are on.

/** What a bridge is changed with. */
export interface BridgeChangeDeps {
  readonly client: NetlinkClient;
  readonly log: Log;
}

/** What came of changes. */
export interface BridgeChanges {
  /** Why not all could be made. */
  readonly fault: string | undefined;
  readonly removed: readonly BridgeAddress[];
  readonly added: readonly BridgeAddress[];
}

/** Sets the bridge up; says why it stays down. */
export function setBridgeUp(
  { client, log }: BridgeChangeDeps,
  { name, linkIndex }: ObservedLink,
): string | undefined {
  const action = `set ${name} up`;
  try {
    client.request(
      action,
      (writer, sequence) => encodeLinkChange(writer, sequence, linkIndex, { isUp: true }),
    );
  } catch (error) {
    return errorText(error);
  }
  log.write("info", "bridge changed", { action });
}

/** Carries the steps out, those of each family up to the first that can't be; says why it can't. */
export function changeBridge(
  { client, log }: BridgeChangeDeps,
  link: ObservedLink,
  steps: readonly BridgeStep[],
): BridgeChanges {
  const { linkIndex, name: linkName, mac } = link;
  let fault: string | undefined;
  const added: BridgeAddress[] = [];
  const removed: BridgeAddress[] = [];
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
      (kind === "remove" ? removed : added).push(address);
    } catch (error) {
      // Another program was faster.
      if (kind === "remove" && isErrno(error, EADDRNOTAVAIL)) continue;
      stuck.add(familyOf(address.address));
      // IPv6 is turned off on the bridge, which is seen to and told of elsewhere (`ipv6_add_addr()`).
      if (isErrno(error, EACCES)) continue;
      fault ??= errorText(error);
    }
  }
  if (fault === undefined && mac !== undefined && added.length > 0) {
    // As the plugin does it: else the bridge takes another MAC whenever a port with a lower one comes. It costs
    // the bridge's neighbours, and the packets that wait for them.
    const fixed = { mac };
    client.request(
      `fix the MAC of ${linkName}`,
      (to, sequence) => encodeLinkChange(to, sequence, linkIndex, fixed),
    );
  }
  return { fault, removed, added };
}
