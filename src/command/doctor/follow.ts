import { pause, within } from "../../loop/pause.ts";
import { errorText } from "../../log/error_text.ts";
import { parseIpv4 } from "../../model/address.ts";
import type { Lease } from "../../model/lease.ts";
import type { LeaseFault } from "../../registry/remote_leases.ts";
import type { ReadConfig } from "../../agent/network_config.ts";
import type { OpenRegistry, RegistryPlace } from "../../agent/registry_place.ts";
import { isBusy } from "../../registry/registry_error.ts";
import { UnseenError } from "./finding.ts";

/** What the registry takes to tell all leases: of thousands of hosts that is seconds. */
const FOLLOW_MS = 4500;
/** One that does not answer after so long is not there: it was asked twice. */
const REFUSED_MS = 1500;
/** A file that another process has held for so long is told as held; and so long it is left alone after each try. */
const HELD_MS = 3000;
const HELD_PAUSE_MS = 200;
/** The name of a host without an address, which takes no lease here. */
const NO_ADDRESS = parseIpv4("0.0.0.0");

/** What is followed. */
interface FollowDeps {
  readonly registry: Promise<RegistryPlace>;
  readonly config: Promise<ReadConfig>;
  readonly signal: AbortSignal;
}

/** What a registry says of all hosts. */
export interface Followed {
  readonly name: string;
  /** `undefined` if it has not said it. */
  readonly leases: readonly Lease[] | undefined;
  readonly faults: readonly LeaseFault[];
  /** Why there are no leases. */
  readonly reason: string | undefined;
}

/** Opens it as soon as no other process holds its file, if that is soon; meanwhile other checks go on. */
async function openPatiently(open: () => OpenRegistry, signal: AbortSignal): Promise<OpenRegistry> {
  const startedMs = performance.now();
  for (;;) {
    try {
      return open();
    } catch (error) {
      if (!isBusy(error) || signal.aborted || performance.now() - startedMs > HELD_MS) throw error;
      await pause(HELD_PAUSE_MS, { signal });
    }
  }
}

/** Reads all leases once. Nothing is taken, renewed or written. */
export async function follow(place: FollowDeps): Promise<Followed> {
  const registryPlace = await place.registry;
  const { name } = registryPlace;
  try {
    // Without it the leases are still told.
    const families = await place.config.then(({ config }) => config.families, () => []);
    using opened = await openPatiently(() =>
      registryPlace.open({
        families,
        ownAddresses: () => [NO_ADDRESS],
        previousSubnets: [],
        token: undefined,
        ownChanged: () => {},
        back: () => {},
      }), place.signal);
    const { registry } = opened;
    const updates = registry.watch({ signal: place.signal })[Symbol.asyncIterator]();
    const next = updates.next();
    next.catch(() => {});
    const unheard = registry.contact.reason;
    // One that refuses is told so soon; one that is slow has more time.
    const isRefused = () => registry.contact.heardAtMs === undefined && registry.contact.reason !== unheard;
    const early = await within(next, REFUSED_MS);
    const first = early === undefined && !isRefused() ? await within(next, FOLLOW_MS - REFUSED_MS) : early;
    const update = first?.done ? undefined : first?.value;
    const said = { name, faults: registry.faults };
    if (update?.kind === "snapshot") return { ...said, leases: update.leases, reason: undefined };
    const reason = registry.contact.reason ?? `it has not answered within ${FOLLOW_MS / 1000} s`;
    return { ...said, leases: undefined, reason };
  } catch (error) {
    if (error instanceof UnseenError) throw error;
    return { name, leases: undefined, faults: [], reason: errorText(error) };
  }
}
