import { assertEquals } from "@std/assert";
import { formatAddress, parseAddress } from "../../src/model/address.ts";
import { compareAddresses, firstNotBefore } from "../../src/model/ordered.ts";

const ORDERED = ["10.244.1.0", "10.244.3.0", "255.255.255.255", "::1", "fd00::", "fd00::2"].map(parseAddress);

Deno.test("compareAddresses() has IPv4 before IPv6, each by its numbers", () => {
  const mixed = [...ORDERED].reverse().sort(compareAddresses);
  assertEquals(mixed.map(formatAddress), ORDERED.map(formatAddress));
  for (const address of ORDERED) assertEquals(compareAddresses(address, address), 0);
});

const places: [address: string, index: number][] = [
  ["0.0.0.0", 0],
  ["10.244.1.0", 0],
  ["10.244.2.0", 1],
  ["255.255.255.255", 2],
  ["::", 3],
  ["fd00::1", 5],
  ["fd00::2", 5],
  ["ffff::", 6],
];

for (const [address, index] of places) {
  Deno.test(`firstNotBefore() finds the place of ${address}`, () => {
    assertEquals(firstNotBefore(ORDERED, parseAddress(address), (item) => item), index);
  });
}

Deno.test("firstNotBefore() finds the first of several that are alike, and nothing among none", () => {
  const address = parseAddress("10.244.1.0");
  assertEquals(firstNotBefore([address, address, address], address, (item) => item), 0);
  assertEquals(firstNotBefore([], address, (item) => item), 0);
});
