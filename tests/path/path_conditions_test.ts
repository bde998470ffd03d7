import { assertEquals, assertMatch } from "@std/assert";
import { cutOffCondition, mayBeCutOff, pathConditions } from "../../src/path/path_conditions.ts";
import { type Finding, PathRecord } from "../../src/path/path_record.ts";

/** A peer whose overlay was good at `goodMs`, and of which `found` was found then. */
function peer(
  host: string,
  found: Finding | undefined,
  { goodMs = 0, hearsOthers = false, hasOverlay = true }: {
    readonly goodMs?: number | undefined;
    readonly hearsOthers?: boolean;
    readonly hasOverlay?: boolean;
  } = {},
): PathRecord {
  const record = new PathRecord(host, 2, hasOverlay);
  if (goodMs >= 0) record.main.passed(goodMs, 1450);
  if (found !== undefined) record.main.found(found, 1450);
  record.hearsOthers = hearsOthers;
  return record;
}

const GOOD = undefined;
const SILENT: Finding = { state: "silent" };
const BACK: Finding = { state: "broken", direction: "back" };
const THERE: Finding = { state: "broken", direction: "there" };
const NEVER = { goodMs: -1 };

const cuts: [why: string, records: readonly PathRecord[], facts: {
  readonly nowMs?: number;
  readonly isInboundDead?: boolean;
  readonly isRegistryAway?: boolean;
}, isCutOff: boolean][] = [
  ["nobody was asked", [], {}, false],
  ["all is well", [peer("a", GOOD), peer("b", GOOD)], {}, false],
  [
    "nothing comes in, and others are alive",
    [peer("a", BACK), peer("b", BACK)],
    { isInboundDead: true },
    true,
  ],
  ["one still works", [peer("a", BACK), peer("b", GOOD)], { isInboundDead: true }, false],
  [
    "the only other host does not get through: either of the two may be to blame",
    [peer("a", BACK)],
    { isInboundDead: true },
    false,
  ],
  [
    "the only one that is alive is one of several",
    [peer("a", BACK), peer("b", SILENT)],
    { isInboundDead: true },
    false,
  ],
  [
    "packets come in, so a firewall of the host drops probes alone",
    [peer("a", BACK), peer("b", BACK)],
    {},
    false,
  ],
  [
    "it has never worked: firewalls may drop probes and not packets of pods",
    [peer("a", BACK, NEVER), peer("b", BACK, NEVER)],
    { isInboundDead: true },
    false,
  ],
  [
    "it is a moment only",
    [peer("a", BACK), peer("b", BACK)],
    { isInboundDead: true, nowMs: 9000 },
    false,
  ],
  [
    "nothing gets out, and others hear others",
    [peer("a", THERE, { hearsOthers: true }), peer("b", THERE, { hearsOthers: true })],
    {},
    true,
  ],
  ["nothing gets out, and others hear nobody", [peer("a", THERE), peer("b", THERE)], {}, false],
  [
    "nothing gets out to the only one: either of the two may be to blame",
    [peer("a", THERE, { hearsOthers: true })],
    {},
    false,
  ],
  ["the only other host is down", [peer("a", SILENT)], { nowMs: 600_000, isRegistryAway: true }, false],
  ["both others are down", [peer("a", SILENT), peer("b", SILENT)], { nowMs: 600_000 }, false],
  [
    "three fell silent at once, a minute ago, and so did the registry",
    [peer("a", SILENT), peer("b", SILENT), peer("c", SILENT)],
    { nowMs: 61_000, isRegistryAway: true },
    true,
  ],
  [
    "three fell silent at once, and the registry answers: their agents may be gone, behind firewalls",
    [peer("a", SILENT), peer("b", SILENT), peer("c", SILENT)],
    { nowMs: 61_000 },
    false,
  ],
  [
    "three fell silent at once, and it is not a minute",
    [peer("a", SILENT), peer("b", SILENT), peer("c", SILENT)],
    { nowMs: 59_000, isRegistryAway: true },
    false,
  ],
  [
    "three fell silent one after the other, as hosts that are taken away",
    [peer("a", SILENT), peer("b", SILENT, { goodMs: 60_000 }), peer("c", SILENT, { goodMs: 120_000 })],
    { nowMs: 600_000, isRegistryAway: true },
    false,
  ],
  [
    "three are down since before the start",
    [peer("a", SILENT, NEVER), peer("b", SILENT, NEVER), peer("c", SILENT, NEVER)],
    { nowMs: 600_000, isRegistryAway: true },
    false,
  ],
  [
    "the others' agents are gone and their kernels answer",
    [peer("a", { state: "good", isByKernel: true }), peer("b", { state: "good", isByKernel: true })],
    { nowMs: 600_000, isInboundDead: true },
    false,
  ],
  [
    "large packets alone are lost, to all",
    [peer("a", { state: "narrow", foundBytes: 1400 }), peer("b", { state: "narrow", foundBytes: 1400 })],
    { isInboundDead: true },
    false,
  ],
  [
    "there is no overlay whose port could be dropped",
    [peer("a", BACK, { hasOverlay: false }), peer("b", BACK, { hasOverlay: false })],
    { isInboundDead: true },
    false,
  ],
];

for (const [why, records, facts, isCutOff] of cuts) {
  Deno.test(`a host is ${isCutOff ? "" : "not "}called cut off when ${why}`, () => {
    const { nowMs = 20_000, isInboundDead = false, isRegistryAway = false } = facts;
    const condition = cutOffCondition(2, records, { nowMs, isInboundDead, isRegistryAway });
    assertEquals(condition?.code, isCutOff ? "overlay-cut-off" : undefined);
    if (isCutOff) assertMatch(condition!.sentence, /^this host is cut off from all others in IPv4: .*look /);
  });
}

Deno.test("what comes in is looked at while all that are alive seem to be lost", () => {
  assertEquals(mayBeCutOff([peer("a", BACK), peer("b", SILENT)]), true);
  assertEquals(mayBeCutOff([peer("a", BACK), peer("b", GOOD)]), false);
  assertEquals(mayBeCutOff([peer("b", SILENT)]), false);
});

const said: [records: readonly PathRecord[], codes: readonly string[], words: RegExp][] = [
  [[peer("a", GOOD)], [], /^$/],
  [
    [peer("b", THERE), peer("a", BACK)],
    ["path-broken"],
    /of a \(packets over the overlay are lost on the way back, though it is alive\), b \(/,
  ],
  [
    [peer("a", { state: "narrow", foundBytes: 1380 })],
    ["path-mtu-small"],
    /a \(1450 bytes expected, 1380 get through\)/,
  ],
  [[peer("a", { state: "damaged" })], ["path-damaged"], /a \(packets over the overlay are damaged\)/],
  [[peer("a", { state: "lossy" })], ["path-lossy"], /lost now and then, of a/],
  [[peer("a", SILENT)], ["peers-silent"], /no probe is answered, of a \(/],
  [
    Array.from({ length: 9 }, (_, at) => peer(`n${at}`, THERE)),
    ["path-broken"],
    /, n4 \([^)]*\), and 4 others$/,
  ],
  [[peer("a", SILENT), peer("b", THERE)], ["path-broken", "peers-silent"], /b .* a/],
];

for (const [records, codes, words] of said) {
  Deno.test(`paths are told as ${codes.join(" and ") || "nothing"}, naming ${words.source.slice(0, 40)}`, () => {
    const conditions = pathConditions(records);
    assertEquals(conditions.map(({ code }) => code), [...codes]);
    assertMatch(conditions.map(({ sentence }) => sentence).join(" "), words);
  });
}
