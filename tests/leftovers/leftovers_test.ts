import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Reservation } from "../../src/leftovers/host_local.ts";
import {
  attachmentKey,
  type CachedResult,
  type Facts,
  findLeftovers,
  formatAddresses,
  type SavedAttachment,
} from "../../src/leftovers/leftovers.ts";
import { parseAddress } from "../../src/model/address.ts";
import { SEED } from "../double/random.ts";

const NOW = Date.UTC(2026, 5, 1);
const BOOT = NOW - 86_400_000;
const MINUTE = 60_000;

function reservation(change: Partial<Omit<Reservation, "address">> & { address?: string } = {}): Reservation {
  const { address = "10.244.1.2", ...others } = change;
  return {
    network: "cbr0",
    containerId: "c1",
    ifname: "eth0",
    writtenAtMs: NOW - 60 * MINUTE,
    path: "/p",
    address: parseAddress(address),
    ...others,
  };
}

function state(change: Partial<SavedAttachment> = {}): SavedAttachment {
  return {
    containerId: "c1",
    ifname: "eth0",
    network: "cbr0",
    text: "{}",
    hasStore: false,
    writtenAtMs: NOW - 60 * MINUTE,
    ...change,
  };
}

function result(change: Partial<CachedResult> = {}): CachedResult {
  return { hostLinks: ["cni0", "veth1"], hasSandbox: false, writtenAtMs: NOW - 60 * MINUTE, ...change };
}

function facts(change: Partial<Facts> = {}): Facts {
  return {
    reservations: [reservation()],
    states: [],
    results: new Map(),
    links: new Map([["lo", undefined], ["cni0", "bridge"]]),
    neighbours: new Set(),
    bootedAtMs: BOOT,
    nowMs: NOW,
    ...change,
  };
}

const withResult = (change: Partial<CachedResult> = {}) =>
  new Map([[attachmentKey("cbr0", "c1", "eth0"), result(change)]]);
const BEFORE_BOOT = BOOT - MINUTE;

