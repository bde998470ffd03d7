import { dumpHostLinks, dumpNeighbourAddresses } from "../cni/host_links.ts";
import { bootedAtMs, type HostFacts } from "../cni/leftover_facts.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import type { Libc } from "../netlink/ffi.ts";
import { fileIdentity } from "../netlink/file_identity.ts";

/**
 * What is known of this host now.
 *
 * @param runFolder A folder that was empty when the host booted; what is oldest in it was there before any pod.
 */
export function hostFacts(libc: Libc, client: NetlinkClient, runFolder: string): HostFacts {
  const nowMs = Date.now();
  return {
    links: new Map(dumpHostLinks(client).map(({ name, kind }) => [name, kind])),
    neighbours: dumpNeighbourAddresses(client),
    nowMs,
    bootedAtMs: bootedAtMs(libc, { nowMs, runFolder }),
    isThere: (path) => fileIdentity(path) !== undefined,
  };
}
