import { assertEquals } from "@std/assert";
import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease, LeasePart } from "../../../src/model/lease.ts";
import { compareByData } from "../../../src/registry/claim_age.ts";
import { agesOf, sinceText } from "../../../src/registry/kube/kube_since.ts";

const MADE = "2026-01-01T00:00:00Z";
const MADE_MS = Date.parse(MADE);
const LATER = "2026-03-01T00:00:00Z";
const LATER_MS = Date.parse(LATER);

const rows: [
  why: string,
  creation: string,
  said: unknown,
  dataSince?: number | undefined,
  addressSince?: number,
][] = [
  ["a flanneld says nothing", MADE, undefined],
  ["its data has changed", MADE, `{"Data":"${LATER}","Address":"${MADE}"}`, LATER_MS, MADE_MS],
  ["one of both is told", MADE, `{"Address":"${LATER}"}`, undefined, LATER_MS],
  [
    "nobody was there before its node",
    LATER,
    `{"Data":"${MADE}","Address":"0001-01-01T00:00:00Z"}`,
    LATER_MS,
    LATER_MS,
  ],
  ["it is no JSON", MADE, "{"],
  ["it is too long to be kept", MADE, 20_000],
  ["it is no time", MADE, '{"Data":"2026-99-99T00:00:00Z","Address":7}'],
];

for (const [why, creation, said, dataSince, addressSince] of rows) {
  Deno.test(`agesOf() tells since when a node's claims stand: ${why}`, () => {
    const since = Date.parse(creation);
    const ages = agesOf(creation, said);
    assertEquals([ages.since, ages.dataSince, ages.addressSince], [since, dataSince, addressSince]);
  });
}

Deno.test("agesOf() tells nothing of a node that does not say when it was made", () => {
  assertEquals(agesOf("", `{"Data":"${LATER}"}`), {});
});

const PART: LeasePart = {
  subnet: parsePrefix("10.244.1.0/24"),
  underlayAddress: parseAddress("192.0.2.1"),
  backendData: { VtepMAC: "0e:00:00:00:00:01" },
};
const MOVED: LeasePart = { ...PART, underlayAddress: parseAddress("192.0.2.9") };
const OTHER: LeasePart = { ...PART, backendData: { VtepMAC: "0e:00:00:00:00:99" } };

function leaseOf(part: LeasePart, said?: string): Lease {
  return { host: "n1", backendType: "vxlan", parts: [part], ...agesOf(MADE, said) };
}

const TOLD = `{"Data":"${MADE}","Address":"${MADE}"}`;
const written: [why: string, before: Lease | undefined, part: LeasePart, text: string][] = [
  ["the first claim of a node", undefined, PART, `{"Data":"${LATER}","Address":"${LATER}"}`],
  ["the same as ever", leaseOf(PART, TOLD), PART, TOLD],
  ["what a flanneld has said", leaseOf(PART), PART, `{"Data":"${LATER}","Address":"${LATER}"}`],
  ["another address", leaseOf(PART, TOLD), MOVED, `{"Data":"${MADE}","Address":"${LATER}"}`],
  ["another MAC", leaseOf(PART, TOLD), OTHER, `{"Data":"${LATER}","Address":"${MADE}"}`],
];

for (const [what, before, part, text] of written) {
  Deno.test(`sinceText() writes when ${what} was claimed`, () => {
    assertEquals(sinceText(before, [part], LATER_MS), text);
  });
}

Deno.test("who takes another's MAC is younger than who has it, also if the other's address changes later", () => {
  const now = Date.parse("2026-05-01T00:00:00Z");
  const victim = { ...leaseOf(PART, sinceText(leaseOf(PART, TOLD), [MOVED], now)), host: "z" };
  const thief = { ...leaseOf(PART, sinceText(leaseOf(OTHER, TOLD), [PART], LATER_MS)), host: "a" };
  assertEquals(compareByData(victim, thief) < 0, true);
  // One that does not tell may be a node of old.
  assertEquals(compareByData(victim, { ...leaseOf(PART), host: "a" }) < 0, true);
});