const cases: [name: string, facts: Facts, fate: string, reason: string][] = [
  [
    "a link of its result is there",
    facts({ results: withResult(), links: new Map([["veth1", "veth"]]) }),
    "alive",
    "in use",
  ],
  [
    "it has a state, and neither a reservation in its store nor a cached result",
    facts({ reservations: [], states: [state({ hasStore: true })] }),
    "stale",
    "its address was given back, as after a change of the conflist",
  ],
  [
    "its state is so young that its address may come yet",
    facts({ reservations: [], states: [state({ hasStore: true, writtenAtMs: NOW - 9 * MINUTE })] }),
    "unsure",
    "no cached result, and written since this host booted",
  ],
  [
    "it was written before boot and its link is there all the same",
    facts({
      reservations: [reservation({ writtenAtMs: BEFORE_BOOT })],
      results: withResult(),
      links: new Map([["veth1", "veth"]]),
    }),
    "alive",
    "in use",
  ],
  [
    "no link of its result is there; the bridge is shared by all",
    facts({ results: withResult() }),
    "stale",
    "its link veth1 is gone",
  ],
  [
    "neither its link nor the bridge is there",
    facts({ results: withResult(), links: new Map() }),
    "stale",
    "its links cni0, veth1 are gone",
  ],
  [
    "its link is gone, and an ADD may be under way",
    facts({ results: withResult(), reservations: [reservation({ writtenAtMs: NOW - 9 * MINUTE })] }),
    "unsure",
    "written less than 10 minutes ago",
  ],
  [
    "its link is gone, and its result is new",
    facts({ results: withResult({ writtenAtMs: NOW }) }),
    "unsure",
    "written less than 10 minutes ago",
  ],
  [
    "its link is gone, and its time is to come: the clock was set",
    facts({ results: withResult(), reservations: [reservation({ writtenAtMs: NOW + 60 * MINUTE })] }),
    "unsure",
    "written less than 10 minutes ago",
  ],
  [
    "its link is gone and its sandbox is not",
    facts({ results: withResult({ hasSandbox: true }) }),
    "unsure",
    "the sandbox is still there",
  ],
  [
    "its result names the bridge alone",
    facts({ results: withResult({ hostLinks: ["cni0"] }) }),
    "unsure",
    "the cached result names no link of its own on this host",
  ],
  [
    "its result can't be read",
    facts({ results: withResult({ hostLinks: undefined }) }),
    "unsure",
    "the cached result can't be read",
  ],
  [
    "there is no result, and it was written before boot",
    facts({ reservations: [reservation({ writtenAtMs: BEFORE_BOOT })] }),
    "stale",
    "left from before this host booted",
  ],
  [
    "there is no result, and it was written since",
    facts(),
    "unsure",
    "no cached result, and written since this host booted",
  ],
  [
    "there is no result, and its address has answered",
    facts({
      reservations: [reservation({ writtenAtMs: BEFORE_BOOT })],
      neighbours: new Set([parseAddress("10.244.1.2")]),
    }),
    "unsure",
    "no cached result, but the address has answered",
  ],
  [
    "there is no result, and the second of its addresses has answered",
    facts({
      reservations: [
        reservation({ writtenAtMs: BEFORE_BOOT }),
        reservation({ writtenAtMs: BEFORE_BOOT, address: "fd00::2" }),
      ],
      neighbours: new Set([parseAddress("fd00::2")]),
    }),
    "unsure",
    "no cached result, but the address has answered",
  ],
  [
    "its reservation is from before boot and its state is not",
    facts({ reservations: [reservation({ writtenAtMs: BEFORE_BOOT })], states: [state()] }),
    "unsure",
    "no cached result, and written since this host booted",
  ],
  [
    "nobody knows when it was written",
    facts({ reservations: [reservation({ writtenAtMs: NaN })] }),
    "unsure",
    "no cached result, and written since this host booted",
  ],
  [
    "only its state is left from before boot",
    facts({ reservations: [], states: [state({ writtenAtMs: BEFORE_BOOT })] }),
    "stale",
    "left from before this host booted",
  ],
  [
    "its state names no network",
    facts({ reservations: [], states: [state({ network: undefined, writtenAtMs: 0 })] }),
    "unsure",
    "the state can't be read",
  ],
];

for (const [name, given, fate, reason] of cases) {
  Deno.test(`findLeftovers() calls an attachment ${fate} where ${name}`, () => {
    assertEquals(findLeftovers(given).map((found) => [found.fate, found.reason]), [[fate, reason]]);
  });
}

Deno.test("findLeftovers() joins both addresses and the state of one attachment", () => {
  const found = findLeftovers(facts({
    reservations: [
      reservation(),
      reservation({ address: "fd00::2" }),
      reservation({ ifname: "net1", address: "10.244.1.3" }),
    ],
    states: [state()],
  }));
  assertEquals(found.map((one) => [one.ifname, formatAddresses(one), one.state !== undefined]), [
    ["eth0", "10.244.1.2 fd00::2", true],
    ["net1", "10.244.1.3", false],
  ]);
});

const names: [reserved: string[], ifname: string, why: string][] = [
  [["net1"], "net1", "the one reservation of the container says it"],
  [["eth0", "net1"], "eth0", "two are reserved, and runtimes call the first one so"],
  [[], "eth0", "nothing says it"],
];
for (const [reserved, ifname, why] of names) {
  Deno.test(`findLeftovers() takes ${ifname} for the link of a state of flannel's plugin: ${why}`, () => {
    const found = findLeftovers(facts({
      reservations: reserved.map((ifname, at) => reservation({ ifname, address: `10.244.1.${at + 2}` })),
      states: [state({ ifname: undefined })],
    }));
    assertEquals(found.filter(({ state }) => state !== undefined).map((one) => one.ifname), [ifname]);
  });
}

