import { type Carriage, usesSegment, usesTunnel } from "../overlay/backend/backend.ts";
import type { Family, Prefix } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import { isVtepName } from "../model/vtep.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { queryLink } from "../rtnetlink/link.ts";
import { askWay } from "../overlay/underlay/host_network.ts";
import { SegmentKeeper, type SegmentKeeperDeps } from "./segment_keeper.ts";
import { type WayDeps, WayKeeper } from "./way_keeper.ts";

/** The keepers that ask the kernel how peers are reached. */
export interface Ways {
  /** Knows which peers are on the segment; `undefined` for a backend that has no routes over it. */
  readonly segment: SegmentKeeper | undefined;
  /** That no other host is reached, or that this is not known, if so. */
  readonly conditions: readonly Condition[];
  /** The families in which the kernel has no way to any other host, as the conditions say. */
  readonly cutFamilies: ReadonlySet<Family>;
  /** After a pass. */
  readonly passed: () => void;
  /** Reports whether a route that has changed is of interest. */
  readonly changed: (prefix: Prefix) => boolean;
}

const NO_FAMILY: ReadonlySet<Family> = new Set();

/** Opens the keepers that ask the kernel how peers are reached, as far as a backend depends on it. */
export function openWays(
  carriage: Carriage,
  { client, underlay, ...deps }:
    & Pick<SegmentKeeperDeps, "peers" | "leaseType" | "isLost" | "changed" | "maxAgeMs" | "log">
    & Pick<WayDeps, "underlay">
    & { readonly client: NetlinkClient },
): Ways {
  const elapsedMs = () => performance.now();
  const ask: WayDeps["ask"] = (address, linkIndex) => askWay(client, address, linkIndex);
  const hasTunnel = usesTunnel(carriage);
  const segment = usesSegment(carriage)
    ? new SegmentKeeper({ ask, hasTunnel, elapsedMs, ...deps })
    : undefined;
  // Where there is no encapsulation the segment says all.
  const ways = hasTunnel
    ? new WayKeeper({
      ask,
      underlay,
      isOverlay: (linkIndex) =>
        linkIndex !== underlay().linkIndex && isVtepName(queryLink(client, linkIndex)?.name ?? ""),
      ...deps,
    })
    : undefined;
  return {
    segment,
    get conditions() {
      return [...segment?.conditions ?? [], ...ways?.conditions ?? []];
    },
    get cutFamilies() {
      return ways?.cutFamilies ?? NO_FAMILY;
    },
    passed: () => ways?.passed(),
    changed: (prefix) => {
      const isOfSegment = segment?.nudge(prefix) ?? false;
      return ways?.concerns(prefix) || isOfSegment;
    },
  };
}
