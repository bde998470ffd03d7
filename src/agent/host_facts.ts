import { bootedAtMs, type HostFacts } from "../leftovers/leftover_facts.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../linux/libc.ts";
import { fileIdentity } from "../linux/file_identity.ts";
import { dumpNeighbourAddresses } from "../rtnetlink/neighbour.ts";
import { dumpLinks } from "../rtnetlink/link.ts";

/**
 * What is known of this host now.
 *
 * @param runFolder A folder that was empty when the host booted; what is oldest in it was there before any pod.
 */
export function hostFacts(libc: Libc, client: NetlinkClient, runFolder: string): HostFacts {
  const nowMs = Date.now();
  return {
    links: new Map(dumpLinks(client).map(({ name, kind }) => [name, kind])),
    neighbours: dumpNeighbourAddresses(client),
    nowMs,
    bootedAtMs: bootedAtMs(libc, { nowMs, runFolder }),
    isThere: (path) => fileIdentity(path) !== undefined,
  };
}
