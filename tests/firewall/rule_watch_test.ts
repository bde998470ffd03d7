import { assertEquals } from "@std/assert";
import { watchRules } from "../../src/firewall/rule_watch.ts";
import { MessageWriter } from "../../src/netlink/message.ts";
import { NFT_MSG_NEWGEN } from "../../src/nftables/objects.ts";
import { type Datagram, LOST, scripted } from "../double/scripted_notifications.ts";

/** `NFT_MSG_NEWRULE` of linux/netfilter/nf_tables.h: one of the changes before the new generation. */
const NFT_MSG_NEWRULE = 10 << 8 | 6;

function notification(type: number): Uint8Array {
  const writer = new MessageWriter();
  writer.begin(type, 0, 0);
  writer.end();
  return writer.bytes.slice();
}

const cases: [what: string, datagrams: Datagram[], nudges: number][] = [
  ["others have changed rules", [notification(NFT_MSG_NEWRULE), notification(NFT_MSG_NEWGEN)], 1],
  ["notifications were lost", [LOST], 1],
  ["there is no new generation", [notification(NFT_MSG_NEWRULE)], 0],
];

for (const [what, datagrams, nudges] of cases) {
  Deno.test(`watchRules() nudges ${nudges} times when ${what}`, async () => {
    const controller = new AbortController();
    let heard = 0;
    await watchRules({
      notifications: scripted(datagrams, controller),
      ownPortId: 1,
      nudge: () => void heard++,
    }, { signal: controller.signal });
    assertEquals(heard, nudges);
  });
}
