import { assert, assertEquals } from "@std/assert";
import { prefixesOverlap } from "../../src/core/prefix.ts";
import { chooseSubnet, exhausted, isAllowed, limits } from "../../src/registry/choose_subnet.ts";
import type { Log } from "../../src/log/log.ts";
import { formatPrefix, parseAddress, parsePrefix, type Prefix } from "../../src/model/address.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { IPV4, IPV6 } from "./etcd/etcd_world.ts";

/** A choice among subnets that are given as text, and what was said. */
function choose(
  family: typeof IPV4,
  { taken = [], previous = [], random = 0n }: { taken?: string[]; previous?: string[]; random?: bigint },
): { readonly subnet: string | undefined; readonly said: string[] } {
  const said: string[] = [];
  const log: Log = {
    write: (level, event, fields) => said.push(`${level} ${event}: ${fields?.subnet}, ${fields?.reason}`),
  };
  const subnet = chooseSubnet(family, {
    taken: taken.map(parsePrefix),
    previous: previous.map(parsePrefix),
    random,
    log,
  });
  return { subnet: subnet && formatPrefix(subnet), said };
}

const SMALL = { ...IPV4, subnetMax: parseAddress("10.5.3.0") };

const choices: [
  name: string,
  family: typeof IPV4,
  given: Parameters<typeof choose>[1],
  subnet: string | undefined,
][] = [
  ["the first for the least random number", IPV4, {}, "10.5.1.0/24"],
  ["the last for the greatest", IPV4, { random: 2n ** 64n - 1n }, "10.5.255.0/24"],
  ["one that it had before", IPV4, { previous: ["10.5.77.0/24"] }, "10.5.77.0/24"],
  ["the second of those that it had, where the first is taken", IPV4, {
    previous: ["10.5.77.0/24", "10.5.78.0/24"],
    taken: ["10.5.77.0/24"],
  }, "10.5.78.0/24"],
  [
    "the previous one of its family",
    IPV6,
    { previous: ["10.5.77.0/24", "fd00:5:0:77::/64"] },
    "fd00:5:0:77::/64",
  ],
  ["what a shorter prefix leaves", SMALL, { taken: ["10.5.2.0/23"] }, "10.5.1.0/24"],
  ["what a longer prefix leaves", SMALL, { taken: ["10.5.1.128/25", "10.5.3.4/30"] }, "10.5.2.0/24"],
  [
    "what is left though it is written twice",
    SMALL,
    { taken: ["10.5.1.0/24", "10.5.1.0/24"] },
    "10.5.2.0/24",
  ],
  ["nothing where all are taken", SMALL, { taken: ["10.5.1.0/24", "10.5.2.0/24", "10.5.3.0/24"] }, undefined],
];

for (const [name, family, given, subnet] of choices) {
  Deno.test(`chooseSubnet() takes ${name}`, () => {
    assertEquals(choose(family, given).subnet, subnet);
  });
}

Deno.test("chooseSubnet() says why a previous subnet was not taken", () => {
  const { said } = choose(IPV4, { previous: ["10.5.77.0/24", "10.6.1.0/24"], taken: ["10.5.77.0/25"] });
  assertEquals(said, [
    "warn previous subnet not taken: 10.5.77.0/24, 10.5.77.0/25 is held by another host",
    "warn previous subnet not taken: 10.6.1.0/24, subnets are /24 from 10.5.1.0 to 10.5.255.0",
  ]);
});

const refused: [subnet: Prefix, why: string][] = [
  [parsePrefix("10.5.0.0/24"), "it is before the first"],
  [parsePrefix("10.6.0.0/24"), "it is behind the last"],
  [parsePrefix("10.5.9.0/25"), "it has another length"],
  [parsePrefix("fd00:5:0:1::/64"), "it is of the other family"],
  [{ address: parseAddress("10.5.42.7"), length: 24 }, "it has host bits, which other hosts refuse"],
];

