import { makeBackend } from "../overlay/backend/make_backend.ts";
import type { Backend } from "../overlay/backend/backend.ts";
import type { BootAnswer } from "../host/boot_identity.ts";
import { LeaseSet } from "../registry/lease_set.ts";
import { Membership, type MembershipDeps } from "../registry/membership.ts";
import type { LeaseRequest } from "../registry/registry.ts";
import type { Lease } from "../model/lease.ts";
import { claimsOf } from "./agent_claim.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import { FormerKeeper } from "./former_keeper.ts";
import { HostKeeper } from "./host_keeper.ts";
import { leaseRequest } from "./lease_request.ts";
import { openWays, type Ways } from "./open_ways.ts";
import { randomMac } from "./preflight.ts";
import type { OpenRegistry, RegistryContext } from "./registry_place.ts";
import type { LateParts, UnderlayParts } from "./underlay_parts.ts";

/** Parts that rest on the own lease: the lease itself, who else there is, and what is made for both. */
export interface LeaseParts {
  readonly boot: BootAnswer;
  readonly former: FormerKeeper;
  readonly backend: Backend;
  readonly registry: OpenRegistry;
  readonly leases: LeaseSet;
  readonly membership: Membership;
  readonly host: HostKeeper;
  readonly ways: Ways;
  readonly peers: () => readonly Lease[];
  /** Why nothing may be made for the lease that this host has, as a sentence. */
  readonly refusal: () => string | undefined;
  /** The own lease, if something may be made for it. */
  readonly usable: () => Lease | undefined;
  /** What this host asks its registry for. */
  readonly request: (previous?: Lease) => LeaseRequest;
  /** Opens the registry anew, for some subnets. */
  readonly openFor: (families: RegistryContext["families"]) => OpenRegistry;
}

/** What the parts of a member tell each other. */
export interface Nudges {
  readonly pass: () => void;
  /** Others' leases have changed. */
  readonly leases: () => void;
  readonly rules: () => void;
}

/** While it is not known who else there is. */
const NOBODY: readonly Lease[] = [];

/** Opens the registry and what rests on the own lease. Touches nothing of this host. */
export function openLeaseParts(
  context: AgentContext,
  { config, cache }: KnownConfig,
  known: UnderlayParts,
  { late, nudges, stack }: {
    readonly late: LateParts;
    readonly nudges: Nudges;
    readonly stack: AsyncDisposableStack;
  },
): LeaseParts {
  const { options, client, claims, place, log } = context;
  const { bootKeeper, ground, underlay } = known;
  const networks = config.families.map(({ network }) => network);
  const boot = bootKeeper.look(underlay.current);
  const { bootId } = bootKeeper;
  const former = new FormerKeeper(options.subnetFilePath, claimsOf(config), { bootId, client, claims, log });
  const { hasBlackholeRoute } = options;
  const backend = makeBackend(config.backend, { networks, former: former.former, hasBlackholeRoute });
  const registryContext = registryContextOf(context, config, known, { boot, late });
  const registry = late.registry = stack.use(place.open(registryContext));
  ground.settle();
  const leases = new LeaseSet();
  if (cache !== undefined) leases.remember(cache.leases);
  const own = () => late.membership?.own;
  const peers = late.peers = () => {
    const lease = own();
    return (lease && leases.remote(lease, networks)?.leases) ?? NOBODY;
  };
  const host = late.host = openHost(context, config, known, {
    boot,
    carriage: backend.carriage,
    registry,
    own,
    peers,
    isDamaging: () => late.prober?.isDamaging ?? false,
  });
  const ways = openWays(backend.carriage, {
    underlay: () => underlay.usable,
    client,
    leaseType: backend.leaseType,
    peers,
    isLost: () => underlay.reason !== undefined,
    changed: nudges.pass,
    maxAgeMs: options.resyncMs,
    log,
  });
  const seed = {
    existingMac: (name: string) => host.knownMac(name),
    randomMac: randomMac(),
    older: () => leases.olderThan(own()),
  };
  const families = config.families.map(({ family }) => family);
  const request = (previous?: Lease) => {
    underlay.follow();
    const current = ways.segment?.withAdvertised(underlay.current) ?? underlay.current;
    const { machine } = known;
    const probePort = late.prober?.port;
    return leaseRequest(backend, current, previous, { families, seed, machine, probePort });
  };
  const { registry: held } = registry;
  const asked = { registry: held, leases, remembered: cache?.own, request };
  const membership = late.membership = openMembership(context, asked, nudges);
  const refusal = () => ground.refusal(membership.own);
  return {
    boot,
    former,
    backend,
    registry,
    leases,
    membership,
    host,
    ways,
    peers,
    refusal,
    usable: () => refusal() === undefined ? membership.own : undefined,
    request,
    openFor: (families) => place.open({ ...registryContext, families }),
  };
}

/** Opens what holds the own lease, and hears of the others'. */
function openMembership(
  { options, elapsedMs, log }: AgentContext,
  asked: Pick<MembershipDeps, "registry" | "leases" | "remembered" | "request">,
  nudges: Nudges,
): Membership {
  const changed = () => {
    nudges.pass();
    nudges.rules();
  };
  const { leaseRenewMarginMs: renewMarginMs } = options;
  const otherChanged = nudges.leases;
  const deps = { ...asked, changed, otherChanged, now: () => Date.now(), elapsedMs, log };
  return new Membership(deps, { renewMarginMs });
}

/** What the registry has to know of this host. */
function registryContextOf(
  { place }: AgentContext,
  config: KnownConfig["config"],
  { ground, held, underlay }: UnderlayParts,
  { boot, late }: { readonly boot: BootAnswer; readonly late: LateParts },
): RegistryContext {
  return {
    families: config.families.map((family) => ({ ...family, ground: () => ground.facts })),
    ownAddresses: () => underlay.current.addresses.map(({ advertised }) => advertised),
    previousSubnets: held,
    token: boot.holding?.registry === place.name ? boot.holding.token : undefined,
    ownChanged: () => {
      underlay.nudge();
      late.membership?.refresh();
    },
    back: () => late.membership?.retry(),
  };
}

/** Opens what keeps the host's settings. */
function openHost(
  { options, libc, client, transport, place, log }: AgentContext,
  config: KnownConfig["config"],
  { bootKeeper, podFiles, underlay }: UnderlayParts,
  { boot, carriage, registry, own, peers, isDamaging }: {
    readonly boot: BootAnswer;
    readonly carriage: Backend["carriage"];
    readonly registry: OpenRegistry;
    readonly own: () => Lease | undefined;
    readonly peers: () => readonly Lease[];
    readonly isDamaging: () => boolean;
  },
): HostKeeper {
  return new HostKeeper({
    libc,
    client,
    socketFd: transport.fd,
    options,
    backend: config.backend,
    carriage,
    families: config.families.map(({ family }) => family),
    boot,
    routerLinks: bootKeeper.routerLinks,
    keepBoot: (identity) => {
      const { token } = registry.registry;
      const holding = token === undefined ? undefined : { registry: place.name, token };
      bootKeeper.keep({ ...identity, holding });
    },
    underlay: () => underlay.current,
    usable: () => underlay.usable,
    podsBridge: () => podFiles.bridge,
    fitnessChanged: () => underlay.nudge(),
    own,
    remote: peers,
    isDamaging,
    log,
  });
}
