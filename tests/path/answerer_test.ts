import { assertEquals, assertLessOrEqual } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { Answerer } from "../../src/path/answerer.ts";
import { MemberTable } from "../../src/path/path_members.ts";
import type { ProbeAsk } from "../../src/path/probe_wire.ts";
import { SEED, seededRandom } from "../double/random.ts";

const HEARS = { underlay: false, overlay: false, others: false };
const ASK = {
  kind: "ask",
  nonce: 7n,
  askedUs: 1n,
  bytes: 1422,
  answerBytes: 1422,
  isPlain: false,
  wantsPlain: false,
  hears: HEARS,
  isDamaged: false,
} as const satisfies ProbeAsk & { readonly isDamaged: boolean };

const MEMBERS = new MemberTable(
  Array.from({ length: 200 }, (_, at) => ({
    host: `n${at}`,
    backendType: "vxlan",
    parts: [{
      subnet: parsePrefix(`10.244.${at}.0/24`),
      underlayAddress: parseAddress(`192.0.2.${at}`),
      backendData: null,
    }],
    origin: { probePort: 8475 },
  })),
  { own: "self", backendType: "vxlan", hasOverlay: true, withOthers: false },
);
const from = (address: string, network: "underlay" | "overlay") => ({
  source: parseAddress(address),
  network,
});

Deno.test("a member is answered with what it asked for", () => {
  const answer = new Answerer(() => MEMBERS, 0).answer(
    { ...ASK, answerBytes: 100, wantsPlain: true, isDamaged: true },
    from("192.0.2.1", "underlay"),
    0,
  );
  assertEquals(answer, {
    kind: "answer",
    nonce: 7n,
    askedUs: 1n,
    bytes: 100,
    arrivedBytes: 1422,
    isPlain: true,
    wasDamaged: true,
    hears: { underlay: true, overlay: false, others: false },
  });
});

const strangers: [address: string, network: "underlay" | "overlay", why: string][] = [
  ["198.51.100.1", "underlay", "the registry knows no such address"],
  ["192.0.2.1", "overlay", "a host of the underlay is not in the overlay"],
  ["10.244.1.0", "underlay", "a VTEP is not in the underlay"],
  ["10.244.1.7", "overlay", "a pod is no host"],
];

for (const [address, network, why] of strangers) {
  Deno.test(`${address} is not answered through the ${network}: ${why}`, () => {
    const answerer = new Answerer(() => MEMBERS, 0);
    assertEquals(answerer.answer(ASK, from(address, network), 0), undefined);
    assertEquals([answerer.served, answerer.refused], [0, 1]);
  });
}

Deno.test("who asks too much is not answered, and others are", () => {
  const answerer = new Answerer(() => MEMBERS, 0);
  let answered = 0;
  for (let at = 0; at < 10_000; at++) {
    if (answerer.answer(ASK, from("192.0.2.1", "underlay"), at / 10) !== undefined) answered++;
  }
  assertLessOrEqual(answered, 100 + 30, "its burst, and a second's share");
  assertEquals(answerer.answer(ASK, from("192.0.2.2", "underlay"), 1000) !== undefined, true);
});

Deno.test(`all together are answered at a bounded rate, and never at length (LODEN_SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  const answerer = new Answerer(() => MEMBERS, 0);
  let bytes = 0;
  for (let at = 0; at < 50_000; at++) {
    const asked = 36 + Math.floor(random() * 1400);
    const ask = { ...ASK, bytes: asked, answerBytes: 36 + Math.floor(random() * 9000) };
    const answer = answerer.answer(ask, from(`192.0.2.${Math.floor(random() * 200)}`, "underlay"), at / 50);
    if (answer !== undefined) assertLessOrEqual(answer.bytes, asked);
    bytes += answer?.bytes ?? 0;
  }
  assertLessOrEqual(answerer.served, 600 + 300, "the burst, and a second's share");
  assertLessOrEqual(bytes, 900 * 1436);
});

Deno.test("what was heard is told for a moment, and of others for longer", () => {
  const answerer = new Answerer(() => MEMBERS, 0);
  const n1 = { host: "n1", family: 2 } as const;
  answerer.answer(ASK, from("10.244.1.0", "overlay"), 1000);
  answerer.answer(ASK, from("10.244.2.0", "overlay"), 1000);
  assertEquals(answerer.hears(n1, 1100), { underlay: false, overlay: true, others: true });
  assertEquals(answerer.hears(n1, 4000), { underlay: false, overlay: false, others: true });
  assertEquals([answerer.heardMs(n1, "overlay"), answerer.heardMs(n1, "underlay")], [1000, -Infinity]);
  answerer.prune(100_000);
  assertEquals(answerer.hears(n1, 100_000), HEARS);
});

Deno.test("one that alone was heard is not another", () => {
  const answerer = new Answerer(() => MEMBERS, 0);
  answerer.answer(ASK, from("10.244.1.0", "overlay"), 0);
  assertEquals(answerer.hears({ host: "n1", family: 2 }, 0).others, false);
});
