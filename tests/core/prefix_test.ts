import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { prefixCovers, prefixesOverlap, randomFreeSubnet, type SubnetRange } from "../../src/core/prefix.ts";
import {
  type Address,
  formatPrefix,
  type Ipv4,
  type Ipv6,
  maskAddress,
  parseAddress,
  parsePrefix,
  type Prefix,
} from "../../src/model/address.ts";
import { SEED } from "../double/random.ts";

const OPTIONS = { seed: SEED, numRuns: 400 };

/** Lengths at which shifts go wrong: ends, halves, and their neighbours. */
const LENGTHS = {
  32: [0, 1, 2, 8, 24, 30, 31, 32],
  128: [0, 1, 31, 32, 33, 63, 64, 65, 96, 127, 128],
} as const;

function prefixOf(width: 32 | 128): fc.Arbitrary<Prefix> {
  const value = fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n });
  return fc.tuple(value, fc.constantFrom(...LENGTHS[width])).map(([bits, length]) => {
    const address = width === 32 ? Number(bits) as Ipv4 : bits as Ipv6;
    return { address: maskAddress(address, length), length };
  });
}

const anyPrefix = fc.oneof(prefixOf(32), prefixOf(128));
const widthOf = ({ address }: Prefix) => typeof address === "number" ? 32 : 128;

function textOf(prefix: Prefix | undefined): string | undefined {
  return prefix && formatPrefix(prefix);
}

/** First and last address as plain integers. */
function span(prefix: Prefix): [first: bigint, last: bigint] {
  const first = BigInt(prefix.address);
  return [first, first + (1n << BigInt(widthOf(prefix) - prefix.length)) - 1n];
}

Deno.test("prefixesOverlap() and prefixCovers() agree with the addresses' order", () => {
  fc.assert(
    fc.property(anyPrefix, anyPrefix, (a, b) => {
      const [[aFirst, aLast], [bFirst, bLast]] = [span(a), span(b)];
      const isOneFamily = widthOf(a) === widthOf(b);
      assertEquals(prefixesOverlap(a, b), isOneFamily && aFirst <= bLast && bFirst <= aLast);
      assertEquals(prefixCovers(a, b), isOneFamily && aFirst <= bFirst && bLast <= aLast);
    }),
    OPTIONS,
  );
});

Deno.test("prefixesOverlap() sees a prefix inside another, whichever comes first", () => {
  fc.assert(
    fc.property(anyPrefix, fc.nat(), (outer, host) => {
      const width = widthOf(outer);
      const [first, last] = span(outer);
      const bits = first + BigInt(host) % (last - first + 1n);
      const inner: Prefix = { address: (width === 32 ? Number(bits) : bits) as Address, length: width };
      assertEquals([prefixesOverlap(outer, inner), prefixesOverlap(inner, outer)], [true, true]);
      assertEquals(prefixCovers(outer, inner), true);
    }),
    OPTIONS,
  );
});

/** A small range somewhere in the address space, its very end included, and prefixes in and around it. */
const smallRange = fc.constantFrom<32 | 128>(32, 128).chain((width) =>
  fc.record({
    length: fc.constantFrom(...(width === 32 ? [24, 26, 30, 32] : [64, 66, 120, 128])),
    slots: fc.integer({ min: 1, max: 40 }),
    start: fc.oneof(fc.constant("end"), fc.constant("start"), fc.bigInt({ min: 0n, max: 2n ** 20n })),
    taken: fc.array(
      fc.record({
        slot: fc.integer({ min: -3, max: 45 }),
        wider: fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: -8, max: 5 }) },
          fc.integer({ min: -64, max: 128 }),
        ),
      }),
      { maxLength: 30 },
    ),
  }).map(({ length, slots, start, taken }): SubnetRange => {
    const address = (bits: bigint) => (width === 32 ? Number(bits) : bits) as Address;
    const size = 1n << BigInt(width - length);
    const total = 1n << BigInt(length);
    const firstSlot = start === "end"
      ? total - BigInt(slots)
      : start === "start"
      ? 0n
      : start as bigint % (total - 64n);
    const min = firstSlot * size;
    return {
      min: address(min),
      max: address(min + BigInt(slots - 1) * size),
      length,
      taken: taken.flatMap(({ slot, wider }) => {
        const bits = min + BigInt(slot) * size;
        const takenLength = Math.min(Math.max(length - wider, 0), width);
        if (bits < 0n || bits >> BigInt(width) !== 0n) return [];
        return [{ address: maskAddress(address(bits), takenLength), length: takenLength }];
      }),
    };
  })
);

