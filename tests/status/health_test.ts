import { assertEquals } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { type HealthFacts, readiness } from "../../src/status/health.ts";
import { OWN, pass } from "./facts.ts";

const ready: HealthFacts = {
  lastPass: pass(),
  lease: { own: OWN, reason: undefined },
  subnetFile: { fault: undefined },
  hasSnapshot: true,
};

const cases: [name: string, facts: Partial<HealthFacts>, reasons: string[]][] = [
  ["all is well", {}, []],
  ["all is well, and the snapshot goes without saying", withoutSnapshot(), []],
  ["there is no lease, and why", { lease: { own: undefined, reason: "all are held" } }, [
    "this host has no lease: all are held",
  ]],
  ["there is no lease, and nobody knows why", { lease: { own: undefined, reason: undefined } }, [
    "this host has no lease",
  ]],
  ["the registry is silent", { hasSnapshot: false, lastPass: undefined }, [
    "the registry has not said yet who is in the overlay",
    "no pass was made yet",
  ]],
  ["the last pass failed", {
    lastPass: pass({ planned: 9, failureCount: 2, failures: ["no route", "no link"] }),
  }, [
    "2 of 9 changes failed in the last pass",
    "no route",
    "no link",
  ]],
  ["the links are down", { lastPass: pass({ isForwarding: false }) }, [
    "the links of the overlay are not as they must be",
  ]],
  ["the subnet file is missing", { subnetFile: { fault: "the subnet file is not written yet" } }, [
    "the subnet file is not written yet",
  ]],
  ["a peer was left out", { lastPass: pass({ faults: [{ host: "b", reason: "overlaps" }] }) }, []],
];

function withoutSnapshot(): Partial<HealthFacts> {
  return { lastPass: pass({ remoteLeases: 3 }) };
}

for (const [name, facts, reasons] of cases) {
  Deno.test(`readiness() is ${reasons.length === 0} when ${name}`, () => {
    assertEquals(readiness({ ...ready, ...facts }), { isReady: reasons.length === 0, reasons });
  });
}

Deno.test("readiness() asks for no snapshot where nobody tells of it", () => {
  const { hasSnapshot: _, ...facts } = ready;
  assertEquals(readiness(facts).isReady, true);
  assertEquals([OWN.parts[0]!.subnet, OWN.parts[0]!.underlayAddress], [
    parsePrefix("10.244.1.0/24"),
    parseAddress("192.0.2.1"),
  ]);
});
