import { type Address, formatAddress } from "../model/address.ts";
import { USUAL_IFNAME } from "../pods/cni_name.ts";
import type { Reservation } from "./host_local.ts";

/** A state file of the plugin, which says how an attachment is undone. */
export interface SavedAttachment {
  readonly containerId: string;
  /** Absent where flannel's plugin wrote the file, which does not say. */
  readonly ifname: string | undefined;
  /** The network, as the configuration in the file names it; absent where it can't be read. */
  readonly network: string | undefined;
  /** The delegate's configuration, JSON text. */
  readonly text: string;
  /** Whether `host-local` gave it its addresses, so that one without a reservation has given them back. */
  readonly hasStore: boolean;
  /** When the file was last written, in milliseconds since 1970. */
  readonly writtenAtMs: number;
}

/** What the container runtime has kept of an ADD; absent parts are there and can't be read. */
export interface CachedResult {
  /** Links of the host that the result names. */
  readonly hostLinks: readonly string[] | undefined;
  /** Whether the pod's network namespace that the result names is there. */
  readonly hasSandbox: boolean;
  /** When it was last written, in milliseconds since 1970. */
  readonly writtenAtMs: number;
}

/** All that is known of what is, or was, attached to this host. */
export interface Facts {
  readonly reservations: readonly Reservation[];
  readonly states: readonly SavedAttachment[];
  /** What the runtime has kept, by {@linkcode attachmentKey}. */
  readonly results: ReadonlyMap<string, CachedResult>;
  /** The links in the host's network namespace by name, and their kind. */
  readonly links: ReadonlyMap<string, string | undefined>;
  /** Addresses in the host's neighbour table that did not fail to answer. */
  readonly neighbours: ReadonlySet<Address>;
  /** A moment before which nothing of this boot can have been written, in milliseconds since 1970. */
  readonly bootedAtMs: number;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}

/** One attachment, and what has become of it. */
export interface Finding {
  /** Empty where nothing says it. */
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
  readonly reservations: readonly Reservation[];
  readonly state: SavedAttachment | undefined;
  /** `stale` is no pod's any more, `alive` is in use; all others must be left alone. */
  readonly fate: "stale" | "alive" | "unsure";
  /** Why, as a phrase. Phrases about what is left alone name nothing, so that they can be counted. */
  readonly reason: string;
}

/** An ADD may be under way for as long as this: runtimes end it much earlier. */
const SETTLED_MS = 10 * 60_000;
/** Bridges stay when pods go, so they say nothing about one. */
const SHARED_KIND = "bridge";

/** Names an attachment in maps. */
export function attachmentKey(network: string, containerId: string, ifname: string): string {
  return `${network}-${containerId}-${ifname}`;
}

/**
 * Says of each attachment that the state files and reservations know of what has become of it. Pure; in doubt it is
 * left alone.
 *
 * It is stale if its cached result names links of the host, none of them is there, its sandbox neither, and all was
 * written at least ten minutes ago; or if there is no cached result, and its addresses were given back, or all was
 * written before this boot and nobody has answered for its address since.
 */
export function findLeftovers(facts: Facts): Finding[] {
  return groups(facts).map((group) => ({ ...group, ...judge(group, facts) }));
}

type Group = Omit<Finding, "fate" | "reason">;
type Verdict = Pick<Finding, "fate" | "reason">;

function judge(group: Group, facts: Facts): Verdict {
  const { network, containerId, ifname, reservations, state } = group;
  if (network === "") return unsure("the state can't be read");
  const result = facts.results.get(attachmentKey(network, containerId, ifname));
  const times = [...reservations, ...state === undefined ? [] : [state]].map(({ writtenAtMs }) =>
    writtenAtMs
  );
  if (result !== undefined) {
    return judgeByResult(result, Math.max(...times, result.writtenAtMs), facts);
  }
  if (state?.hasStore && reservations.length === 0 && facts.nowMs - state.writtenAtMs >= SETTLED_MS) {
    return { fate: "stale", reason: "its address was given back, as after a change of the conflist" };
  }
  if (reservations.some(({ address }) => facts.neighbours.has(address))) {
    return unsure("no cached result, but the address has answered");
  }
  // What can't be compared is not before anything.
  if (!(Math.max(...times) < facts.bootedAtMs)) {
    return unsure("no cached result, and written since this host booted");
  }
  return { fate: "stale", reason: "left from before this host booted" };
}

function judgeByResult({ hostLinks, hasSandbox }: CachedResult, newestMs: number, facts: Facts): Verdict {
  if (hostLinks === undefined) return unsure("the cached result can't be read");
  const telling = hostLinks.filter((name) => facts.links.get(name) !== SHARED_KIND);
  if (telling.some((name) => facts.links.has(name))) return { fate: "alive", reason: "in use" };
  if (telling.length === 0) return unsure("the cached result names no link of its own on this host");
  if (hasSandbox) return unsure("the sandbox is still there");
  if (!(facts.nowMs - newestMs >= SETTLED_MS)) return unsure("written less than 10 minutes ago");
  const names = telling.join(", ");
  const reason = telling.length === 1 ? `its link ${names} is gone` : `its links ${names} are gone`;
  return { fate: "stale", reason };
}

function unsure(reason: string): Verdict {
  return { fate: "unsure", reason };
}

/** What belongs together: the state and the addresses of one attachment. */
function groups({ reservations, states }: Facts): Group[] {
  const all = new Map<string, { -readonly [K in keyof Group]: Group[K] }>();
  const groupOf = (network: string, containerId: string, ifname: string) => {
    const key = `${network} ${containerId} ${ifname}`;
    let group = all.get(key);
    if (group === undefined) {
      all.set(key, group = { network, containerId, ifname, reservations: [], state: undefined });
    }
    return group;
  };
  const ifnames = new Map<string, Set<string>>();
  for (const reservation of reservations) {
    const { network, containerId, ifname = USUAL_IFNAME } = reservation;
    const group = groupOf(network, containerId, ifname);
    group.reservations = [...group.reservations, reservation];
    const key = `${network} ${containerId}`;
    ifnames.set(key, (ifnames.get(key) ?? new Set()).add(ifname));
  }
  const named = states.filter(({ ifname }) => ifname !== undefined);
  for (const state of [...named, ...states.filter(({ ifname }) => ifname === undefined)]) {
    const { network = "", containerId } = state;
    const reserved = [...ifnames.get(`${network} ${containerId}`) ?? []];
    const group = groupOf(
      network,
      containerId,
      state.ifname ?? (reserved.length === 1 ? reserved[0]! : USUAL_IFNAME),
    );
    // Of two files about one attachment the one that names it is ours, and the later.
    group.state ??= state;
  }
  return [...all.values()];
}

/** The addresses of a finding, for a person. */
export function formatAddresses({ reservations }: Pick<Finding, "reservations">): string {
  return reservations.map(({ address }) => formatAddress(address)).join(" ");
}
