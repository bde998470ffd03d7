import type { FamilyNetwork } from "../config/subnets.ts";
import { prefixCovers } from "../core/prefix.ts";
import { BackOff } from "../loop/back_off.ts";
import type { FamilySubnets } from "../registry/choose_subnet.ts";
import type { LeaseRegistry, LeaseRequest } from "../registry/registry.ts";
import type { Condition } from "../model/condition.ts";
import { AF_INET, familyOf, formatPrefix, type Prefix } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import { errorText } from "../log/error_text.ts";

/** Between looks at whether the lease has gone, or the registry answers. */
const FIRST_RETRY_MS = 1000;
const LAST_RETRY_MS = 30_000;
/** A lease outside of the network is kept as it is, and so renewed this often: what stays is to be reached. */
const RENEW_MS = 10 * 60 * 1000;

/** A subnet of this host that a network does not have. */
export interface Misfit {
  readonly network: Prefix;
  readonly subnet: Prefix;
}

/** The first of a host's subnets that does not lie in the network of its family; a family not in use does not count. */
export function misfitOf(
  families: readonly Pick<FamilyNetwork, "family" | "network">[],
  subnets: readonly Prefix[],
): Misfit | undefined {
  for (const subnet of subnets) {
    const network = families.find(({ family }) => family === familyOf(subnet.address))?.network;
    if (network !== undefined && !prefixCovers(network, subnet)) return { network, subnet };
  }
  return undefined;
}

/**
 * The subnet that speaks against a network, of what the cluster gives this host and the lease that it has. What the
 * cluster gives in one family only matters if nothing else can be had: the other family goes on without it, unless the
 * host has been reached by it.
 */
export function clusterMisfitOf(
  families: readonly Pick<FamilyNetwork, "family" | "network">[],
  { held, given }: { readonly held: readonly Prefix[]; readonly given: readonly Prefix[] },
): Misfit | undefined {
  const fits = ({ family, network }: Pick<FamilyNetwork, "family" | "network">) =>
    given.some((subnet) => familyOf(subnet.address) === family && prefixCovers(network, subnet));
  return misfitOf(families, held) ?? (families.some(fits) ? undefined : misfitOf(families, given));
}

/** Where a network is written, and whose lease it is held against. */
export interface NetworkPlace {
  readonly kind: "local" | "kube" | "etcd";
  /** What the registry is called in messages: `etcd /coreos.com/network`. */
  readonly registryName: string;
  /** Where the configuration is, for messages. */
  readonly source: string;
}

/** Why a network is not applied, and what to do, as one sentence. */
export function refusal({ network, subnet }: Misfit, host: string | undefined, place: NetworkPlace): string {
  const key = familyOf(network.address) === AF_INET ? "Network" : "IPv6Network";
  const { kind, registryName, source } = place;
  const what = kind === "kube"
    ? `podCIDR ${formatPrefix(subnet)} of node ${host ?? "this host"}`
    : `the lease ${formatPrefix(subnet)} of this host in ${registryName}`;
  return `${key} ${
    formatPrefix(network)
  } of ${source} is not applied, and all stays as it was: ${what} is not in it; ` +
    `mend ${key}, or if the change is meant ${remedy(kind, host, registryName)}`;
}

function remedy(kind: NetworkPlace["kind"], host: string | undefined, registryName: string): string {
  switch (kind) {
    case "kube":
      return "delete the node and let it register again, so that it gets a podCIDR of the new network";
    case "etcd":
      return `remove the lease: etcdctl del ${registryName.slice("etcd ".length)}/subnets/${
        host ?? "SUBNET"
      }`;
    case "local":
      return "end the agent and give the lease up: loden cleanup -node, with the agent's flags";
  }
}

/** A registry as far as it is asked. */
export interface GuardedRegistry extends Disposable {
  readonly registry: Pick<LeaseRegistry, "host" | "previous" | "acquire">;
  /** The subnets that the cluster gives this host, as they were last read. */
  readonly givenSubnets?: () => readonly Prefix[];
}

