import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { deriveSubnets, type SubnetKeys } from "../../src/config/subnets.ts";
import {
  type Address,
  AF_INET,
  AF_INET6,
  familyOf,
  formatAddress,
  maskAddress,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "../../src/model/address.ts";

function keysOf(length?: number, minimum?: string, maximum?: string): SubnetKeys {
  const address = (text?: string) => text === undefined ? undefined : parseAddress(text);
  return { length, minimum: address(minimum), maximum: address(maximum) };
}

type Row = [network: string, keys: SubnetKeys, length: number, minimum: string, maximum: string, why: string];

const derived: Row[] = [
  [
    "10.244.0.0/16",
    keysOf(),
    24,
    "10.244.1.0",
    "10.244.255.0",
    "the first subnet is left out, the last one used",
  ],
  ["10.0.0.0/8", keysOf(), 24, "10.0.1.0", "10.255.255.0", "a large network has /24 too"],
  ["10.1.4.0/22", keysOf(), 24, "10.1.5.0", "10.1.7.0", "/22 is the smallest that has /24"],
  ["10.1.4.0/23", keysOf(), 25, "10.1.4.128", "10.1.5.128", "a smaller one is quartered"],
  ["10.1.4.0/28", keysOf(), 30, "10.1.4.4", "10.1.4.12", "/28 is the smallest there is"],
  ["10.3.0.0/16", keysOf(28), 28, "10.3.0.16", "10.3.255.240", "a length is given"],
  ["10.3.0.0/16", keysOf(0), 24, "10.3.1.0", "10.3.255.0", "zero is absent, as in flannel"],
  [
    "10.3.0.0/16",
    keysOf(24, "10.3.0.0", "10.3.9.0"),
    24,
    "10.3.0.0",
    "10.3.9.0",
    "the first subnet can be named",
  ],
  [
    "10.3.0.0/16",
    keysOf(24, "0.0.0.0"),
    24,
    "10.3.1.0",
    "10.3.255.0",
    "a zero bound is absent, as in flannel",
  ],
  ["10.3.0.0/16", keysOf(24, "10.3.9.0", "10.3.9.0"), 24, "10.3.9.0", "10.3.9.0", "one subnet is enough"],
  ["100.64.0.0/10", keysOf(), 24, "100.64.1.0", "100.127.255.0", "carriers' addresses are in use for pods"],
  ["248.0.0.0/6", keysOf(), 24, "248.0.1.0", "251.255.255.0", "so are those that are reserved"],
  ["128.0.0.0/3", keysOf(), 24, "128.0.1.0", "159.255.255.0", "the largest there is does not overflow"],
  ["fd00:10:244::/48", keysOf(), 64, "fd00:10:244:1::", "fd00:10:244:ffff::", "IPv6 has /64"],
  ["fd00::/62", keysOf(), 64, "fd00:0:0:1::", "fd00:0:0:3::", "/62 is the smallest that has /64"],
  ["fd00::/63", keysOf(), 65, "fd00:0:0:0:8000::", "fd00:0:0:1:8000::", "a smaller one is quartered"],
  ["fd00::/124", keysOf(), 126, "fd00::4", "fd00::c", "/124 is the smallest there is"],
  [
    "2000::/3",
    keysOf(),
    64,
    "2000:0:0:1::",
    "3fff:ffff:ffff:ffff::",
    "the largest there is does not overflow",
  ],
];

for (const [network, keys, length, minimum, maximum, why] of derived) {
  Deno.test(`deriveSubnets() of ${network} is /${length} from ${minimum} to ${maximum}: ${why}`, () => {
    const prefix = parsePrefix(network);
    const family = familyOf(prefix.address);
    assertEquals(deriveSubnets(family, prefix, keys), {
      family,
      network: prefix,
      subnetLength: length,
      subnetMin: parseAddress(minimum),
      subnetMax: parseAddress(maximum),
    });
  });
}

const refused: [network: string, keys: SubnetKeys, faults: string[], why: string][] = [
  [
    "10.1.4.0/29",
    keysOf(),
    ["network must be /28 or shorter to hold four subnets, is 10.1.4.0/29"],
    "it is small",
  ],
  [
    "fd00::/125",
    keysOf(),
    ["network must be /124 or shorter to hold four subnets, is fd00::/125"],
    "it is small",
  ],
  ["10.1.0.0/16", keysOf(31), ["length must be 18 to 30 in 10.1.0.0/16, is 31"], "a /31 has no room"],
  ["10.1.0.0/16", keysOf(17), ["length must be 18 to 30 in 10.1.0.0/16, is 17"], "there are two subnets"],
  [
    "10.1.0.0/16",
    keysOf(24, "10.2.0.0"),
    ["minimum must lie in 10.1.0.0/16, is 10.2.0.0"],
    "it is elsewhere",
  ],
  [
    "10.1.0.0/16",
    keysOf(24, "10.1.1.1", "10.1.9.128"),
    [
      "minimum must be where a /24 begins, as 10.1.1.0, is 10.1.1.1",
      "maximum must be where a /24 begins, as 10.1.9.0, is 10.1.9.128",
    ],
    "both bounds are inside a subnet",
  ],
  [
    "10.1.0.0/16",
    keysOf(24, "10.1.9.0", "10.1.8.0"),
    ["minimum must not be above the last subnet, 10.1.8.0, is 10.1.9.0"],
    "no subnet is left, which flannel takes",
  ],
  ["fd00::/48", keysOf(64, "fd01::"), ["minimum must lie in fd00::/48, is fd01::"], "it is elsewhere"],
  ...([
    [
      "0.0.0.0/0",
      "must be the pods' own network, is 0.0.0.0/0: all there is, and no packet would ever be masqueraded",
    ],
    ["::/0", "must be the pods' own network, is ::/0: all there is, and no packet would ever be masqueraded"],
    ["0.0.0.0/1", "must not overlap 0.0.0.0/8, the addresses of no host, is 0.0.0.0/1"],
    ["128.0.0.0/1", "must not overlap 169.254.0.0/16, the link-local addresses, is 128.0.0.0/1"],
    ["127.0.0.0/16", "must not overlap 127.0.0.0/8, the loopback addresses, is 127.0.0.0/16"],
    ["96.0.0.0/3", "must not overlap 127.0.0.0/8, the loopback addresses, is 96.0.0.0/3"],
    ["169.254.64.0/18", "must not overlap 169.254.0.0/16, the link-local addresses, is 169.254.64.0/18"],
    ["239.1.0.0/16", "must not overlap 224.0.0.0/4, the multicast addresses, is 239.1.0.0/16"],
    ["255.255.0.0/16", "must not overlap 255.255.255.255/32, the broadcast address, is 255.255.0.0/16"],
    ["::/64", "must not overlap ::/96, the loopback address and those of no host, is ::/64"],
    ["::ffff:0:0/96", "must not overlap ::ffff:0:0/96, the IPv4 addresses, is ::ffff:0:0/96"],
    ["fe80::/64", "must not overlap fe80::/10, the link-local addresses, is fe80::/64"],
    ["f000::/4", "must not overlap fe80::/10, the link-local addresses, is f000::/4"],
    ["ff05::/32", "must not overlap ff00::/8, the multicast addresses, is ff05::/32"],
  ] as const).map(([network, message]): [string, SubnetKeys, string[], string] => [
    network,
    keysOf(),
    [`network ${message}`],
    "no pod can have them all",
  ]),
];

for (const [network, keys, faults, why] of refused) {
  Deno.test(`deriveSubnets() of ${network} finds "${faults[0]}" because ${why}`, () => {
    const prefix = parsePrefix(network);
    const found = deriveSubnets(familyOf(prefix.address), prefix, keys);
    assertEquals("family" in found ? [] : found.map(({ key, message }) => `${key} ${message}`), faults);
  });
}

Deno.test("deriveSubnets() gives bounds that begin a subnet of the network, the first below the last", () => {
  const networks = fc.oneof(
    fc.tuple(fc.nat(0xffff_ffff), fc.integer({ min: 0, max: 28 })).map(([address, length]) => ({
      address,
      length,
    })),
    fc.tuple(fc.bigInt(0n, (1n << 128n) - 1n), fc.integer({ min: 0, max: 124 }))
      .map(([address, length]) => ({ address, length })),
  );
  fc.assert(fc.property(networks, ({ address, length }) => {
    const network = { address: maskAddress(address as Address, length), length };
    const family = typeof address === "number" ? AF_INET : AF_INET6;
    const subnets = deriveSubnets(family, network, keysOf());
    // Some networks have what no pod can have; the others have bounds, however large they are.
    if (
      !("family" in subnets) && subnets.every(({ message }) => /must not overlap|all there is/.test(message))
    ) return;
    if (!("family" in subnets)) throw new Error(JSON.stringify(subnets));
    for (const bound of [subnets.subnetMin, subnets.subnetMax]) {
      assertEquals(prefixContains(network, bound), true, formatAddress(bound));
      assertEquals(maskAddress(bound, subnets.subnetLength), bound);
    }
    assertEquals(subnets.subnetMin < subnets.subnetMax, true);
  }));
});
