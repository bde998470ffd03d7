import { previousSubnets } from "../pods/subnet_file.ts";
import type { Machine } from "../host/origin.ts";
import type { Trigger } from "../loop/trigger.ts";
import type { Prefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { PathProber, ToldElsewhere } from "../path/path_prober.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { Membership } from "../registry/membership.ts";
import { machineOf } from "./best_effort.ts";
import { BootKeeper } from "./boot_keeper.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import { GroundKeeper } from "./ground_keeper.ts";
import type { HostKeeper } from "./host_keeper.ts";
import type { MacAnnouncer } from "./mac_announcer.ts";
import { openUnderlay } from "./open_underlay.ts";
import { PodFiles } from "./pod_files.ts";
import type { Wanted } from "../reconcile/wanted.ts";
import type { RulesKeeper } from "./rules_keeper.ts";
import type { OpenRegistry } from "./registry_place.ts";
import type { UnderlayFollower } from "./underlay_follower.ts";

/** Parts that others refer to before they are opened: each is put in when it is. */
export interface LateParts {
  underlay?: UnderlayFollower;
  registry?: OpenRegistry;
  host?: HostKeeper;
  membership?: Membership;
  announcer?: MacAnnouncer;
  rules?: RulesKeeper;
  prober?: PathProber | undefined;
  lastPass?: () => PassReport | undefined;
  /** What is known with its cause of packets that do not get to others. */
  told?: () => ToldElsewhere;
  /** What the last pass was made for. */
  wanted?: () => Wanted | undefined;
  /** All other hosts in the overlay, as far as they are known. */
  peers?: () => readonly Lease[];
}

/** Parts that are there before a lease: the underlay, the subnets of before, what this host needs for itself. */
export interface UnderlayParts {
  readonly podFiles: PodFiles;
  readonly bootKeeper: BootKeeper;
  readonly machine: Machine;
  /** The subnets that the subnet file says this host held. */
  readonly held: readonly Prefix[];
  readonly ground: GroundKeeper;
  readonly underlay: UnderlayFollower;
}

/**
 * Waits until this host has an underlay, and knows what came before.
 *
 * @param trigger Asks for a pass.
 */
export async function openUnderlayParts(
  context: AgentContext,
  { config, cache }: KnownConfig,
  { late, trigger }: { readonly late: LateParts; readonly trigger: Trigger },
  { signal }: { readonly signal: AbortSignal },
): Promise<UnderlayParts> {
  const { options, libc, client, place, log } = context;
  const podFiles = new PodFiles(options, { ...context, program: Deno.execPath() });
  const bootKeeper = new BootKeeper(options.subnetFilePath, { libc, log });
  const machine = await machineOf(options.machineIdPath, libc, log);
  const held = previousSubnets(options.subnetFilePath);
  const bridgeName = () => podFiles.bridge;
  const ground = new GroundKeeper({
    networks: config.families.map(({ network }) => network),
    registryHosts: place.hosts,
    registryName: place.name,
    underlayLinkIndex: () => late.registry === undefined ? 0 : late.underlay?.linkIndex ?? 0,
    bridgeName,
    changed: () => late.registry && trigger.nudge(),
    log,
  }, held);
  // What was in use in this boot needs no other word.
  const isFirst = bootKeeper.lastAddresses.length === 0;
  const nodeAddresses = isFirst ? await place.readNodeAddresses?.({ signal }) ?? [] : [];
  const underlay = await openUnderlay({
    options,
    config,
    libc,
    client,
    log,
    waiting: context.waiting,
    changed: ({ isAddressOther }) => {
      if (isAddressOther) late.registry?.registry.moved?.();
      trigger.nudge();
      late.membership?.refresh();
      late.announcer?.nudge();
    },
    publicAddresses: () => late.registry?.publicAddresses?.() ?? {},
    nodeAddresses: () => late.registry?.nodeAddresses?.() ?? nodeAddresses,
    observed: (network) => ground.observe(network),
    lastAddresses: () => [
      ...bootKeeper.lastAddresses,
      ...cache?.own.parts.map(({ underlayAddress }) => underlayAddress) ?? [],
    ],
    bridgeName,
    // The host's keeper comes after the first choice.
    whyUnfit: (family) => late.host?.whyUnfit(family),
    peers: () =>
      late.peers?.().flatMap(({ host, parts }) =>
        parts.map((part) => ({ host, address: part.underlayAddress }))
      ) ?? [],
  }, { signal });
  late.underlay = underlay;
  return { podFiles, bootKeeper, machine, held, ground, underlay };
}
