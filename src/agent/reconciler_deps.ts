import { ForeignFaults } from "../reconcile/foreign_faults.ts";
import type { Observer } from "../reconcile/observe.ts";
import type { ReconcilerDeps } from "../reconcile/reconciler.ts";
import type { StateFights } from "../reconcile/state_fights.ts";
import { wantedState } from "../reconcile/wanted.ts";
import { portOwner } from "../linux/port_owner.ts";
import type { Prefix } from "../model/address.ts";
import type { ObservedAddress } from "../model/state.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { isBesidePods } from "../reconcile/own_routes.ts";
import { dumpAddresses } from "../rtnetlink/address.ts";
import { queryLink } from "../rtnetlink/link.ts";
import type { AgentContext, KnownConfig } from "./context.ts";
import type { LeaseParts } from "./lease_parts.ts";
import type { OpenPaths } from "./open_paths.ts";
import type { UnderlayParts } from "./underlay_parts.ts";

/** Parts of a member that say what there is to be. */
interface ReconcilerParts {
  readonly context: AgentContext;
  readonly known: KnownConfig;
  readonly underlayParts: UnderlayParts;
  readonly leaseParts: LeaseParts;
  /** What probes have found; absent where nobody probes. */
  readonly paths?: Pick<OpenPaths, "sizes"> | undefined;
}

/** What links and tables are compared with, and brought there by. */
export function reconcilerDeps(
  { context, known, underlayParts, leaseParts, paths }: ReconcilerParts,
  observer: Observer,
  fights?: StateFights,
): ReconcilerDeps {
  const { client, libc, options, elapsedMs, totals, log } = context;
  const { underlay, ground } = underlayParts;
  const { backend, ways, leases, registry: { registry }, host, usable } = leaseParts;
  const networks = known.config.families.map(({ network }) => network);
  const desire = wantedState({
    backend,
    underlay: () => ways.segment?.look(underlay.usable) ?? underlay.usable,
    own: usable,
    remote: (own, options) => leases.remote(own, networks, options),
    changesSince: ({ serial }) => serial === undefined ? undefined : leases.changesSince({ serial }),
    unreadable: () => registry.faults,
    ground: () => ground.facts,
    ...paths?.sizes !== undefined && { sizes: paths.sizes },
    networks,
  });
  return {
    desire,
    client,
    observer,
    takesForeign: options.takesForeignRoutes,
    foreignFaults: new ForeignFaults(
      (linkIndex) => queryLink(client, linkIndex)?.name,
      (own) => besidePods(client, own, () => underlay.current.linkIndex),
    ),
    ...fights !== undefined && { fights },
    linkCreated: (name: string) => host.linkCreated(name),
    portOwner: (port) => portOwner(libc, "udp", port),
    now: () => new Date(),
    elapsedMs,
    log,
    stepped: totals.stepped,
  };
}

/** Tells which links have no pods behind them; the addresses are read when that is asked first. */
function besidePods(
  client: NetlinkClient,
  own: readonly Prefix[],
  underlayIndex: () => number,
): (linkIndex: number) => boolean {
  const known = new Map<number, boolean>();
  let addresses: readonly ObservedAddress[] | undefined;
  return (linkIndex) => {
    let isBeside = known.get(linkIndex);
    if (isBeside === undefined) {
      const link = queryLink(client, linkIndex);
      addresses ??= dumpAddresses(client, 0);
      const on = addresses.filter((one) => one.linkIndex === linkIndex);
      isBeside = link !== undefined && isBesidePods(link, on, { own, underlayIndex: underlayIndex() });
      known.set(linkIndex, isBeside);
    }
    return isBeside;
  };
}
