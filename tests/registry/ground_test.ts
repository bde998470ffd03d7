import { assertEquals } from "@std/assert";
import {
  addressFact,
  coveredBy,
  coverReason,
  type GroundFact,
  groundWithin,
} from "../../src/registry/ground.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";

const address = (text: string) => addressFact(parseAddress(text), text);
const segment = (text: string): GroundFact => ({ prefix: parsePrefix(text), what: text });

const cases: [subnet: string, ground: GroundFact, isCovered: boolean][] = [
  ["10.99.0.0/24", address("10.99.0.2"), true],
  ["10.99.1.0/24", address("10.99.0.2"), false],
  ["10.99.0.2/31", address("10.99.0.2"), true],
  ["10.99.0.0/24", segment("10.99.0.0/24"), true],
  ["10.99.0.0/24", segment("10.99.0.128/25"), true],
  // The route to the subnet is the more specific one.
  ["10.99.0.0/24", segment("10.0.0.0/8"), false],
  ["fd00:10::/64", address("fd00:10::1"), true],
  ["fd00:10:0:1::/64", address("fd00:10::1"), false],
  ["fd00:10::/64", segment("fd00:10::/64"), true],
  ["fd00:10::/64", segment("fd00::/16"), false],
  // 10.99.0.0 and a63:: begin with the same word.
  ["10.99.0.0/24", address("a63::"), false],
  ["a63::/32", address("10.99.0.0"), false],
];

for (const [subnet, fact, isCovered] of cases) {
  Deno.test(`coveredBy() ${isCovered ? "finds" : "does not find"} ${fact.what} in ${subnet}`, () => {
    const other = address("192.0.2.1");
    assertEquals(coveredBy(parsePrefix(subnet), [other, fact]), isCovered ? fact : undefined);
  });
}

Deno.test("groundWithin() keeps what a subnet of a cluster network could cover", () => {
  const networks = ["10.244.0.0/16", "fd00:10:244::/56"].map(parsePrefix);
  const inside = [address("10.244.3.4"), segment("10.244.0.0/16"), address("fd00:10:244:7::1")];
  const outside = [address("10.245.0.1"), segment("10.0.0.0/8"), address("fd00:10:245::1")];
  assertEquals(groundWithin(networks, [...inside, ...outside]), inside);
});

Deno.test("coverReason() says what a subnet covers", () => {
  const fact = addressFact(parseAddress("10.99.0.2"), "10.99.0.2, where etcd is");
  assertEquals(
    coverReason(parsePrefix("10.99.0.0/24"), fact),
    "its subnet 10.99.0.0/24 covers 10.99.0.2, where etcd is",
  );
});