Deno.test("findLeftovers() takes a container of another network for another one", () => {
  const found = findLeftovers(facts({
    reservations: [reservation(), reservation({ network: "other", address: "10.9.0.2" })],
    results: withResult(),
    links: new Map([["veth1", "veth"]]),
  }));
  assertEquals(found.map(({ network, fate }) => [network, fate]), [["cbr0", "alive"], ["other", "unsure"]]);
});

/** One pod as it truly is, and the traces that it has. */
const pods = fc.record({
  isAlive: fc.boolean(),
  hasResult: fc.boolean(),
  hasState: fc.boolean(),
  hasReservation: fc.boolean(),
  hasAnswered: fc.boolean(),
  isResultReadable: fc.boolean(),
  /** True time of the ADD, in milliseconds before now. */
  ageMs: fc.integer({ min: 1, max: 3 * 86_400_000 }),
});
/** How far the clock was off until it was set right, an hour after boot. */
const clockErrors = fc.constantFrom(
  0,
  0,
  -40 * 365 * 86_400_000,
  -3_600_000,
  3_600_000,
  40 * 365 * 86_400_000,
);

Deno.test("findLeftovers() never calls a living pod stale, also after a boot with a wrong clock, and finds what is sure", () => {
  fc.assert(
    fc.property(fc.array(pods, { maxLength: 12 }), clockErrors, (all, errorMs) => {
      const bootAge = 86_400_000;
      const stamp = (ageMs: number) => {
        const wasWrong = ageMs <= bootAge && ageMs > bootAge - 3_600_000;
        return NOW - ageMs + (wasWrong ? errorMs : 0);
      };
      // The oldest thing in /run has the time that the clock showed at boot.
      const bootedAtMs = Math.min(NOW - bootAge, NOW - bootAge + errorMs);
      const truth = all.map((pod) => {
        // No pod outlives the host.
        const isAlive = pod.isAlive && pod.ageMs < bootAge;
        return { ...pod, isAlive, writtenAtMs: stamp(pod.ageMs) };
      });
      const found = findLeftovers({
        reservations: truth.flatMap((pod, at) =>
          pod.hasReservation
            ? [
              reservation({
                containerId: `c${at}`,
                address: `10.244.1.${at + 2}`,
                writtenAtMs: pod.writtenAtMs,
              }),
            ]
            : []
        ),
        states: truth.flatMap((pod, at) =>
          pod.hasState ? [state({ containerId: `c${at}`, writtenAtMs: pod.writtenAtMs })] : []
        ),
        results: new Map(truth.flatMap((pod, at) =>
          pod.hasResult
            ? [[
              attachmentKey("cbr0", `c${at}`, "eth0"),
              result({
                hostLinks: pod.isResultReadable ? ["cni0", `veth${at}`] : undefined,
                hasSandbox: pod.isAlive,
                writtenAtMs: pod.writtenAtMs,
              }),
            ]]
            : []
        )),
        links: new Map([
          ["cni0", "bridge"],
          ...truth.flatMap((pod, at) => pod.isAlive ? [[`veth${at}`, "veth"] as const] : []),
        ]),
        neighbours: new Set(
          truth.flatMap((pod, at) =>
            pod.hasAnswered && pod.isAlive ? [parseAddress(`10.244.1.${at + 2}`)] : []
          ),
        ),
        bootedAtMs,
        nowMs: NOW,
      });
      const known = truth.filter((pod) => pod.hasState || pod.hasReservation);
      assertEquals(found.length, known.length);
      for (const { containerId, fate } of found) {
        const pod = truth[Number(containerId.slice(1))]!;
        const isSure = pod.hasResult
          ? pod.isResultReadable && NOW - pod.writtenAtMs >= 10 * MINUTE
          : pod.writtenAtMs < bootedAtMs;
        const expected = pod.isAlive
          ? pod.hasResult && pod.isResultReadable ? "alive" : "unsure"
          : isSure
          ? "stale"
          : "unsure";
        assertEquals(fate, expected, `${containerId}: ${JSON.stringify(pod)}; LODEN_SEED=${SEED}`);
      }
    }),
    { seed: SEED },
  );
});
