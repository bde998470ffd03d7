import type { Condition } from "../model/condition.ts";
import { vtepNames, whyTooNarrow } from "../overlay/backend/vxlan.ts";
import type { NetworkConfig } from "../config/network.ts";
import type { Options } from "../config/options.ts";
import { proveAddresses } from "../host/address_proof.ts";
import type { Log } from "../log/log.ts";
import { type Address, AF_INET, bitsOf, type Family, type Ipv4, type Ipv6 } from "../model/address.ts";
import type { FamilyNetwork } from "../config/subnets.ts";
import type { PodRange } from "../overlay/underlay/ours.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import { UdpSocket } from "../linux/udp_socket.ts";
import { type HostNetwork, observeHostNetwork } from "../overlay/underlay/host_network.ts";
import { weighUnderlay } from "../overlay/underlay/underlay.ts";
import { type WhyUnfit, withoutUnfit } from "../overlay/underlay/unfit.ts";
import { UnderlayFollower, type UnderlayFollowerDeps } from "./underlay_follower.ts";

/** What the underlay is chosen by, and who hears of it. What can change while the agent runs is a function. */
export interface UnderlaySources {
  readonly options: Options;
  readonly config: NetworkConfig;
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly log: Log;
  /** Told why there is no underlay yet. */
  readonly waiting: (condition: Condition) => void;
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
  sources: UnderlaySources,
  { signal }: { readonly signal: AbortSignal },
): Promise<UnderlayFollower> {
  const { options, config, libc, client, log, waiting, changed } = sources;
  const { backend } = config;
  const families = config.families.map(({ family }) => family);
  const marks = {
    networks: config.families.map(({ network }) => network),
    // In Kubernetes the cluster gives the subnets, and the configuration's range counts for nothing.
    ...options.registry.kind !== "kube" && { ranges: config.families.map(rangeOf) },
    vtepNames: "vni" in backend ? vtepNames(backend.vni) : [],
  };
  const whyUnfit: WhyUnfit = (underlay, address) =>
    sources.whyUnfit(address.family) ??
      ("vni" in backend ? whyTooNarrow(backend, underlay, address) : undefined);
  return await UnderlayFollower.open({
    choose: (standing) => {
      const network = observeHostNetwork(client);
      sources.observed?.(network);
      const choice = weighUnderlay(network, {
        ...options,
        ...sources.publicAddresses(),
        ...marks,
        bridgeName: sources.bridgeName(),
        nodeAddresses: sources.nodeAddresses(),
        families,
      }, { ...standing, lastAddresses: sources.lastAddresses() });
      return withoutUnfit(choice, whyUnfit);
    },
    prove: (moves, proofOptions) =>
      proveAddresses(
        {
          peers: sources.peers,
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
