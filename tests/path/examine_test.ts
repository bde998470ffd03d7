import { assertEquals, assertLess } from "@std/assert";
import type { ProbedNetwork } from "../../src/model/peer_path.ts";
import {
  type Examination,
  examine,
  type Question,
  type Reply,
  sizesBetween,
} from "../../src/path/examine.ts";

/** A network as a probe meets it; nothing is wrong with what is absent. */
interface Net {
  /** Packets over these are lost. */
  readonly mtuThere?: number;
  readonly mtuBack?: number;
  /** All packets are lost. */
  readonly isDeadThere?: true;
  readonly isDeadBack?: true;
  /** Packets with a UDP checksum are lost, as it is wrong. */
  readonly isSpoiltThere?: true;
  readonly isSpoiltBack?: true;
  /** The same of packets over this size alone, as something changes them at a place behind it. */
  readonly isSpoiltOver?: number;
  /** The fillings of packets are damaged. */
  readonly isDamagedThere?: true;
  readonly isDamagedBack?: true;
  /** The n-th packets are lost, from 0. */
  readonly chance?: readonly number[];
}

interface World {
  readonly overlay?: Net;
  readonly underlay?: Net;
  /** Whether there is no overlay. */
  readonly isPlain?: true;
  /** The agent of the peer is gone, its kernel answers. */
  readonly isAgentGone?: true;
  /** Networks through which probes of the peer come. */
  readonly heard?: readonly ProbedNetwork[];
  readonly foundBefore?: number;
}

const OVERLAY = 1450;
const UNDERLAY = 1500;
const LEAST = 64;

async function run(world: World): Promise<{ found: Examination; asked: readonly Question[] }> {
  const asked: Question[] = [];
  const counts = { overlay: 0, underlay: 0 };
  let hearsOverlay = false;
  const ask = async (question: Question): Promise<Reply | undefined> => {
    asked.push(question);
    const net = world[question.network] ?? {};
    const nth = counts[question.network]++;
    await Promise.resolve();
    if (world.isAgentGone || net.chance?.includes(nth)) return undefined;
    const isOut = question.packetBytes > (net.mtuThere ?? Infinity) || net.isDeadThere ||
      net.isSpoiltThere && question.isPlain !== true ||
      question.packetBytes > (net.isSpoiltOver ?? Infinity) && question.isPlain !== true;
    if (isOut) return undefined;
    if (question.network === "overlay") hearsOverlay = true;
    const answerBytes = question.answerBytes ?? question.packetBytes;
    const isLostBack = answerBytes > (net.mtuBack ?? Infinity) || net.isDeadBack ||
      net.isSpoiltBack && question.wantsPlain !== true;
    if (isLostBack) return undefined;
    return {
      isDamagedThere: net.isDamagedThere ?? false,
      isDamagedBack: net.isDamagedBack ?? false,
      hearsOverlay,
    };
  };
  const found = await examine({
    ask,
    expected: world.isPlain ? { underlay: UNDERLAY } : { overlay: OVERLAY, underlay: UNDERLAY },
    leastBytes: LEAST,
    isHeard: (network) => world.heard?.includes(network) ?? false,
    // Its packets are small, and it has no checksum that is looked at.
    askKernel: (network) => {
      const { isDeadThere, isDeadBack } = world[network] ?? {};
      return Promise.resolve((world.isAgentGone ?? false) && !isDeadThere && !isDeadBack);
    },
    foundBefore: () => world.foundBefore,
  });
  return { found, asked };
}

const GOOD = { state: "good" } as const;
const BY_KERNEL = { state: "good", isByKernel: true } as const;
const DEAD = { isDeadThere: true, isDeadBack: true } as const;

