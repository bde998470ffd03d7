import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { encodeLinkQuery } from "./link.ts";
import { IFLA_LINKINFO, LINK_HEADER_BYTES, RTM_NEWLINK } from "./link_header.ts";

// Source: linux/if_link.h; linux/if_bridge.h for the states.
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BRPORT_STATE = 1;

/** `BR_STATE_*`, as bridge(8) names them. */
const STATES = ["disabled", "listening", "learning", "forwarding", "blocking"] as const;

export type PortState = typeof STATES[number];

/**
 * What a bridge does with the frames of a port; `undefined` where the link is no bridge's port.
 *
 * @throws {NetlinkError} If the kernel refused, as for a link that is gone.
 */
export function queryPortState(client: NetlinkClient, linkIndex: number): PortState | undefined {
  let state: PortState | undefined;
  client.request(
    `read the port ${linkIndex} of a bridge`,
    (writer, sequence) => encodeLinkQuery(writer, sequence, linkIndex),
    (message) => {
      if (message.type !== RTM_NEWLINK) return;
      const attributes = new AttributeReader(message.view, message.start + LINK_HEADER_BYTES, message.end);
      while (attributes.next()) {
        if (attributes.type !== IFLA_LINKINFO) continue;
        const info = new AttributeReader(message.view, attributes.start, attributes.end);
        let kind = "";
        while (info.next()) {
          if (info.type === IFLA_INFO_SLAVE_KIND) kind = info.text();
          else if (info.type === IFLA_INFO_SLAVE_DATA && kind === "bridge") {
            const port = new AttributeReader(message.view, info.start, info.end);
            while (port.next()) if (port.type === IFLA_BRPORT_STATE) state = STATES[port.u8()];
          }
        }
      }
    },
  );
  return state;
}
