import { addressFact, coveredBy, coverReason, type GroundFact, groundWithin } from "../registry/ground.ts";
import { inTurns } from "../loop/worker.ts";
import type { Log } from "../log/log.ts";
import {
  bitsOf,
  familyOf,
  formatAddress,
  formatPrefix,
  maskAddress,
  parseAddress,
  type Prefix,
} from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { isVtepName } from "../model/vtep.ts";
import type { Lease } from "../model/lease.ts";
import type { HostNetwork } from "../overlay/underlay/host_network.ts";
import { errorText } from "../log/error_text.ts";

/** Names are looked up again after this long: they move seldom. */
const LOOK_UP_MS = 30_000;
/** So many are named. */
const NAMED_FACTS = 5;
/** `RT_SCOPE_UNIVERSE`: addresses that others may send to. */
const RT_SCOPE_UNIVERSE = 0;

/** What the keeper works with. */
export interface GroundDeps {
  readonly networks: readonly Prefix[];
  /** Host names or addresses that the registry is reached at. */
  readonly registryHosts: readonly string[];
  /** What the registry is called in messages. */
  readonly registryName: string;
  readonly underlayLinkIndex: () => number;
  /** The bridge that pods are on; `undefined` if they are on none. */
  readonly bridgeName: () => string | undefined;
  /** Looks a name up; all of its addresses. */
  readonly resolve?: (name: string) => Promise<readonly string[]>;
  /** Called when there are other facts. */
  readonly changed: () => void;
  readonly log: Log;
}

/** Knows which addresses and segments this host reaches by other ways than the overlay. */
export class GroundKeeper {
  readonly #deps: GroundDeps;
  #host: HostNetwork | undefined;
  /** Of the registry's hosts those that are addresses, and what the names of the others led to. */
  readonly #literals: readonly GroundFact[];
  #ofNames: readonly GroundFact[] = [];
  readonly #names: readonly string[];
  #facts: readonly GroundFact[] = [];
  /** What tells them from others. */
  #key = "";
  #isInUse: boolean;

