import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type Address,
  AF_INET,
  AF_INET6,
  type Family,
  familyOf,
  type Ipv4,
  type Ipv6,
  type Mac,
  parseAddress,
  parseMac,
} from "../../src/model/address.ts";
import {
  FDB,
  FDB_FOREIGN_TRAIT,
  NEIGHBOUR,
  readAddress,
  readMac,
  ROUTE,
  ROUTE_BY_OBJECT,
  ROUTE_FOREIGN_TRAIT,
  ROUTE_ONLINK,
  writeAddress,
  writeFamilyAddress,
  writeMac,
} from "../../src/model/rows.ts";
import { SEED } from "../double/random.ts";

const address: fc.Arbitrary<Address> = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }) as fc.Arbitrary<Ipv4>,
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }) as fc.Arbitrary<Ipv6>,
);

const addresses: [text: string, words: number[], why: string][] = [
  ["0.0.0.0", [0, 0, 0, 0], "nothing is set"],
  ["10.244.1.0", [0x0af4_0100, 0, 0, 0], "IPv4 takes the first word"],
  ["255.255.255.255", [0xffff_ffff, 0, 0, 0], "a word is unsigned"],
  ["::", [0, 0, 0, 0], "nothing is set"],
  ["::1", [0, 0, 0, 1], "the last word is the lowest"],
  ["fd00:1:2:3:4:5:6:7", [0xfd00_0001, 0x0002_0003, 0x0004_0005, 0x0006_0007], "two groups are a word"],
  [
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    [0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff],
    "all words are unsigned",
  ],
];

for (const [text, expected, why] of addresses) {
  Deno.test(`writeAddress() writes ${text} so that ${why}`, () => {
    const words = new Uint32Array(4);
    writeAddress(words, 0, parseAddress(text));
    assertEquals([...words], expected);
  });
}

Deno.test("readAddress() reads back what writeFamilyAddress() writes, into no other word", () => {
  fc.assert(
    fc.property(address, fc.nat(4), (address, at) => {
      const words = new Uint32Array(10);
      words.fill(7, 0, at).fill(7, at + 5);
      writeFamilyAddress(words, at, address);
      assertEquals(words[at], familyOf(address));
      assertEquals(readAddress(words, at + 1, words[at] as Family), address);
      assertEquals([...words.subarray(0, at), ...words.subarray(at + 5)], [7, 7, 7, 7, 7]);
    }),
    { seed: SEED },
  );
});

const macs: [text: string, words: number[], why: string][] = [
  ["00:00:00:00:00:00", [0, 0], "nothing is set"],
  ["0e:2a:00:00:00:01", [0x0e2a, 1], "the high 16 bits come first"],
  ["00:00:ff:ff:ff:ff", [0, 0xffff_ffff], "the low word is unsigned"],
  ["00:01:00:00:00:00", [1, 0], "bit 32 is the first of the high word"],
  ["02:00:80:00:00:00", [0x0200, 0x8000_0000], "bit 31 is the last of the low word"],
  ["ff:ff:ff:ff:ff:ff", [0xffff, 0xffff_ffff], "all 48 bits fit"],
];

for (const [text, expected, why] of macs) {
  Deno.test(`writeMac() writes ${text} so that ${why}`, () => {
    const words = new Uint32Array(2).fill(7);
    writeMac(words, 0, parseMac(text));
    assertEquals([...words], expected);
    assertEquals(readMac(words, 0), parseMac(text));
  });
}

Deno.test("readMac() reads back what writeMac() writes, into no other word", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.nat(4), (mac, at) => {
      const words = new Uint32Array(6).fill(7);
      writeMac(words, at, mac as Mac);
      assertEquals(readMac(words, at), mac as Mac);
      assertEquals([...words.subarray(0, at), ...words.subarray(at + 2)], [7, 7, 7, 7]);
    }),
    { seed: SEED },
  );
});

/** Fields that take more than one word. */
const FIELD_WORDS: Record<string, number> = {
  destination: 4,
  gateway: 4,
  address: 4,
  underlayAddress: 4,
  mac: 2,
};

const layouts: [name: string, layout: Record<string, number>, key: string[]][] = [
  ["ROUTE", ROUTE, ["family", "destination", "length", "metric"]],
  ["NEIGHBOUR", NEIGHBOUR, ["slot", "family", "address"]],
  ["FDB", FDB, ["slot", "mac"]],
];

for (const [name, { words, keyWords, ...fields }, key] of layouts) {
  Deno.test(`${name} gives every word to one field, the key ${key.join(", ")} first`, () => {
    const owners = Object.entries(fields).flatMap(([field, at]) =>
      Array.from({ length: FIELD_WORDS[field] ?? 1 }, (_, offset) => ({ field, word: at + offset }))
    ).sort((a, b) => a.word - b.word);
    assertEquals(owners.map(({ word }) => word), Array.from({ length: words! }, (_, word) => word));
    assertEquals([...new Set(owners.slice(0, keyWords).map(({ field }) => field))], key);
    assertEquals(owners.slice(keyWords).some(({ field }) => key.includes(field)), false);
  });
}

const pairs: [name: string, layout: Record<string, number>, address: string][] = [
  ["ROUTE", ROUTE, "destination"],
  ["NEIGHBOUR", NEIGHBOUR, "address"],
  ["FDB", FDB, "underlayAddress"],
];

for (const [name, layout, address] of pairs) {
  Deno.test(`${name} has its family right before ${address}, as writeFamilyAddress() wants it`, () => {
    assertEquals(layout.family! + 1, layout[address]);
  });
}

Deno.test("traits of routes and FDB entries lie outside what the kernel's own bits take", () => {
  const kernelBits = 0x00ff_ffff; // protocol, scope and type, a byte each
  const traits = [ROUTE_ONLINK, ROUTE_FOREIGN_TRAIT, ROUTE_BY_OBJECT];
  assertEquals(traits.map((trait) => trait & kernelBits), [0, 0, 0]);
  assertEquals(traits.reduce((all, trait) => all | trait), traits.reduce((sum, trait) => sum + trait));
  assertEquals(FDB_FOREIGN_TRAIT & 0xffff, 0); // ndm_state has 16 bits
});

Deno.test("an address is read by its family, not by its words", () => {
  const words = Uint32Array.of(1, 0, 0, 0);
  assertEquals(readAddress(words, 0, AF_INET), parseAddress("0.0.0.1"));
  assertEquals(readAddress(words, 0, AF_INET6), parseAddress("0:1::"));
});
