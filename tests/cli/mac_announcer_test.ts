import { assertEquals } from "@std/assert";
import { MacAnnouncer, type MacAnnouncerDeps } from "../../src/cli/mac_announcer.ts";
import { encodeMacAnnouncement } from "../../src/host/mac_announcement.ts";
import { AF_INET, AF_INET6, parseAddress, parseMac } from "../../src/model/address.ts";
import type { ObservedAddress } from "../../src/model/state.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { EPERM, NetlinkError } from "../../src/netlink/errno.ts";
import { RecordedLog } from "../double/recorded_log.ts";
import { until } from "../double/overlay_rig.ts";

const ROUNDS = 5;
const FOUR = parseAddress("192.0.2.1");
const SIX = parseAddress("2001:db8::1");
const MAC = parseMac("02:00:5e:10:00:01");
const UNDERLAY: Underlay = {
  linkIndex: 3,
  linkName: "eth0",
  mac: MAC,
  mtuBytes: 1500,
  addresses: [
    { family: AF_INET, address: FOUR, advertised: FOUR, mtuBytes: 1500, segments: [] },
    { family: AF_INET6, address: SIX, advertised: SIX, mtuBytes: 1500, segments: [] },
  ],
};

function observed(address: typeof FOUR, family: 2 | 10, flags = 0x80): ObservedAddress {
  return { linkIndex: 3, family, address, length: 24, scope: 0, flags };
}

const BOTH = [observed(FOUR, AF_INET), observed(SIX, AF_INET6)];

/** Runs an announcer until `run` is through. */
async function announcing(
  deps: Partial<MacAnnouncerDeps>,
  run: (said: { sent: string[]; log: RecordedLog; announcer: MacAnnouncer }) => Promise<void>,
): Promise<void> {
  const log = new RecordedLog();
  const sent: string[] = [];
  const announcer = new MacAnnouncer({
    underlay: () => UNDERLAY,
    addresses: () => BOTH,
    open: (linkIndex) => ({
      send: (frame) => void sent.push(`${linkIndex} ${frame.toHex()}`),
      [Symbol.dispose]: () => {},
    }),
    log,
    ...deps,
  }, { roundMs: 1 });
  const controller = new AbortController();
  const running = announcer.run({ signal: controller.signal }).catch((error) => {
    if (!controller.signal.aborted) throw error;
  });
  try {
    await run({ sent, log, announcer });
  } finally {
    controller.abort();
    await running;
  }
}

const frame = (address: typeof FOUR) => `3 ${encodeMacAnnouncement(address, MAC).toHex()}`;

Deno.test("an announcer tells of every address some times at the start, and anew after a nudge", async () => {
  await announcing({}, async ({ sent, announcer }) => {
    await until("hear all rounds", () => sent.length >= 2 * ROUNDS || undefined);
    const rounds = Array(ROUNDS).fill([frame(FOUR), frame(SIX)]).flat();
    assertEquals(sent, rounds);
    announcer.nudge();
    await until("hear them anew", () => sent.length >= 4 * ROUNDS || undefined);
    assertEquals(sent, [...rounds, ...rounds]);
  });
});

const silent: [what: string, deps: Partial<MacAnnouncerDeps>, expected: string[]][] = [
  ["an address that the link has lost", { addresses: () => [observed(FOUR, AF_INET)] }, [frame(FOUR)]],
  [
    "an address that is looked for duplicates of",
    { addresses: () => [observed(FOUR, AF_INET), observed(SIX, AF_INET6, 0x40)] },
    [frame(FOUR)],
  ],
  [
    "an address that another host has too",
    { addresses: () => [observed(FOUR, AF_INET), observed(SIX, AF_INET6, 0x08)] },
    [frame(FOUR)],
  ],
  [
    "an address that is not the overlay's",
    { addresses: () => [observed(parseAddress("192.0.2.9"), AF_INET), ...BOTH] },
    [frame(FOUR), frame(SIX)],
  ],
  ["a link without a MAC", { underlay: () => ({ ...UNDERLAY, mac: undefined }) as unknown as Underlay }, []],
];

for (const [what, deps, expected] of silent) {
  Deno.test(`an announcer says nothing of ${what}`, async () => {
    let looks = 0;
    const { underlay = () => UNDERLAY } = deps;
    const counted = () => {
      looks++;
      return underlay();
    };
    await announcing({ ...deps, underlay: counted }, async ({ sent }) => {
      await until("see all rounds", () => looks >= ROUNDS || undefined);
      assertEquals([...new Set(sent)].sort(), expected.toSorted());
      assertEquals(sent.length, ROUNDS * expected.length);
    });
  });
}

Deno.test("an announcer that may not send says so once, and tries again", async () => {
  let tries = 0;
  const open = () => {
    tries++;
    throw new NetlinkError("open packet socket", EPERM);
  };
  await announcing({ open }, async ({ log }) => {
    await until("see all rounds", () => tries >= ROUNDS || undefined);
    assertEquals(log.lines, ['info MAC not announced {"reason":"Cannot open packet socket: EPERM"}']);
  });
});