  /** @param held What this host held before: of that there may be pods. */
  constructor(deps: GroundDeps, held: readonly Prefix[]) {
    this.#deps = deps;
    this.#isInUse = held.length > 0;
    const literals = deps.registryHosts.map((name) => literalOf(name, this.#whatOf(name)));
    this.#literals = literals.filter((fact) => fact !== undefined);
    this.#names = deps.registryHosts.filter((_, at) => literals[at] === undefined);
  }

  #whatOf(name: string): string {
    return `${name}, where ${this.#deps.registryName} is`;
  }

  /** What lies in the cluster networks of it; the same list while nothing has changed. */
  get facts(): readonly GroundFact[] {
    return this.#facts;
  }

  /** Takes in what the host's links, addresses and routes are now. */
  observe(host: HostNetwork): void {
    this.#host = host;
    this.settle();
  }

  /** Looks up where the registry is, now. A name that can't be looked up is where it was. */
  async resolve(): Promise<void> {
    const { log, resolve = resolveName } = this.#deps;
    const facts: GroundFact[] = [];
    for (const name of this.#names) {
      const what = this.#whatOf(name);
      try {
        for (const text of await resolve(name)) facts.push(addressFact(parseAddress(text), what));
      } catch (error) {
        log.write("debug", "registry not looked up", { name, reason: errorText(error) });
        facts.push(...this.#ofNames.filter((fact) => fact.what === what));
      }
    }
    this.#ofNames = facts;
    this.settle();
  }

  /** Looks names up again and again, until `signal` aborts. */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const look = async () => {
      if (this.#names.length > 0) await this.resolve();
    };
    await inTurns(look, { periodMs: LOOK_UP_MS })({ signal });
  }

  /** Why the own lease can't be used, as a sentence; `undefined` if it can. */
  faultOf(own: Lease | undefined): string | undefined {
    const covering = own?.parts.flatMap(({ subnet }) => {
      // What is in the own subnet on other links is there for pods.
      const fact = coveredBy(subnet, this.#facts.filter(({ isForPods }) => isForPods !== true));
      return fact === undefined ? [] : `${coverReason(subnet, fact)}, which this host needs`;
    });
    return covering?.[0] === undefined
      ? undefined
      : `the lease of this host can't be used: ${
        covering.join("; ")
      }; give it another subnet, or move what is there`;
  }

  /** Why nothing may be made for the own lease; what is made already stays, as there may be pods. */
  refusal(own: Lease | undefined): string | undefined {
    return this.#isInUse ? undefined : this.faultOf(own);
  }

  /** State was made for the own lease: there may be pods. */
  leaseUsed(): void {
    this.#isInUse = true;
  }

  /** What of the cluster network can't be pods', and what is wrong with the own lease. */
  conditions(own: Lease | undefined): readonly Condition[] {
    const conditions: Condition[] = [];
    const fault = this.faultOf(own);
    if (fault !== undefined) conditions.push({ code: "lease-unusable", sentence: fault });
    if (this.#facts.length > 0) {
      const named = this.#facts.slice(0, NAMED_FACTS).map(({ what }) => what).join("; ");
      const more = this.#facts.length - NAMED_FACTS;
      const sentence = `in the cluster network this host has ${named}${more > 0 ? `; and ${more} more` : ""}`;
      conditions.push({ code: "network-in-use", sentence });
    }
    return conditions;
  }

  /** Sorts the facts anew, as when the underlay's link has become known. */
  settle(): void {
    const { networks, changed, bridgeName } = this.#deps;
    const ofHost = this.#host === undefined
      ? []
      : factsOf(this.#host, { ...this.#deps, bridgeName: bridgeName() });
    const facts = groundWithin(networks, [...ofHost, ...this.#literals, ...this.#ofNames]);
    const key = facts.map((fact) => `${formatPrefix(fact.prefix)} ${fact.isForPods} ${fact.what}`).join(
      "; ",
    );
    if (key === this.#key) return;
    this.#key = key;
    this.#facts = facts;
    changed();
  }
}

/** The fact that a name is by itself, where it is an address. */
function literalOf(name: string, what: string): GroundFact | undefined {
  try {
    return addressFact(parseAddress(name), what);
  } catch {
    return undefined;
  }
}

/** What a host has on its links, but for what is there for pods by all appearance. */
export function factsOf(
  { links, addresses, defaultRoutes }: Pick<HostNetwork, "links" | "addresses" | "defaultRoutes">,
  options: { readonly underlayLinkIndex: () => number; readonly bridgeName: string | undefined },
): GroundFact[] {
  const underlayLinkIndex = options.underlayLinkIndex();
  const names = new Map(links.map(({ linkIndex, name }) => [linkIndex, name]));
  const kinds = new Map(links.map(({ linkIndex, kind }) => [linkIndex, kind]));
  const facts: GroundFact[] = [];
  for (const { linkIndex, address, length, scope } of addresses) {
    const name = names.get(linkIndex);
    const isUnderlay = linkIndex === underlayLinkIndex;
    const isWhole = length === bitsOf(familyOf(address));
    if (name === undefined || scope !== RT_SCOPE_UNIVERSE || name === "lo") continue;
    if (isVtepName(name) || name === options.bridgeName) continue;
    // The host's end of a pod's link.
    if (!isUnderlay && isWhole && kinds.get(linkIndex) === "veth") continue;
    const more = isUnderlay ? {} : { isForPods: true as const };
    facts.push({ ...addressFact(address, `${formatAddress(address)}, an address of ${name}`), ...more });
    if (isWhole) continue;
    const prefix = { address: maskAddress(address, length), length };
    facts.push({ prefix, what: `${formatPrefix(prefix)}, which ${name} is on`, ...more });
  }
  for (const { gateway, linkIndex } of defaultRoutes.flatMap((route) => route.hops ?? [route])) {
    if (gateway === undefined) continue;
    const name = names.get(linkIndex) ?? "another link";
    facts.push(addressFact(gateway, `the gateway ${formatAddress(gateway)} of ${name}`));
  }
  return facts;
}

/** Asks the system, which knows /etc/hosts too. */
async function resolveName(name: string): Promise<readonly string[]> {
  // Most registries are at addresses: loaded only for a name.
  const { lookup } = await import("node:dns/promises");
  const found = await lookup(name, { all: true });
  return found.map(({ address }) => address);
}
