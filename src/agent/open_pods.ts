import { dirname } from "node:path";
import type { Options } from "../config/options.ts";
import type { LeaseSet } from "../registry/lease_set.ts";
import type { Log } from "../log/log.ts";
import type { Prefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import { hostFacts } from "./host_facts.ts";
import { LeftoverKeeper, USUAL_FOLDERS } from "./leftover_keeper.ts";
import type { PodFiles } from "./pod_files.ts";
import { PodKeeper, type PodKeeperDeps } from "./pod_keeper.ts";

/** What the pods of a host are seen to with. */
export interface PodPlace {
  readonly options: Options;
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly podFiles: PodFiles;
  readonly networks: readonly Prefix[];
  /** The subnets that the subnet file says this host held. */
  readonly held: readonly Prefix[];
  readonly leases: LeaseSet;
  readonly own: () => Lease | undefined;
  /** Called when there is something to look at again. */
  readonly changed: () => void;
  readonly log: Log;
  readonly keepHistory?: PodKeeperDeps["keepHistory"];
}

/** Opens what sees to pods that are there, and to what pods that are gone have left. */
export function openPods(place: PodPlace): { readonly pods: PodKeeper; readonly leftovers: LeftoverKeeper } {
  const { options, libc, client, podFiles, networks, held, leases, own, changed, log } = place;
  const host = () => hostFacts(libc, client, dirname(options.subnetFilePath));
  const leftovers = new LeftoverKeeper(USUAL_FOLDERS, {
    host,
    network: () => podFiles.network,
    networksDir: () => podFiles.attachment?.networksDir,
    log,
    isReleasing: options.isReleasingStale,
  });
  const pods = new PodKeeper({
    client,
    host,
    podFiles,
    isNamed: options.conflist !== undefined,
    networks,
    held,
    others: () => leases.all?.flatMap((lease) => lease.host === own()?.host ? [] : subnetsOf(lease)) ?? [],
    subnetFilePath: options.subnetFilePath,
    ...place.keepHistory !== undefined && { keepHistory: place.keepHistory },
    changed,
    log,
  });
  return { pods, leftovers };
}

/** The subnets of a lease. */
export function subnetsOf({ parts }: Lease): readonly Prefix[] {
  return parts.map(({ subnet }) => subnet);
}
