import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  firstFreeSubnet,
  lastAddress,
  nthSubnet,
  prefixCovers,
  prefixesOverlap,
  randomFreeSubnet,
  subnetIndex,
  type SubnetRange,
} from "../../src/core/prefix.ts";
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

/** First and last address as plain integers. */
function span(prefix: Prefix): [first: bigint, last: bigint] {
  const first = BigInt(prefix.address);
  return [first, first + (1n << BigInt(widthOf(prefix) - prefix.length)) - 1n];
}

Deno.test("lastAddress() is the first one with all host bits set", () => {
  fc.assert(
    fc.property(anyPrefix, (prefix) => assertEquals(BigInt(lastAddress(prefix)), span(prefix)[1])),
    OPTIONS,
  );
});

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

Deno.test("nthSubnet() counts subnets from the first, and subnetIndex() counts back", () => {
  const choice = anyPrefix.chain((network) => {
    const longer = LENGTHS[widthOf(network)].filter((length) => length >= network.length);
    return fc.tuple(
      fc.constant(network),
      fc.constantFrom(...longer),
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    );
  });
  fc.assert(
    fc.property(choice, ([network, length, random]) => {
      const index = random % (1n << BigInt(length - network.length));
      const subnet = nthSubnet(network, length, index);
      assertEquals(
        BigInt(subnet.address),
        BigInt(network.address) + (index << BigInt(widthOf(network) - length)),
      );
      assertEquals(subnet.length, length);
      assertEquals(subnetIndex(network, subnet), index);
    }),
    OPTIONS,
  );
});

const outside: [network: string, length: number, index: bigint, why: string][] = [
  ["10.0.0.0/8", 24, 65_536n, "there is one less"],
  ["10.0.0.0/8", 24, -1n, "it is negative"],
  ["10.0.0.0/8", 7, 0n, "the subnet is wider than the network"],
  ["10.0.0.0/8", 33, 0n, "no address has so many bits"],
  ["::/0", 128, 2n ** 63n, "it is past what is counted"],
];

for (const [network, length, index, why] of outside) {
  Deno.test(`nthSubnet() refuses /${length} subnet ${index} of ${network} because ${why}`, () => {
    assertThrows(() => nthSubnet(parsePrefix(network), length, index), RangeError, "Cannot take");
  });
}

/** A small range somewhere in the address space, its very end included, and prefixes in and around it. */
const smallRange = fc.constantFrom<32 | 128>(32, 128).chain((width) =>
  fc.record({
    length: fc.constantFrom(...(width === 32 ? [24, 26, 30, 32] : [64, 66, 120, 128])),
    slots: fc.integer({ min: 1, max: 40 }),
    start: fc.oneof(fc.constant("end"), fc.constant("start"), fc.bigInt({ min: 0n, max: 2n ** 20n })),
    taken: fc.array(
      fc.record({ slot: fc.integer({ min: -3, max: 45 }), wider: fc.integer({ min: -2, max: 5 }) }),
      {
        maxLength: 30,
      },
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

Deno.test("firstFreeSubnet() agrees with a walk over the range, at the ends of the address space too", () => {
  fc.assert(
    fc.property(smallRange, (range) => assertEquals(firstFreeSubnet(range), freeSubnets(range)[0])),
    OPTIONS,
  );
});

Deno.test("randomFreeSubnet() reaches every free subnet, and no other, each by an equal share of random numbers", () => {
  fc.assert(
    fc.property(smallRange, (range) => {
      const free = freeSubnets(range);
      const share = free.length === 0 ? 0n : 2n ** 64n / BigInt(free.length);
      for (const [index, subnet] of free.entries()) {
        // The middle of the share: where exactly shares meet is a matter of rounding.
        const random = BigInt(index) * share + share / 2n;
        assertEquals(randomFreeSubnet({ ...range, random }), subnet);
      }
      if (free.length === 0) assertEquals(randomFreeSubnet({ ...range, random: 0n }), undefined);
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
];

for (const [why, min, max, length, taken, first] of ranges) {
  Deno.test(`firstFreeSubnet() answers ${first ?? "nothing"} when ${why}`, () => {
    const range = { min: parseAddress(min), max: parseAddress(max), length, taken: taken.map(parsePrefix) };
    const found = firstFreeSubnet(range);
    assertEquals(found && formatPrefix(found), first);
  });
}

Deno.test("randomFreeSubnet() finds the only gap among 65,534 taken subnets", () => {
  const taken = Array.from(
    { length: 65_536 },
    (_, n) => ({ address: 0x0a000000 + n * 256 as Ipv4, length: 24 }),
  );
  const [gap] = taken.splice(40_000, 1);
  const range = { min: 0x0a000000 as Ipv4, max: 0x0affff00 as Ipv4, length: 24, taken: taken.toReversed() };
  assertEquals(randomFreeSubnet({ ...range, random: 2n ** 64n - 1n }), gap);
});