/** The free subnets of a range, one by one. */
function freeSubnets({ min, max, length, taken }: SubnetRange): Prefix[] {
  const width = typeof min === "number" ? 32 : 128;
  const size = 1n << BigInt(width - length);
  const free: Prefix[] = [];
  for (let bits = BigInt(min); bits <= BigInt(max); bits += size) {
    const subnet: Prefix = { address: (width === 32 ? Number(bits) : bits) as Address, length };
    const [first, last] = span(subnet);
    if ([...taken].every((other) => span(other)[0] > last || span(other)[1] < first)) free.push(subnet);
  }
  return free;
}

Deno.test("randomFreeSubnet() finds the first by the least number, as a walk over the range does, at the ends of the address space too", () => {
  fc.assert(
    fc.property(
      smallRange,
      (range) => assertEquals(randomFreeSubnet({ ...range, random: 0n }), freeSubnets(range)[0]),
    ),
    OPTIONS,
  );
});

Deno.test("randomFreeSubnet() reaches every free subnet, and no other, each by an equal share of random numbers", () => {
  fc.assert(
    fc.property(smallRange, (range) => {
      const free = freeSubnets(range);
      const count = BigInt(free.length);
      for (const [index, subnet] of free.entries()) {
        const first = (BigInt(index) * 2n ** 64n + count - 1n) / count;
        const end = (BigInt(index + 1) * 2n ** 64n + count - 1n) / count;
        assertEquals(randomFreeSubnet({ ...range, random: first }), subnet);
        assertEquals(randomFreeSubnet({ ...range, random: end - 1n }), subnet);
      }
      if (free.length === 0) assertEquals(randomFreeSubnet({ ...range, random: 0n }), undefined);
    }),
    OPTIONS,
  );
});

Deno.test("randomFreeSubnet() scales random numbers exactly in ranges of any size", () => {
  const length = fc.integer({ min: 1, max: 128 });
  const bits64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(length, bits64, bits64, (length, slots, random) => {
      const last = slots % (1n << BigInt(Math.min(length, 64)));
      const size = 1n << BigInt(128 - length);
      const range = { min: 0n as Ipv6, max: last * size as Ipv6, length, taken: [] };
      const count = last + 1n > 2n ** 63n ? 2n ** 63n : last + 1n;
      assertEquals(randomFreeSubnet({ ...range, random }), {
        address: (random * count >> 64n) * size as Ipv6,
        length,
      });
    }),
    OPTIONS,
  );
});

