import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { MacAnnouncer, type MacAnnouncerDeps } from "../../src/agent/mac_announcer.ts";
import { encodeMacAnnouncement } from "../../src/host/mac_announcement.ts";
import { AF_INET, AF_INET6, parseAddress, parseMac } from "../../src/model/address.ts";
import type { ObservedAddress } from "../../src/model/state.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { EPERM, NetlinkError } from "../../src/linux/errno.ts";
import { RecordedLog } from "../double/recorded_log.ts";

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

/** Runs an announcer until `run` is through; `allRounds` lets the time go by that its rounds take. */
async function announcing(
  deps: Partial<MacAnnouncerDeps>,
  run: (said: {
    readonly sent: string[];
    readonly log: RecordedLog;
    readonly announcer: MacAnnouncer;
    readonly allRounds: () => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  using time = new FakeTime();
  const allRounds = async () => {
    const endMs = time.now + ROUNDS * 1000;
    while (time.now < endMs) await time.tickAsync(50);
  };
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
  });
  const controller = new AbortController();
  const running = announcer.run({ signal: controller.signal }).catch((error) => {
    if (!controller.signal.aborted) throw error;
  });
  try {
    await run({ sent, log, announcer, allRounds });
  } finally {
    controller.abort();
    await running;
  }
}

const frame = (address: typeof FOUR) => `3 ${encodeMacAnnouncement(address, MAC).toHex()}`;

Deno.test("an announcer tells of every address some times at the start, and anew after a nudge", async () => {
  await announcing({}, async ({ sent, announcer, allRounds }) => {
    await allRounds();
    const rounds = Array(ROUNDS).fill([frame(FOUR), frame(SIX)]).flat();
    assertEquals(sent, rounds);
    announcer.nudge();
    await allRounds();
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
    await announcing(deps, async ({ sent, allRounds }) => {
      await allRounds();
      assertEquals([...new Set(sent)].sort(), expected.toSorted());
      assertEquals(sent.length, ROUNDS * expected.length);
    });
  });
}

Deno.test("an announcer that may not send tries again", async () => {
  let tries = 0;
  const open = () => {
    tries++;
    throw new NetlinkError("open packet socket", EPERM);
  };
  await announcing({ open }, async ({ log, allRounds }) => {
    await allRounds();
    assertEquals([tries, log.lines.length], [ROUNDS, ROUNDS]);
    assertEquals(log.lines[0], 'debug MAC not announced {"reason":"Cannot open packet socket: EPERM"}');
  });
});