/** What a network is judged by. */
export interface NetworkGuardDeps {
  readonly families: readonly FamilyNetwork[];
  readonly place: NetworkPlace;
  /** What this host held when the agent last ran, as files on this host say. */
  readonly remembered: readonly Prefix[];
  /** Settles when the configuration may be another one. */
  readonly changed: () => Promise<void>;
  /** Whether it is. */
  readonly isOther: () => boolean;
  /** Told why nothing is done yet. */
  readonly waiting: (condition: Condition) => void;
  readonly elapsedMs: () => number;
}

/**
 * Holds the network of a configuration against what this host has, before anything is touched: a network that the own
 * lease does not lie in is a mistake until an operator removes the lease.
 */
export class NetworkGuard {
  readonly #deps: NetworkGuardDeps;

  constructor(deps: NetworkGuardDeps) {
    this.#deps = deps;
  }

  /**
   * Whether what was remembered says by itself that the network is the one of before. The registry need not be there
   * then; where it is not known, the registry must say so.
   */
  get isKnown(): boolean {
    const { families, remembered } = this.#deps;
    return this.#rememberedMisfit === undefined &&
      remembered.some(({ address }) => families.some(({ family }) => familyOf(address) === family));
  }

  get #rememberedMisfit(): Misfit | undefined {
    return misfitOf(this.#deps.families, this.#deps.remembered);
  }

  /**
   * Waits until the network may be applied.
   *
   * @param request What this host would ask for.
   * @param openFor Opens the registry anew for some subnets.
   * @returns Whether it may; else the configuration has changed.
   */
  async admit(
    opened: GuardedRegistry,
    { request, openFor }: {
      readonly request: () => LeaseRequest;
      readonly openFor: (families: readonly FamilySubnets[]) => GuardedRegistry;
    },
    { signal }: { readonly signal: AbortSignal },
  ): Promise<boolean> {
    if (this.isKnown) return true;
    const { families, place, waiting, elapsedMs } = this.#deps;
    const backOff = new BackOff({ firstMs: FIRST_RETRY_MS, lastMs: LAST_RETRY_MS });
    using stack = new DisposableStack();
    let { registry } = opened;
    let renewAtMs = elapsedMs();
    for (;;) {
      let condition: Condition;
      try {
        const lease = await registry.previous(request(), { signal });
        const held = lease?.parts.map(({ subnet }) => subnet) ?? [];
        const misfit = clusterMisfitOf(families, { held, given: opened.givenSubnets?.() ?? held });
        if (misfit === undefined) return true;
        condition = {
          code: "network-refused",
          sentence: refusal(misfit, lease?.host ?? registry.host, place),
        };
        if (lease !== undefined && place.kind !== "kube") {
          // As it has the lease, it knows it for its own from now on.
          if (registry === opened.registry) registry = stack.use(openFor(lease.parts.map(exactly))).registry;
          if (elapsedMs() >= renewAtMs) {
            renewAtMs = elapsedMs() + RENEW_MS;
            await registry.acquire({ ...lease, origin: lease.origin ?? {} }, { signal });
          }
        }
      } catch (error) {
        signal.throwIfAborted();
        condition = this.#unasked(errorText(error));
      }
      waiting(condition);
      if (!this.#deps.isOther()) await backOff.pause({ signal, woken: this.#deps.changed() });
      signal.throwIfAborted();
      if (this.#deps.isOther()) return false;
    }
  }

  /** That the registry can't be asked. */
  #unasked(why: string): Condition {
    const misfit = this.#rememberedMisfit;
    if (misfit === undefined) return { code: "lease-missing", sentence: `this host has no lease: ${why}` };
    const refused = refusal(misfit, undefined, this.#deps.place);
    const sentence = `${refused}; whether the lease is still there is not known: ${why}`;
    return { code: "network-refused", sentence };
  }
}

/** The one subnet that a host has, as all that may be held. */
function exactly({ subnet }: Lease["parts"][number]): FamilySubnets {
  const { address, length } = subnet;
  const family = familyOf(address);
  return { family, network: subnet, subnetLength: length, subnetMin: address, subnetMax: address };
}