for (const [subnet, why] of refused) {
  Deno.test(`isAllowed() refuses ${formatPrefix(subnet)} because ${why}`, () => {
    assert(!isAllowed(IPV4, subnet));
  });
}

Deno.test("isAllowed() takes the first subnet and the last", () => {
  assert(isAllowed(IPV4, parsePrefix("10.5.1.0/24")));
  assert(isAllowed(IPV4, parsePrefix("10.5.255.0/24")));
  assert(isAllowed(IPV6, parsePrefix("fd00:5:0:ffff::/64")));
});

Deno.test("exhausted() says what to do", () => {
  assertEquals(
    exhausted(SMALL, "/net/subnets/").message,
    "Cannot take a subnet of 10.5.0.0/16 in /net/subnets/: all are held, " +
      `${limits(SMALL)}; make the network larger or the subnets smaller, or remove hosts`,
  );
});

Deno.test(`chooseSubnet() gives hosts subnets that are allowed and that no two share, to the last one, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  for (const family of [IPV4, { ...IPV6, subnetMax: parseAddress("fd00:5:0:80::") }]) {
    const taken: string[] = [];
    for (;;) {
      const number = BigInt(Math.floor(random() * 2 ** 32)) << 32n;
      const { subnet } = choose(family, { taken, random: number });
      if (subnet === undefined) break;
      assert(isAllowed(family, parsePrefix(subnet)), `${subnet}, seed ${SEED}`);
      const clash = taken.find((other) => prefixesOverlap(parsePrefix(other), parsePrefix(subnet)));
      assertEquals(clash, undefined, `${subnet}, seed ${SEED}`);
      taken.push(subnet);
      taken.sort((a, b) => parsePrefix(a).address < parsePrefix(b).address ? -1 : 1);
    }
    assertEquals(taken.length, family === IPV4 ? 255 : 128);
  }
});

const GROUND = [
  { prefix: parsePrefix("10.5.1.7/32"), what: "10.5.1.7, where etcd is" },
  { prefix: parsePrefix("10.5.2.0/25"), what: "10.5.2.0/25, which eth1 is on" },
  { prefix: parsePrefix("10.5.2.9/32"), what: "10.5.2.9, an address of eth1" },
  { prefix: parsePrefix("10.0.0.0/8"), what: "10.0.0.0/8, which eth0 is on" },
  { prefix: parsePrefix("fd00::1/128"), what: "fd00::1, an address of eth0" },
];

Deno.test("chooseSubnet() keeps away from what the host needs, says so of what it had, and minds no larger segment", () => {
  const family = { ...SMALL, ground: () => GROUND };
  assertEquals(choose(family, {}).subnet, "10.5.3.0/24");
  const { subnet, said } = choose(family, { previous: ["10.5.1.0/24"] });
  assertEquals(subnet, "10.5.3.0/24");
  assertEquals(said, [
    "warn previous subnet not taken: 10.5.1.0/24, its subnet 10.5.1.0/24 covers 10.5.1.7, where etcd is",
  ]);
  assertEquals(choose(family, { taken: ["10.5.3.0/24"] }).subnet, undefined);
  // What others hold may lie over what the host needs: it is counted once.
  assertEquals(choose(family, { taken: ["10.5.1.0/24", "10.5.2.0/24"] }).subnet, "10.5.3.0/24");
});

Deno.test("chooseSubnet() takes what it had though its pods' bridge is still there, and nothing else of a bridge", () => {
  const bridge = {
    prefix: parsePrefix("10.5.1.1/32"),
    what: "10.5.1.1, an address of docker0",
    isForPods: true,
  } as const;
  const family = { ...SMALL, ground: () => [bridge] };
  assertEquals(choose(family, { previous: ["10.5.1.0/24"] }), { subnet: "10.5.1.0/24", said: [] });
  assertEquals(choose(family, {}).subnet, "10.5.2.0/24");
});
