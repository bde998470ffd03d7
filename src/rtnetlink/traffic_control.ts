import { LITTLE_ENDIAN } from "../linux/byte_order.ts";
import { AttributeReader } from "../netlink/attribute.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { type MessageReader, type MessageWriter, NLM_F_DUMP } from "../netlink/message.ts";

// Source: linux/rtnetlink.h, linux/pkt_sched.h, tc(8).
const RTM_NEWQDISC = 36;
const RTM_GETQDISC = 38;
const RTM_NEWTFILTER = 44;
const RTM_GETTFILTER = 46;
const TCA_KIND = 1;
/** `sizeof(struct tcmsg)`. */
const HEADER_BYTES = 20;
/** `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and that of egress. */
export const TC_PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** A queueing discipline of a link. */
export interface Qdisc {
  readonly linkIndex: number;
  /** `noqueue`, `fq_codel`, `netem`, `clsact`. */
  readonly kind: string;
}

/**
 * Writes `struct tcmsg`:
 *
 * | offset | bytes | C field       | here        |
 * | -----: | ----: | ------------- | ----------- |
 * |      0 |     1 | `tcm_family`  | 0           |
 * |      4 |     4 | `tcm_ifindex` | `linkIndex` |
 * |      8 |     4 | `tcm_handle`  | 0           |
 * |     12 |     4 | `tcm_parent`  | `parent`    |
 * |     16 |     4 | `tcm_info`    | 0           |
 */
function encodeHeader(writer: MessageWriter, linkIndex: number, parent: number): void {
  for (const word of [0, linkIndex, 0, parent, 0]) writer.u32(word);
}

function kindOf({ view, start, end }: MessageReader): string {
  const attributes = new AttributeReader(view, start + HEADER_BYTES, end);
  while (attributes.next()) if (attributes.type === TCA_KIND) return attributes.text();
  return "";
}

/** The queueing disciplines of all links. */
export function dumpQdiscs(client: NetlinkClient): Qdisc[] {
  const found: Qdisc[] = [];
  client.dump(
    "read queueing disciplines",
    (writer, sequence) => {
      writer.begin(RTM_GETQDISC, NLM_F_DUMP, sequence);
      encodeHeader(writer, 0, 0);
      writer.end();
    },
    () => found.length = 0,
    (message) => {
      if (message.type !== RTM_NEWQDISC) return;
      message.requireHeader(HEADER_BYTES);
      const { view, start } = message;
      found.push({
        linkIndex: view.getInt32(start + 4, LITTLE_ENDIAN),
        kind: kindOf(message),
      });
    },
  );
  return found;
}

/** The kinds of the filters that hang at `parent` of a link, as `bpf` and `flower`; each once. */
export function dumpFilterKinds(client: NetlinkClient, linkIndex: number, parent: number): string[] {
  const kinds = new Set<string>();
  client.dump(
    "read filters of a link",
    (writer, sequence) => {
      writer.begin(RTM_GETTFILTER, NLM_F_DUMP, sequence);
      encodeHeader(writer, linkIndex, parent);
      writer.end();
    },
    () => kinds.clear(),
    (message) => {
      if (message.type === RTM_NEWTFILTER) kinds.add(kindOf(message));
    },
  );
  return [...kinds];
}