const worlds: [why: string, world: World, found: Examination][] = [
  ["a probe was lost by chance", {}, { overlay: GOOD, underlay: GOOD }],
  [
    "probes are lost by chance again and again",
    { overlay: { chance: [0, 1, 2] } },
    { overlay: GOOD, underlay: GOOD },
  ],
  [
    "the underlay is narrow",
    { overlay: { mtuThere: 1380, mtuBack: 1380 }, underlay: { mtuThere: 1430, mtuBack: 1430 } },
    {
      overlay: { state: "narrow", foundBytes: 1380, direction: "there" },
      underlay: { state: "narrow", foundBytes: 1430, direction: "there" },
    },
  ],
  [
    "it is narrow on the way back alone",
    { overlay: { mtuBack: 1280 } },
    { overlay: { state: "narrow", foundBytes: 1280, direction: "back" }, underlay: GOOD },
  ],
  [
    "one byte is lacking",
    { overlay: { mtuThere: OVERLAY - 1 } },
    { overlay: { state: "narrow", foundBytes: OVERLAY - 1, direction: "there" }, underlay: GOOD },
  ],
  [
    "nothing but the smallest comes through",
    { overlay: { mtuThere: LEAST } },
    { overlay: { state: "narrow", foundBytes: LEAST, direction: "there" }, underlay: GOOD },
  ],
  [
    "what was found before holds",
    { overlay: { mtuThere: 1380 }, foundBefore: 1380 },
    { overlay: { state: "narrow", foundBytes: 1380, direction: "there" }, underlay: GOOD },
  ],
  [
    "it is another MTU than before",
    { overlay: { mtuThere: 1400 }, foundBefore: 1380 },
    { overlay: { state: "narrow", foundBytes: 1400, direction: "there" }, underlay: GOOD },
  ],
  [
    "the overlay's packets are lost on the way there, and the peer's come",
    { overlay: { isDeadThere: true }, heard: ["overlay"] },
    { overlay: { state: "broken", direction: "there" }, underlay: GOOD },
  ],
  [
    "the overlay's packets are lost on the way back",
    { overlay: { isDeadBack: true } },
    { overlay: { state: "broken", direction: "back" }, underlay: GOOD },
  ],
  [
    "no packet of the overlay comes through",
    { overlay: DEAD },
    { overlay: { state: "broken" }, underlay: GOOD },
  ],
  ["the peer is down", { overlay: DEAD, underlay: DEAD }, {
    overlay: { state: "silent" },
    underlay: { state: "silent" },
  }],
  [
    "probes of the underlay are dropped, and the overlay works",
    { underlay: DEAD },
    { overlay: GOOD, underlay: { state: "silent" } },
  ],
  [
    "nothing gets there, and the peer's probes come",
    { overlay: { isDeadThere: true }, underlay: DEAD, heard: ["overlay"] },
    { overlay: { state: "broken", direction: "there" }, underlay: { state: "silent" } },
  ],
  ["the peer's agent is gone", { isAgentGone: true }, { overlay: BY_KERNEL, underlay: BY_KERNEL }],
  [
    "the peer's agent is gone, and the overlay is broken",
    { isAgentGone: true, overlay: DEAD },
    { overlay: { state: "broken" }, underlay: BY_KERNEL },
  ],
  [
    "checksums are spoilt on the way there",
    { overlay: { isSpoiltThere: true } },
    { overlay: { state: "damaged", direction: "there" }, underlay: GOOD },
  ],
  [
    "large packets are changed on the way there, so that their checksums are wrong",
    { overlay: { isSpoiltOver: 220 } },
    { overlay: { state: "damaged", direction: "there" }, underlay: GOOD },
  ],
  [
    "checksums are spoilt on the way back",
    { overlay: { isSpoiltBack: true } },
    { overlay: { state: "damaged", direction: "back" }, underlay: GOOD },
  ],
  [
    "checksums are spoilt both ways",
    { overlay: { isSpoiltThere: true, isSpoiltBack: true } },
    { overlay: { state: "damaged" }, underlay: GOOD },
  ],
  [
    "fillings are damaged on the way there",
    { overlay: { isDamagedThere: true } },
    { overlay: { state: "damaged", direction: "there" }, underlay: GOOD },
  ],
  [
    "there is no overlay, and the underlay is narrow",
    { isPlain: true, underlay: { mtuThere: 1400 } },
    { underlay: { state: "narrow", foundBytes: 1400, direction: "there" } },
  ],
  [
    "there is no overlay, and the peer's probes come",
    { isPlain: true, underlay: { isDeadThere: true }, heard: ["underlay"] },
    { underlay: { state: "broken", direction: "there" } },
  ],
  [
    "there is no overlay, and the peer is down",
    { isPlain: true, underlay: DEAD },
    { underlay: { state: "silent" } },
  ],
];

for (const [why, world, expected] of worlds) {
  Deno.test(`examine() finds ${expected.overlay?.state ?? expected.underlay.state} when ${why}`, async () => {
    const { found, asked } = await run(world);
    assertEquals(found, expected);
    assertLess(asked.length, 80, "it asks not too much");
  });
}

Deno.test("what was found before costs a few questions to see again", async () => {
  const count = async (foundBefore: number | undefined) =>
    (await run({ overlay: { mtuThere: 1380 }, ...foundBefore !== undefined && { foundBefore } })).asked
      .filter(({ network }) => network === "overlay").length;
  assertLess(await count(1380), 12);
  assertLess(await count(undefined), 36);
});

for (const [low, high, sizes] of [[64, 65, []], [64, 66, [65]], [64, 68, [65, 66, 67]]] as const) {
  Deno.test(`sizes between ${low} and ${high} are ${sizes.join(", ") || "none"}`, () => {
    assertEquals(sizesBetween(low, high), [...sizes]);
  });
}
