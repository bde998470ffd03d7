import type { Address, Prefix } from "../model/address.ts";
import type { Libc } from "../linux/libc.ts";
import { Netns } from "./netns.ts";
import { addAddress, addDefaultRoute, changeLink, makeBridge, makeVeth } from "./wiring.ts";

/** What an agent tells the plugins of its host. */
export interface HostShare {
  /** One a family, IPv4 first. */
  readonly subnets: readonly Prefix[];
  /** The largest packet that a pod may send. */
  readonly mtuBytes: number;
}

/** A container's network namespace, with its addresses in the overlay. */
export interface Pod {
  readonly netns: Netns;
  /** One a family, IPv4 first. */
  readonly addresses: readonly Address[];
}

/** Where a pod is made, and what its links are called. */
export interface PodPlan {
  /** The host's. */
  readonly netns: Netns;
  readonly share: HostShare;
  readonly bridge: string;
  /** The pod's only link. */
  readonly uplink: string;
}

/** Makes the bridge of a host and a pod on it, as the host's share says. */
export async function makePod(
  libc: Libc,
  { netns: host, share: { subnets, mtuBytes }, bridge: bridgeName, uplink: uplinkName }: PodPlan,
  options: { readonly signal: AbortSignal },
): Promise<Pod> {
  const netns = await Netns.create(libc, `${host.name}-p1`, options);
  try {
    const bridge = makeBridge(host.client, bridgeName);
    const [port, uplink] = makeVeth(
      libc,
      { netns: host, name: "veth1" },
      { netns, name: uplinkName },
      { mtuBytes },
    );
    changeLink(host.client, port, { master: bridge });
    changeLink(host.client, bridge, { mtuBytes });
    const addresses: Address[] = [];
    for (const { address, length } of subnets) {
      const [gateway, own] = [after(address, 1), after(address, 2)];
      addAddress(host.client, bridge, { address: gateway, length });
      addAddress(netns.client, uplink, { address: own, length });
      addDefaultRoute(netns.client, uplink, gateway);
      addresses.push(own);
    }
    return { netns, addresses };
  } catch (error) {
    await netns[Symbol.asyncDispose]();
    throw error;
  }
}

function after(address: Address, count: number): Address {
  return (typeof address === "number" ? address + count : address + BigInt(count)) as Address;
}
