import { assertEquals } from "@std/assert";
import { NetworkRecord, PathRecord, reasonOf } from "../../src/path/path_record.ts";

function recordWith(outcomes: string): NetworkRecord {
  const record = new NetworkRecord();
  for (const [at, outcome] of [...outcomes].entries()) {
    if (outcome === "x") record.lost();
    if (outcome === ".") record.passed(at, 1450);
    if (outcome === "!") record.found({ state: "silent" }, 1450);
  }
  return record;
}

const rows: [outcomes: string, state: string, lossRatio: number, why: string][] = [
  ["", "unknown", 0, "nothing was asked"],
  [".", "good", 0, "one came through"],
  ["..x....x..", "good", 0.2, "two were lost"],
  [".x.x.x", "good", 0.5, "of so few nothing is said"],
  [".x.x.x..", "lossy", 0.375, "three of eight were lost"],
  [".x.x.x.......................", "good", 0, "those that were lost are long ago"],
  [".x.x.x..................", "lossy", 0.05, "one of those that are counted was lost"],
  ["..x...................x.", "good", 0.05, "one of those that are counted was lost, and never three"],
  [".xxxxxxx!", "silent", 0.875, "an examination has found more"],
  [".xxxxxxx!.", "good", 0, "what was lost while it was silent does not count"],
];

for (const [outcomes, state, lossRatio, why] of rows) {
  Deno.test(`a path with ${JSON.stringify(outcomes)} is ${state}: ${why}`, () => {
    const record = recordWith(outcomes);
    assertEquals([record.finding.state, record.lossRatio], [state, lossRatio]);
  });
}

Deno.test("times are shown since 1970, and the MTU of what is whole is what was expected", () => {
  const record = new PathRecord("n1", 2, true);
  record.overlay!.asked(10);
  record.overlay!.answered(12, 2);
  record.overlay!.passed(12, 1450);
  assertEquals(record.show(1000), {
    host: "n1",
    family: 2,
    state: "good",
    overlay: {
      state: "good",
      roundTripMs: 2,
      lossRatio: 0,
      mtu: { expectedBytes: 1450, foundBytes: 1450 },
      askedAtMs: 1010,
      answeredAtMs: 1012,
    },
    underlay: {
      state: "unknown",
      roundTripMs: undefined,
      lossRatio: 0,
      mtu: { expectedBytes: 0, foundBytes: undefined },
      askedAtMs: undefined,
      answeredAtMs: undefined,
    },
  });
});

Deno.test("where the kernel alone has answered, no packet of full size counts as come through", () => {
  const record = new NetworkRecord();
  record.found({ state: "good", isByKernel: true }, 1450);
  assertEquals([record.finding.state, record.goodMs], ["good", undefined]);
});

const reasons: [found: Parameters<NetworkRecord["found"]>[0], below: number | undefined, reason: string][] = [
  [
    { state: "narrow", foundBytes: 1380, direction: "there" },
    1430,
    "1450 bytes expected, 1380 get through, underlay 1430; larger packets are lost on the way there",
  ],
  [{ state: "narrow", foundBytes: 1380 }, undefined, "1450 bytes expected, 1380 get through"],
  [
    { state: "broken", direction: "back" },
    undefined,
    "packets over the overlay are lost on the way back, though it is alive",
  ],
  [{ state: "broken" }, undefined, "no packet comes through over the overlay, though it is alive"],
  [
    { state: "damaged", direction: "there" },
    undefined,
    "packets over the overlay are damaged on the way there",
  ],
  [{ state: "lossy" }, undefined, "of the last probes over the overlay some are lost"],
  [{ state: "silent" }, undefined, "it does not answer at all; it may be down"],
];

for (const [found, below, reason] of reasons) {
  Deno.test(`a path is told as "${reason}"`, () => {
    const record = new PathRecord("n1", 2, true);
    record.overlay!.found(found, 1450);
    if (below !== undefined) record.underlay.found({ state: "narrow", foundBytes: below }, 1500);
    assertEquals([record.show(0).reason, reasonOf(record.show(0))], [reason, reason]);
  });
}
