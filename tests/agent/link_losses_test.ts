import { assertEquals } from "@std/assert";
import { LinkLosses, type LinkReading, type LinkRole } from "../../src/agent/link_losses.ts";
import type { LinkCounters } from "../../src/rtnetlink/link_counters.ts";

const ZERO: LinkCounters = {
  linkIndex: 7,
  name: "flannel.1",
  rxPackets: 0,
  txPackets: 0,
  rxBytes: 0,
  txBytes: 0,
  rxErrors: 0,
  txErrors: 0,
  rxDropped: 0,
  txDropped: 0,
  collisions: 0,
  rxFrameErrors: 0,
  rxMissed: 0,
  txCarrierErrors: 0,
  rxNoHandler: 0,
  carrierLosses: 0,
};

function reading(changes: Partial<LinkCounters>, role: LinkRole = "vtep"): readonly LinkReading[] {
  return [{ role, counters: { ...ZERO, ...changes } }];
}

Deno.test("LinkLosses says by how much each counter rose, in which time, and what that means", () => {
  const losses = new LinkLosses();
  assertEquals(losses.see(reading({ txErrors: 5 }), 0), []);
  assertEquals(losses.see(reading({ txErrors: 25, txCarrierErrors: 20, rxPackets: 9 }), 10_000), [{
    link: "flannel.1",
    rose: { tx_carrier_errors: 20, tx_errors: 20 },
    seconds: 10,
    reason: "packets can't be encapsulated: the underlay has no route to the other host",
  }]);
});

Deno.test("LinkLosses says of a link that loses 1,000 packets a second one line a minute, and counts all", () => {
  const losses = new LinkLosses();
  const told: (readonly [second: number, count: number | undefined])[] = [];
  for (let second = 0; second <= 180; second++) {
    const [loss] = losses.see(reading({ txDropped: second * 1000 }), second * 1000);
    if (loss !== undefined) told.push([second, loss.rose["tx_dropped"]]);
  }
  assertEquals(told, [[1, 1000], [61, 60_000], [121, 60_000]]);
});

const quiet:
  readonly (readonly [why: string, role: LinkRole, at: (second: number) => Partial<LinkCounters>])[] = [
    ["rests", "vtep", () => ({ rxPackets: 5, txErrors: 400 })],
    ["carries packets", "vtep", (second) => ({ rxPackets: second * 1000, txBytes: second * 1e6 })],
    ["was set up, with packets of IPv6 to nobody", "vtep", (second) => ({ txDropped: Math.min(8, second) })],
    ["gets four frames a second of protocols that nobody speaks", "underlay", (second) => ({
      rxDropped: second * 4,
    })],
    ["loses a packet each ten seconds", "vtep", (second) => ({ rxErrors: Math.floor(second / 10) })],
    ["is made anew each second, with counts of its own", "vtep", (second) => ({
      linkIndex: second,
      txDropped: second * 100,
    })],
    ["has its counters set back", "vtep", (second) => ({ txErrors: 100_000 - second * 50 })],
  ];

for (const [why, role, at] of quiet) {
  Deno.test(`LinkLosses says nothing of a link that ${why}`, () => {
    const losses = new LinkLosses();
    for (let second = 0; second <= 600; second++) {
      assertEquals(losses.see(reading(at(second), role), second * 1000), []);
    }
  });
}

Deno.test("LinkLosses says at once that the underlay has lost its carrier, once", () => {
  const losses = new LinkLosses();
  losses.see(reading({ name: "eth0" }, "underlay"), 0);
  const [loss] = losses.see(reading({ name: "eth0", carrierLosses: 1 }, "underlay"), 10_000);
  assertEquals(loss?.rose, { carrier_down_count: 1 });
  for (let ms = 20_000; ms < 200_000; ms += 10_000) {
    assertEquals(losses.see(reading({ name: "eth0", carrierLosses: 1 }, "underlay"), ms), []);
  }
});

Deno.test("LinkLosses hears of links that come, go and come back, and of each by itself", () => {
  const losses = new LinkLosses();
  const both = (vtep: number, underlay: number) => [
    ...reading({ txDropped: vtep }),
    ...reading({ linkIndex: 2, name: "eth0", txErrors: underlay }, "underlay"),
  ];
  losses.see(both(0, 0), 0);
  assertEquals(losses.see(both(50, 0), 1000).map(({ link }) => link), ["flannel.1"]);
  assertEquals(losses.see(both(100, 60), 2000).map(({ link }) => link), ["eth0"]);
  assertEquals(losses.see([], 3000), []);
  assertEquals(losses.see(both(5000, 5000), 4000), []);
});
