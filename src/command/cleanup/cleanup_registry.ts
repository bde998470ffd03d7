import { isFile } from "../../file/read_file.ts";
import type { Options } from "../../config/options.ts";
import { readText } from "../../file/read_text.ts";
import type { RegistryOptions } from "../../config/registry_flags.ts";
import { MAX_CACHE_BYTES, parseLeaseCache } from "../../registry/lease_cache.ts";
import type { HeldLease, LeavingHost } from "../../registry/registry.ts";
import { SILENT } from "../../log/log.ts";
import { type Address, AF_INET, AF_INET6, parseIpv4 } from "../../model/address.ts";
import { isOurVtep } from "../../model/vtep.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { observeHostNetwork } from "../../overlay/underlay/host_network.ts";
import { chooseUnderlay, UnderlayError } from "../../overlay/underlay/underlay.ts";
import { dumpLinks } from "../../rtnetlink/link.ts";
import type { CleanupStep } from "./cleanup_step.ts";
import { registryPlace } from "../../agent/registry_place.ts";

/** What looking for the own lease needs. */
export interface OwnLeaseDeps {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly host: LeavingHost;
  /** What is opened here is closed by it, after the steps are done. */
  readonly stack: DisposableStack;
  readonly signal: AbortSignal;
}

/** The name of a host without an address, which takes no lease here. */
const NO_ADDRESS = parseIpv4("0.0.0.0");

/**
 * The addresses that this host is reached at: those that an agent with these options would publish, of its VTEPs, and
 * of the lease that it remembers.
 */
export function findOwnAddresses(
  client: NetlinkClient,
  options: Pick<
    Options,
    "iface" | "ifaceRegex" | "ifaceCanReach" | "publicIp" | "publicIpv6" | "leaseCachePath"
  >,
): Set<Address> {
  const own = new Set<Address>();
  const host = observeHostNetwork(client);
  for (const family of [AF_INET, AF_INET6] as const) {
    try {
      const { addresses } = chooseUnderlay(host, { ...options, families: [family] });
      for (const { advertised } of addresses) own.add(advertised);
    } catch (error) {
      // Not every host has both families.
      if (!(error instanceof UnderlayError)) throw error;
    }
  }
  for (const link of dumpLinks(client).filter(isOurVtep)) {
    if (link.vxlan?.local !== undefined) own.add(link.vxlan.local);
  }
  for (const address of rememberedAddresses(options.leaseCachePath)) own.add(address);
  return own;
}

function rememberedAddresses(path: string | undefined): Address[] {
  if (path === undefined) return [];
  try {
    return parseLeaseCache(readText(path, MAX_CACHE_BYTES)).own.parts.map(({ underlayAddress }) =>
      underlayAddress
    );
  } catch {
    // Nothing is remembered, or it can't be read.
    return [];
  }
}

/**
 * What the registry holds of this host; nothing where it holds nothing.
 *
 * @throws {RegistryError} If it can't be asked, or what it says is not this host's.
 */
export async function heldLeases(
  options: RegistryOptions,
  { environment, host, stack, signal }: OwnLeaseDeps,
): Promise<readonly HeldLease[]> {
  // To open a file is to make it.
  if (options.kind === "local" && !isFile(options.path)) return [];
  const place = await registryPlace(options, { // What is wrong is an error here, and a line of its own.
    log: SILENT,
    environment,
    watchFiles: () => undefined,
  });
  const { registry } = stack.use(
    stack.use(place).open({
      families: [],
      ownAddresses: () => [...host.addresses, NO_ADDRESS],
      previousSubnets: [],
      token: undefined,
      ownChanged: () => {},
      back: () => {},
    }),
  );
  return await registry.held(host, { signal });
}

/**
 * What the registry holds of this host, to be given up; nothing if it holds nothing.
 *
 * @throws {RegistryError} If it can't be asked, or what it says is not this host's.
 */
export async function planRegistry(options: RegistryOptions, deps: OwnLeaseDeps): Promise<CleanupStep[]> {
  const { signal } = deps;
  return (await heldLeases(options, deps)).map((lease) => ({
    verb: "remove",
    object: lease.object,
    run: async () => {
      if (!await lease.release({ signal })) throw new Error("it has changed meanwhile");
    },
  }));
}
