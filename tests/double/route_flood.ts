import type { LabHost } from "../../src/lab/host.ts";
import { makeVeth } from "../../src/lab/wiring.ts";
import { AF_INET, type Ipv4 } from "../../src/model/address.ts";
import { ROUTE, writeAddress } from "../../src/model/rows.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { NetlinkSocket } from "../../src/netlink/socket.ts";
import { routeCodec } from "../../src/rtnetlink/route.ts";
import { RTN_UNICAST, RTPROT_BOOT } from "../../src/rtnetlink/route_header.ts";

/** Routes that are added, then deleted, in one go. */
const BURST = 500;
/** 198.18.0.0/15 of RFC 2544: no cluster network of a test. */
const FIRST = 0xc6120000;

/** What was sent. */
export interface FloodTally {
  /** Changes that the kernel has carried out, each of which it has told of. */
  readonly changes: number;
  readonly refusals: number;
  readonly durationMs: number;
}

/** Adds and deletes routes over a link that is nobody's on `host`, `perSecond` changes a second, for `durationMs`. */
export async function floodRoutes(
  libc: Libc,
  host: LabHost,
  options: {
    readonly perSecond: number;
    readonly durationMs: number;
    /** Told of the changes so far. */
    readonly progress: (changes: number) => void;
  },
): Promise<FloodTally> {
  const { perSecond, durationMs, progress } = options;
  const [linkIndex] = makeVeth(libc, { netns: host.netns, name: "other0" }, {
    netns: host.netns,
    name: "other1",
  });
  using socket = libc.inNetns(host.netns.path, () => NetlinkSocket.open(libc));
  const client = new NetlinkClient(socket);
  const words = new Uint32Array(ROUTE.words * BURST);
  for (let index = 0; index < BURST; index++) {
    const at = index * ROUTE.words;
    words[at + ROUTE.family] = AF_INET;
    writeAddress(words, at + ROUTE.destination, FIRST + index as Ipv4);
    words[at + ROUTE.length] = 32;
    words[at + ROUTE.traits] = RTPROT_BOOT | RTN_UNICAST << 16;
  }
  const startedMs = performance.now();
  let changes = 0;
  let refusals = 0;
  for (let isAdding = true;; isAdding = !isAdding) {
    const encode = isAdding ? routeCodec.encode.replace : routeCodec.encode.delete;
    client.batch(BURST, (index, writer, sequence) => {
      encode(writer, sequence, words, index * ROUTE.words, [linkIndex]);
    }, () => refusals++);
    progress(changes += BURST);
    const elapsedMs = performance.now() - startedMs;
    if (elapsedMs >= durationMs && !isAdding) return { changes, refusals, durationMs: elapsedMs };
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, changes / perSecond * 1000 - elapsedMs)));
  }
}
