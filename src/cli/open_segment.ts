import type { BackendConfig } from "../config/backend_schema.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { askWay } from "../underlay/host_network.ts";
import { SegmentKeeper, type SegmentKeeperDeps } from "./segment_keeper.ts";

/** Who knows which peers are on the segment; `undefined` for a backend that does not want to know. */
export function openSegment(
  backend: BackendConfig,
  { client, ...deps }:
    & Pick<SegmentKeeperDeps, "peers" | "leaseType" | "isLost" | "changed" | "maxAgeMs" | "log">
    & {
      readonly client: NetlinkClient;
    },
): SegmentKeeper | undefined {
  const hasOtherWay = "directRouting" in backend && backend.directRouting;
  if (!hasOtherWay && backend.type !== "host-gw") return undefined;
  return new SegmentKeeper({
    ask: (address, linkIndex) => askWay(client, address, linkIndex),
    hasOtherWay,
    elapsedMs: () => performance.now(),
    ...deps,
  });
}
