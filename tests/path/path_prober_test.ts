import { assert, assertEquals, assertLess, assertLessOrEqual, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { EADDRINUSE } from "../../src/linux/errno.ts";
import { TURN_MS } from "../../src/path/path_prober.ts";
import { type PathPacket, PathWorld } from "../double/path_world.ts";

const BEGIN_MS = 1_700_000_000_000;
/** Fine enough that what an answer may take ends at about its time. */
const STEP_MS = 125;

/** A world of hosts whose clocks go on together, each with its turns at another moment of the second. */
async function withWorld(
  count: number,
  run: (world: PathWorld, pass: (ms: number, until?: () => boolean) => Promise<number>) => Promise<void>,
  options: ConstructorParameters<typeof PathWorld>[1] = {},
): Promise<void> {
  // What is loaded when it is needed is there already: a faked clock does not wait for it.
  await import("../../src/path/examine.ts");
  using time = new FakeTime(BEGIN_MS);
  using world = new PathWorld(count, options);
  world.open();
  const pass = async (ms: number, until = () => false) => {
    const startMs = Date.now();
    for (let at = 0; at < ms && !until(); at += STEP_MS) {
      for (const [host, { prober, isUp }] of world.hosts.entries()) {
        const offsetMs = Math.floor(host * TURN_MS / count / STEP_MS) * STEP_MS;
        if (isUp && (Date.now() - BEGIN_MS) % TURN_MS === offsetMs) prober.turn();
      }
      // Packets arrive in the moment they are sent, and answers, too.
      for (let turn = 0; turn < 40; turn++) await Promise.resolve();
      await time.tickAsync(STEP_MS);
    }
    return Date.now() - startMs;
  };
  await run(world, pass);
}

function codesAt(world: PathWorld, host: number): string[] {
  return world.hosts[host]!.prober.conditions.map(({ code }) => code);
}

function everyHost(world: PathWorld): number[] {
  return [...world.hosts.keys()];
}

Deno.test("hosts that reach each other find all paths good, within the budget", async () => {
  await withWorld(10, async (world, pass) => {
    await pass(20_000);
    for (const host of everyHost(world)) {
      const { peers, totals, peerCount, port } = world.hosts[host]!.prober.report;
      assertEquals([peers.length, new Set(peers.map(({ state }) => state)).size, peerCount, port], [
        9,
        1,
        9,
        8475,
      ]);
      assertEquals(peers[0]!.state, "good");
      assertEquals([totals.lost, totals.refused], [0, 0]);
      // One probe of the underlay is added to each path each half minute.
      assertLessOrEqual(totals.asked, 3 * 20 + 9 * 2 + 9);
      assertEquals(codesAt(world, host), []);
    }
  });
});

Deno.test("a budget of one probe a second holds, also among many", async () => {
  await withWorld(60, async (world, pass) => {
    await pass(30_000);
    for (const { prober } of world.hosts) assertLess(prober.report.totals.asked, 30 + 2 * 30 + 5);
    assertEquals(everyHost(world).flatMap((host) => codesAt(world, host)), []);
  }, { budget: 1 });
});

const faults: [
  what: string,
  carries: (packet: PathPacket) => boolean,
  code: string,
  says: RegExp,
  limitMs: number,
][] = [
  [
    "drops VXLAN that comes in",
    ({ to, network }) => to !== 3 || network !== "overlay",
    "path-broken",
    /n3 \(packets over the overlay are lost on the way there, though it is alive\)/,
    5000,
  ],
  [
    "is behind a small MTU",
    ({ from, to, network, packetBytes }) =>
      from !== 3 && to !== 3 || packetBytes <= (network === "overlay" ? 1380 : 1430),
    "path-mtu-small",
    /n3 \(1450 bytes expected, 1380 get through, underlay 1430; larger packets are lost on the way there\)/,
    5000,
  ],
  [
    "gets packets without a checksum only",
    ({ to, network, isPlain }) => to !== 3 || network !== "overlay" || isPlain,
    "path-damaged",
    /n3 \(packets over the overlay are damaged on the way there\)/,
    5000,
  ],
  [
    "is down",
    ({ from, to }) => from !== 3 && to !== 3,
    "peers-silent",
    /n3 \(it does not answer at all; it may be down\)/,
    6000,
  ],
];

for (const [what, carries, code, says, limitMs] of faults) {
  Deno.test(`a host of ten that ${what} is named within ${limitMs / 1000} s, and all is well again after`, async () => {
    await withWorld(10, async (world, pass) => {
      await pass(10_000);
      world.carries = carries;
      const others = everyHost(world).filter((host) => host !== 3);
      const named = (host: number) =>
        world.hosts[host]!.prober.conditions.some((one) => one.code === code && says.test(one.sentence));
      const tookMs = await pass(limitMs, () => others.some(named));
      assertLess(tookMs, limitMs);
      await pass(12_000, () => others.every(named));
      const lacking = others.filter((host) => !named(host));
      assertEquals(lacking, [], "all others have it");
      world.carries = () => true;
      await pass(30_000, () => everyHost(world).every((host) => codesAt(world, host).length === 0));
      assertEquals(everyHost(world).flatMap((host) => codesAt(world, host)), []);
    });
  });
}

Deno.test("the host that drops VXLAN is cut off, and no other; one that a packet comes to is not", async () => {
  await withWorld(5, async (world, pass) => {
    await pass(10_000);
    world.carries = ({ to, network }) => to !== 3 || network !== "overlay";
    await pass(30_000, () => codesAt(world, 3).includes("overlay-cut-off"));
    assert(codesAt(world, 3).includes("overlay-cut-off"));
    for (const host of [0, 1, 2, 4]) assert(!codesAt(world, host).includes("overlay-cut-off"));
    // The VTEP gets packets: it is a firewall behind it that drops probes.
    for (let at = 0; at < 3; at++) {
      world.received[3]!++;
      await pass(1000);
    }
    assert(!codesAt(world, 3).includes("overlay-cut-off"));
  });
});

Deno.test("agents that end at once, as in an upgrade, are no fault of a path while their kernels answer", async () => {
  await withWorld(5, async (world, pass) => {
    await pass(10_000);
    for (const host of [1, 2, 3, 4]) world.hosts[host]!.isUp = false;
    world.kernelAnswers = () => true;
    for (let at = 0; at < 40; at++) {
      await pass(1000);
      assertEquals(codesAt(world, 0), []);
    }
    assertEquals(world.stateOf(0, 1), "good");
  });
});

Deno.test("hosts that fall silent at once are told as such after a minute, and two are not enough", async () => {
  for (const [count, codes] of [[3, ["peers-silent"]], [5, ["overlay-cut-off", "peers-silent"]]] as const) {
    await withWorld(count, async (world, pass) => {
      await pass(10_000);
      for (const host of everyHost(world).slice(1)) world.hosts[host]!.isUp = false;
      world.isRegistryAway = true;
      await pass(50_000);
      assertEquals(codesAt(world, 0), ["peers-silent"]);
      await pass(30_000);
      assertEquals(codesAt(world, 0), [...codes]);
      world.isRegistryAway = false;
      assertEquals(codesAt(world, 0), ["peers-silent"], "who reaches the registry is not cut off");
    });
  }
});

Deno.test("a filter on what a host itself sends over the overlay makes nobody call anyone cut off, or a path broken", async () => {
  for (const mute of [[0], [1, 2], [0, 1, 2]]) {
    await withWorld(3, async (world, pass) => {
      await pass(10_000);
      for (const host of mute) world.mute.add(host);
      await pass(60_000);
      for (const host of everyHost(world)) {
        assertEquals(
          codesAt(world, host),
          mute.includes(host) ? ["path-probes-refused"] : [],
          `${mute}: ${host}`,
        );
      }
      world.mute.clear();
      await pass(40_000, () => world.stateOf(0, 1) === "good" && codesAt(world, 0).length === 0);
      assertEquals([world.stateOf(0, 1), codesAt(world, 0)], ["good", []]);
    });
  }
});

Deno.test("that what this host sends is damaged is known once two peers have it so", async () => {
  await withWorld(4, async (world, pass) => {
    await pass(10_000);
    world.carries = ({ from, network, isPlain }) => from !== 0 || network !== "overlay" || isPlain;
    await pass(10_000, () => world.hosts[0]!.prober.isDamaging);
    assertEquals([world.hosts[0]!.prober.isDamaging, world.hosts[0]!.damageChanges], [true, 1]);
    for (const host of [1, 2, 3]) assertEquals(world.hosts[host]!.prober.isDamaging, false);
    world.carries = () => true;
    await pass(20_000, () => !world.hosts[0]!.prober.isDamaging);
    assertEquals(world.hosts[0]!.damageChanges, 2);
  });
});

Deno.test("packets that are lost now and then make a path lossy, and a peer that was away does not", async () => {
  await withWorld(2, async (world, pass) => {
    await pass(10_000);
    let count = 0;
    world.carries = ({ from, network, packetBytes }) =>
      from !== 0 || network !== "overlay" || packetBytes < 1450 || ++count % 3 !== 0;
    await pass(120_000, () => codesAt(world, 0).includes("path-lossy"));
    assertEquals(codesAt(world, 0), ["path-lossy"]);
    world.carries = () => true;
    // It is asked more often than others, until none of those that are counted is lost.
    await pass(8000, () => codesAt(world, 0).length === 0);
    assertEquals(codesAt(world, 0), []);
  });
  await withWorld(2, async (world, pass) => {
    await pass(10_000);
    let count = 0;
    world.carries = ({ from, network, packetBytes }) =>
      from !== 0 || network !== "overlay" || packetBytes < 1450 || ++count % 3 !== 0;
    await pass(120_000, () => codesAt(world, 0).includes("path-lossy"));
    world.carries = ({ from, network }) => from !== 0 || network !== "overlay";
    await pass(8000, () => codesAt(world, 0).includes("path-broken"));
    assertEquals(codesAt(world, 0), ["path-broken"]);
  });
  await withWorld(2, async (world, pass) => {
    await pass(10_000);
    for (let time = 0; time < 4; time++) {
      world.hosts[1]!.isUp = false;
      await pass(8000);
      world.hosts[1]!.isUp = true;
      await pass(8000);
      assertEquals(codesAt(world, 0), []);
    }
  });
});

Deno.test("a port that is taken is told of, and others are not told of it", () => {
  using world = new PathWorld(2);
  world.refusal = EADDRINUSE;
  const { prober } = world.hosts[0]!;
  prober.open();
  const [condition] = prober.conditions;
  assertEquals([condition?.code, prober.port], ["path-port-taken", undefined]);
  assertMatch(condition!.sentence, /-path-probe-port$/);
});

Deno.test("a person who asks hears how the peer sees this host", async () => {
  await withWorld(3, async (world, pass) => {
    await pass(5000);
    let answers: Awaited<ReturnType<typeof world.hosts[0]["prober"]["askPeer"]>> = [];
    void world.hosts[0]!.prober.askPeer("n1").then((came) => answers = came);
    await pass(100);
    assertEquals(answers.map(({ network, view }) => [network, view?.arrivedBytes, view?.isDamaged]), [
      ["overlay", 1450, false],
      ["underlay", 1450, false],
    ]);
    assertEquals(await world.hosts[0]!.prober.askPeer("nobody"), []);
  });
});

Deno.test("what is told elsewhere with its cause is not said a second time, and is looked at anew when that is over", async () => {
  await withWorld(4, async (world, pass) => {
    await pass(10_000);
    world.carries = ({ from, to, network }) => network !== "overlay" || from !== 0 && to !== 0;
    await pass(10_000, () => codesAt(world, 0).includes("path-broken"));
    assertEquals(codesAt(world, 0), ["path-broken"]);
    world.told.set(0, { isAll: true, hosts: new Map() });
    assertEquals(codesAt(world, 0), []);
    await pass(40_000);
    assertEquals([codesAt(world, 0), world.stateOf(0, 1)], [[], "unknown"]);
    world.told.set(0, { isAll: false, hosts: new Map([["n1", ""]]) });
    await pass(20_000, () => world.stateOf(0, 2) === "broken");
    assertEquals([world.stateOf(0, 1), world.stateOf(0, 2)], ["unknown", "broken"]);
    world.carries = () => true;
    world.told.delete(0);
    await pass(20_000, () => codesAt(world, 0).length === 0 && world.stateOf(0, 1) === "good");
    assertEquals([codesAt(world, 0), world.stateOf(0, 1)], [[], "good"]);
  });
});