const ranges: [
  why: string,
  min: string,
  max: string,
  length: number,
  taken: string[],
  first: string | undefined,
][] = [
  ["nothing is taken", "10.244.1.0", "10.244.255.0", 24, [], "10.244.1.0/24"],
  [
    "the last address of all is the only one",
    "255.255.255.255",
    "255.255.255.255",
    32,
    [],
    "255.255.255.255/32",
  ],
  ["one wide prefix takes all", "10.244.1.0", "10.244.255.0", 24, ["0.0.0.0/0"], undefined],
  ["a host's address takes its subnet", "10.244.1.0", "10.244.2.0", 24, ["10.244.1.77/32"], "10.244.2.0/24"],
  ["the first is behind the last", "10.244.2.0", "10.244.1.0", 24, [], undefined],
  ["families are mixed", "10.244.1.0", "fd00::", 24, [], undefined],
  ["the other family is taken", "10.244.1.0", "10.244.1.0", 24, ["::/0"], "10.244.1.0/24"],
  ["a quarter of IPv6 is taken", "::", "ffff:ffff:ffff:ffff::", 64, ["::/2"], "4000::/64"],
  [
    "there are 2^128 of them",
    "::",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    128,
    ["::/66"],
    "::4000:0:0:0/128",
  ],
  ["the last subnet of all is the only one", "255.255.255.0", "255.255.255.0", 24, [], "255.255.255.0/24"],
  [
    "all but the last of all are taken",
    "0.0.0.0",
    "255.255.255.0",
    24,
    ["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3", "224.0.0.0/4", "240.0.0.0/5", "248.0.0.0/6", "252.0.0.0/7"]
      .concat("254.0.0.0/8", "255.0.0.0/9", "255.128.0.0/10", "255.192.0.0/11", "255.224.0.0/12")
      .concat("255.240.0.0/13", "255.248.0.0/14", "255.252.0.0/15", "255.254.0.0/16", "255.255.0.0/17")
      .concat("255.255.128.0/18", "255.255.192.0/19", "255.255.224.0/20", "255.255.240.0/21")
      .concat("255.255.248.0/22", "255.255.252.0/23", "255.255.254.0/24"),
    "255.255.255.0/24",
  ],
  [
    "the last IPv6 address is the only one",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    128,
    [],
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
  ],
  ["the whole of IPv4 is one subnet", "0.0.0.0", "0.0.0.0", 0, [], "0.0.0.0/0"],
  ["an address of the whole of IPv4 is taken", "0.0.0.0", "0.0.0.0", 0, ["255.255.255.255/32"], undefined],
  ["the whole of IPv6 is one subnet", "::", "::", 0, [], "::/0"],
  ["an address of the whole of IPv6 is taken", "::", "::", 0, ["::1/128"], undefined],
  ["half of IPv6 is taken", "::", "8000::", 1, ["1::/16"], "8000::/1"],
  ["a prefix is taken twice", "10.0.0.0", "10.0.1.0", 24, ["10.0.0.0/24", "10.0.0.0/24"], "10.0.1.0/24"],
  [
    "neighbours of the range are taken",
    "10.0.1.0",
    "10.0.1.0",
    24,
    ["10.0.0.0/24", "10.0.2.0/24"],
    "10.0.1.0/24",
  ],
  ["a wide prefix ends in the range", "10.0.1.0", "10.0.4.0", 24, ["10.0.0.0/23"], "10.0.2.0/24"],
  ["taken prefixes have host bits", "10.0.0.0", "10.0.2.0", 24, ["10.0.1.77/23"], "10.0.2.0/24"],
  ["the lower half of what is counted is taken", "::", "ffff:ffff:ffff:ffff::", 64, ["::/1"], undefined],
];

for (const [why, min, max, length, taken, first] of ranges) {
  Deno.test(`randomFreeSubnet() answers ${first ?? "nothing"} when ${why}`, () => {
    const range = { min: parseAddress(min), max: parseAddress(max), length, taken: taken.map(parsePrefix) };
    assertEquals(textOf(randomFreeSubnet({ ...range, random: 0n })), first);
  });
}

const cut: [why: string, taken: string[], last: string | undefined][] = [
  ["nothing is taken", [], "::7fff:ffff:ffff:ffff/128"],
  ["only what is behind it is taken", ["ffff::/16", "::8000:0:0:0/65"], "::7fff:ffff:ffff:ffff/128"],
  ["it is taken", ["::7fff:ffff:ffff:ffff/128"], "::7fff:ffff:ffff:fffe/128"],
  [
    "a prefix that reaches over it is taken",
    ["::4000:0:0:0/66", "::8000:0:0:0/65"],
    "::3fff:ffff:ffff:ffff/128",
  ],
  ["all that is looked at is taken", ["::/65"], undefined],
];

for (const [why, taken, last] of cut) {
  Deno.test(`randomFreeSubnet() looks at the first 2^63 subnets, the last included, when ${why}`, () => {
    const [min, max] = ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"].map(parseAddress) as [Ipv6, Ipv6];
    const range = { min, max, length: 128, taken: taken.map(parsePrefix) };
    assertEquals(textOf(randomFreeSubnet({ ...range, random: 2n ** 64n - 1n })), last);
  });
}

Deno.test("randomFreeSubnet() finds the only gap among 65,535 taken subnets", () => {
  const taken = Array.from(
    { length: 65_536 },
    (_, n) => ({ address: 0x0a000000 + n * 256 as Ipv4, length: 24 }),
  );
  const [gap] = taken.splice(40_000, 1);
  const range = { min: 0x0a000000 as Ipv4, max: 0x0affff00 as Ipv4, length: 24, taken: taken.toReversed() };
  assertEquals(randomFreeSubnet({ ...range, random: 2n ** 64n - 1n }), gap);
});
