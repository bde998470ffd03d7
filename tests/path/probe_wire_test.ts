import { assertEquals, assertThrows } from "@std/assert";
import {
  decodeProbe,
  encodeProbe,
  HEAD_BYTES,
  MAX_PROBE_BYTES,
  type ProbeAnswer,
  type ProbeAsk,
} from "../../src/path/probe_wire.ts";
import { SEED, seededRandom } from "../double/random.ts";

const HEARS = { underlay: true, overlay: false, others: true };
const ASK: ProbeAsk = {
  kind: "ask",
  nonce: 0x0123_4567_89ab_cdefn,
  askedUs: 1_000_000n,
  bytes: 40,
  answerBytes: 36,
  isPlain: false,
  wantsPlain: true,
  hears: HEARS,
};
const ANSWER: ProbeAnswer = {
  kind: "answer",
  nonce: ASK.nonce,
  askedUs: ASK.askedUs,
  bytes: 36,
  arrivedBytes: 40,
  isPlain: true,
  wasDamaged: true,
  hears: { underlay: false, overlay: true, others: false },
};

/** Made with `encodeProbe(…).toHex()`, each member looked up by hand in the table of the format. */
const golden: [name: string, probe: ProbeAsk | ProbeAnswer, hex: string][] = [
  ["a question", ASK, "4c4f4450010100290123456789abcdef00000000000f424000280024645b5e081310c57be56ca5aa"],
  ["an answer", ANSWER, "4c4f4450010200160123456789abcdef00000000000f4240002400280000000056f8308d"],
];

for (const [name, probe, hex] of golden) {
  Deno.test(`${name} has these bytes, and is read from them`, () => {
    assertEquals(encodeProbe(probe).toHex(), hex);
    assertEquals(decodeProbe(Uint8Array.fromHex(hex)), { ...probe, isDamaged: false });
  });
}

const wrong: [why: string, change: (datagram: Uint8Array<ArrayBuffer>) => Uint8Array][] = [
  ["it is empty", () => new Uint8Array()],
  ["it is shorter than a head", (datagram) => datagram.subarray(0, HEAD_BYTES - 1)],
  ["it was cut", (datagram) => datagram.subarray(0, -1)],
  ["something was added", (datagram) => Uint8Array.of(...datagram, 0)],
  ["it is larger than any probe", () => new Uint8Array(MAX_PROBE_BYTES + 1)],
  ["it is of another version", (datagram) => datagram.with(4, 2)],
  ["it is of another kind", (datagram) => datagram.with(5, 3)],
  ["a bit of its head was turned", (datagram) => datagram.with(9, datagram[9]! ^ 1)],
];

for (const [why, change] of wrong) {
  Deno.test(`what comes is no probe when ${why}`, () => {
    assertEquals(decodeProbe(change(encodeProbe(ASK))), undefined);
  });
}

Deno.test("a probe whose filling was damaged says so, and is read", () => {
  const datagram = encodeProbe({ ...ASK, bytes: 1422, answerBytes: 1422 });
  datagram[700]! ^= 0x10;
  const read = decodeProbe(datagram);
  assertEquals([read?.isDamaged, read?.nonce], [true, ASK.nonce]);
});

for (const [bytes, answerBytes] of [[35, 35], [MAX_PROBE_BYTES + 1, 36], [100, 101], [100, 35]] as const) {
  Deno.test(`no question of ${bytes} bytes asks for ${answerBytes}`, () => {
    assertThrows(() => encodeProbe({ ...ASK, bytes, answerBytes }), RangeError);
  });
}

Deno.test(`whatever comes is read without an error, and asks for no more than it has (LODEN_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  const below = (limit: number) => Math.floor(random() * limit);
  for (let round = 0; round < 5000; round++) {
    const isAsk = random() < 0.5;
    const bytes = HEAD_BYTES + below(2000);
    const answerBytes = HEAD_BYTES + below(bytes - HEAD_BYTES + 1);
    const common = { nonce: BigInt(below(2 ** 32)) << 17n, bytes, hears: HEARS };
    const probe = isAsk ? { ...ASK, ...common, answerBytes } : { ...ANSWER, ...common };
    const datagram = encodeProbe(probe);
    assertEquals(decodeProbe(datagram), { ...probe, isDamaged: false });
    for (let flips = below(4); flips > 0; flips--) datagram[below(bytes)]! ^= 1 << below(8);
    const read = decodeProbe(datagram.subarray(0, random() < 0.9 ? bytes : below(bytes)));
    if (read?.kind === "ask") assertEquals(read.answerBytes <= datagram.length, true);
  }
  for (let round = 0; round < 5000; round++) {
    const noise = Uint8Array.from({ length: below(200) }, () => below(256));
    assertEquals(decodeProbe(noise), undefined);
  }
});
