import { vtepNames, whyTooNarrow } from "../backend/vxlan.ts";
import type { NetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { proveAddresses } from "../host/address_proof.ts";
import type { Log } from "../log/log.ts";
import { type Address, AF_INET, bitsOf, type Family, type Ipv4, type Ipv6 } from "../model/address.ts";
import type { FamilyNetwork } from "../config/subnets.ts";
import type { PodRange } from "../underlay/ours.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../netlink/ffi.ts";
import { UdpSocket } from "../netlink/udp_socket.ts";
import { type HostNetwork, observeHostNetwork } from "../underlay/host_network.ts";
import { weighUnderlay } from "../underlay/underlay.ts";
import { type WhyUnfit, withoutUnfit } from "../underlay/unfit.ts";
import { UnderlayFollower, type UnderlayFollowerDeps } from "./underlay_follower.ts";

/** What the underlay is chosen by, and who hears of it. What can change while the agent runs is a function. */
export interface UnderlayPlace {
  readonly options: Options;
  readonly config: NetworkConfig;
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly log: Log;
  /** Told why there is no underlay yet. */
  readonly waiting: (reason: string) => void;
  /** Called after another choice. */
  readonly changed: UnderlayFollowerDeps["changed"];
  /** Addresses that the registry says this host is reached at; stronger than flags. */
  readonly publicAddresses: () => { readonly publicIp?: Ipv4; readonly publicIpv6?: Ipv6 };
  /** Addresses that the cluster knows this host by, as a node's InternalIP; they break ties. */
  readonly nodeAddresses: () => readonly Address[];
  /** What was in use when the agent of this boot last ran, or what the own lease publishes; best first. */
  readonly lastAddresses: () => readonly Address[];
  /** The bridge that pods are on, as the conflist names it. */
  readonly bridgeName: () => string | undefined;
  /** Why this host can't have a family in the overlay, though it has an address of it, as a clause. */
  readonly whyUnfit: (family: Family) => string | undefined;
  /** Told what this host's links, addresses and default routes are, whenever they are looked at. */
  readonly observed?: (network: HostNetwork) => void;
  /** Where others are in the underlay, by which another address is proved. */
  readonly peers: () => Iterable<{ readonly host: string; readonly address: Address }>;
}

/** Where the subnets of hosts can be. */
function rangeOf({ subnetMin, subnetMax, subnetLength, family }: FamilyNetwork): PodRange {
  const size = 2n ** BigInt(bitsOf(family) - subnetLength);
  const last = BigInt(subnetMax) + size - 1n;
  return { first: subnetMin, last: (family === AF_INET ? Number(last) : last) as Address };
}

/** Waits until there is an underlay, and follows it. */
export async function openUnderlay(
  place: UnderlayPlace,
  { signal }: { readonly signal: AbortSignal },
): Promise<UnderlayFollower> {
  const { options, config, libc, client, log, waiting, changed } = place;
  const { backend } = config;
  const families = config.families.map(({ family }) => family);
  const marks = {
    networks: config.families.map(({ network }) => network),
    // In Kubernetes the cluster gives the subnets, whatever the configuration says.
    ...options.registry.kind !== "kube" && { ranges: config.families.map(rangeOf) },
    vtepNames: "vni" in backend ? vtepNames(backend.vni) : [],
  };
  const whyUnfit: WhyUnfit = (underlay, address) =>
    place.whyUnfit(address.family) ??
      ("vni" in backend ? whyTooNarrow(backend, underlay, address) : undefined);
  return await UnderlayFollower.open({
    choose: (standing) => {
      const network = observeHostNetwork(client);
      place.observed?.(network);
      const choice = weighUnderlay(network, {
        ...options,
        ...place.publicAddresses(),
        ...marks,
        bridgeName: place.bridgeName(),
        nodeAddresses: place.nodeAddresses(),
        families,
      }, { ...standing, lastAddresses: place.lastAddresses() });
      return withoutUnfit(choice, whyUnfit);
    },
    prove: (moves, proofOptions) =>
      proveAddresses(
        {
          peers: place.peers,
          open: (path) => UdpSocket.open(libc, path),
          random: Math.random,
        },
        moves,
        proofOptions,
      ),
    changed,
    elapsedMs: () => performance.now(),
    log,
  }, { waiting, maxAgeMs: options.resyncMs, signal });
}
