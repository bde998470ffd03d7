import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  formatAddress,
  formatMac,
  formatPrefix,
  type Ipv4,
  type Ipv6,
  isUnicastMac,
  type Mac,
  maskAddress,
  parseAddress,
  parseIpv4,
  parseIpv6,
  parseMac,
  parsePrefix,
  prefixContains,
  prefixEquals,
} from "../../src/model/address.ts";
import { SEED } from "../double/random.ts";

const ipv4 = fc.integer({ min: 0, max: 0xffff_ffff }) as fc.Arbitrary<Ipv4>;
const ipv6 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }) as fc.Arbitrary<Ipv6>;

const refusedIpv4: [text: string, why: string][] = [
  ["1..2.3", "an octet is empty"],
  ["0x10.1.1.1", "an octet is not decimal"],
  ["01.2.3.4", "an octet has a leading zero"],
  ["1.2.3.256", "an octet is over 255"],
  ["1.2.3", "an octet is missing"],
  ["1.2.3.4.5", "there is one octet too many"],
  [" 1.2.3.4", "it begins with a blank"],
  ["1.2.3.4\n", "it ends with a line break"],
  ["", "it is empty"],
  ["1.2.3.", "the last octet is empty"],
  [".1.2.3", "the first octet is empty"],
  ["1.2.3.4 ", "it ends with a blank"],
  ["1.2.3.00", "zero has two digits"],
  ["1.2.3.1000", "an octet has four digits"],
  ["1.2.3.+4", "an octet has a sign"],
  ["1.2.3.4/24", "it is a prefix"],
  ["16909060", "a single number is a shorthand"],
  ["1.2.3.\u0664", "a digit is not ASCII"],
  ["::1.2.3.4", "it is IPv6"],
];

for (const [text, why] of refusedIpv4) {
  Deno.test(`parseIpv4() refuses ${JSON.stringify(text)} because ${why}`, () => {
    assertThrows(() => parseIpv4(text), SyntaxError, "Cannot parse IPv4 address");
  });
}

const refusedIpv6: [text: string, why: string][] = [
  ["", "it is empty"],
  [":", "one colon is not two"],
  [":::", "three colons are not two"],
  ["1::2::3", "it is shortened twice"],
  ["1:2:3:4:5:6:7", "a group is missing"],
  ["1:2:3:4:5:6:7:8:9", "there is one group too many"],
  ["1:2:3:4:5:6:7::8", "nothing is left to shorten"],
  ["12345::", "a group has five digits"],
  ["g::", "a digit is not hexadecimal"],
  ["1:", "it ends with one colon"],
  [":1", "it begins with one colon"],
  ["fe80::1%eth0", "it names a zone"],
  ["::1.2.3.256", "its IPv4 part is none"],
  ["1.2.3.4::", "the IPv4 part is not the last"],
  ["::ffff:01.2.3.4", "an octet has a leading zero"],
  ["::1.2.3", "an octet is missing"],
  ["::1.2.3.4:5", "the IPv4 part is not the last"],
  ["1:2:3:4:5:6:7:1.2.3.4", "the IPv4 part takes two groups"],
  ["1:2:3:4:5:6::1.2.3.4", "nothing is left to shorten before the IPv4 part"],
  ["1.2.3.4", "it is IPv4"],
  ["::::", "four colons are not two"],
  [":1::", "it begins with one colon"],
  ["::1:", "it ends with one colon"],
  ["1:2:3:4:5:6:7:8::", "nothing is left to shorten at the end"],
  ["::1:2:3:4:5:6:7:8", "nothing is left to shorten at the beginning"],
  ["::00001", "a group has five digits"],
  ["::-1", "a group has a sign"],
  ["::0x1", "a group has a radix"],
  [" ::1", "it begins with a blank"],
  ["::1\n", "it ends with a line break"],
  ["[::1]", "it is in brackets"],
  ["::1/128", "it is a prefix"],
];

for (const [text, why] of refusedIpv6) {
  Deno.test(`parseIpv6() refuses ${JSON.stringify(text)} because ${why}`, () => {
    assertThrows(() => parseIpv6(text), SyntaxError, "Cannot parse IPv6 address");
  });
}

const ipv6Texts: [text: string, value: bigint, formatted: string][] = [
  ["::", 0n, "::"],
  ["::1", 1n, "::1"],
  ["1::", 1n << 112n, "1::"],
  ["1:2:3:4:5:6:7::", 0x0001_0002_0003_0004_0005_0006_0007_0000n, "1:2:3:4:5:6:7:0"],
  ["::2:3:4:5:6:7:8", 0x0002_0003_0004_0005_0006_0007_0008n, "0:2:3:4:5:6:7:8"],
  ["::ffff:192.0.2.1", 0xffff_c000_0201n, "::ffff:c000:201"],
  ["64:ff9b::192.0.2.33", 0x0064_ff9b_0000_0000_0000_0000_c000_0221n, "64:ff9b::c000:221"],
  ["2001:0DB8:0:0:0:0:2:1", 0x2001_0db8_0000_0000_0000_0000_0002_0001n, "2001:db8::2:1"],
  ["2001:db8:0:1:1:1:1:1", 0x2001_0db8_0000_0001_0001_0001_0001_0001n, "2001:db8:0:1:1:1:1:1"],
  ["2001:0:0:1:0:0:0:1", 0x2001_0000_0000_0001_0000_0000_0000_0001n, "2001:0:0:1::1"],
  ["1:2:3:4:5:6:1.2.3.4", 0x0001_0002_0003_0004_0005_0006_0102_0304n, "1:2:3:4:5:6:102:304"],
  ["::255.255.255.255", 0xffff_ffffn, "::ffff:ffff"],
  ["FFFF:FFFF:FFFF:FFFF:FFFF:FFFF:255.255.255.255", 2n ** 128n - 1n, Array(8).fill("ffff").join(":")],
  ["0:0:0:0:0:0:0:0", 0n, "::"],
  ["1:2:3:4:5:6::8", 0x0001_0002_0003_0004_0005_0006_0000_0008n, "1:2:3:4:5:6:0:8"],
  ["1:0:0:4:5:6:0:0", 0x0001_0000_0000_0004_0005_0006_0000_0000n, "1::4:5:6:0:0"],
  ["1:0:0:4:5:0:0:0", 0x0001_0000_0000_0004_0005_0000_0000_0000n, "1:0:0:4:5::"],
  ["0:0:3:4:5:6:7:8", 0x0003_0004_0005_0006_0007_0008n, "::3:4:5:6:7:8"],
  ["0:2:0:4:0:6:0:8", 0x0002_0000_0004_0000_0006_0000_0008n, "0:2:0:4:0:6:0:8"],
  [
    "1000:0100:0010:0001:a0:b:c00:d000",
    0x1000_0100_0010_0001_00a0_000b_0c00_d000n,
    "1000:100:10:1:a0:b:c00:d000",
  ],
  ["2001:db8:0:0:1:0:0:1", 0x2001_0db8_0000_0000_0001_0000_0000_0001n, "2001:db8::1:0:0:1"],
];

for (const [text, value, formatted] of ipv6Texts) {
  Deno.test(`parseIpv6() reads ${text}, which formatAddress() writes as ${formatted}`, () => {
    assertEquals(parseIpv6(text), value as Ipv6);
    assertEquals(formatAddress(value as Ipv6), formatted);
  });
}

const ipv4Texts: [text: string, value: number][] = [
  ["0.0.0.0", 0],
  ["0.0.0.1", 1],
  ["10.244.1.0", 0x0af4_0100],
  ["127.255.255.255", 0x7fff_ffff],
  ["128.0.0.0", 0x8000_0000],
  ["255.255.255.255", 0xffff_ffff],
];

for (const [text, value] of ipv4Texts) {
  Deno.test(`parseIpv4() reads ${text}, which formatAddress() writes again`, () => {
    assertEquals(parseIpv4(text), value as Ipv4);
    assertEquals(formatAddress(value as Ipv4), text);
  });
}

Deno.test("parseIpv6() reads an address whichever way it is written", () => {
  // Few bits set, so that there are many groups of zeros.
  const sparse = fc.array(fc.nat(127), { maxLength: 4 })
    .map((bits) => bits.reduce((sum, bit) => sum | 1n << BigInt(bit), 0n) as Ipv6);
  fc.assert(
    fc.property(fc.oneof(ipv6, sparse), (address) => {
      const groups = address.toString(16).padStart(32, "0").match(/.{4}/g)!;
      const quad = formatAddress(Number(address & 0xffff_ffffn) as Ipv4);
      const formatted = formatAddress(address);
      for (
        const text of [
          groups.join(":"),
          groups.join(":").toUpperCase(),
          [...groups.slice(0, 6), quad].join(":"),
          formatted,
        ]
      ) assertEquals(parseIpv6(text), address);
      assertEquals(new URL(`http://[${formatted}]/`).hostname, `[${formatted}]`);
    }),
    { seed: SEED, numRuns: 1000 },
  );
});

Deno.test("parseAddress() reads back what formatAddress() writes", () => {
  fc.assert(
    fc.property(
      fc.oneof(ipv4, ipv6),
      (address) => assertEquals(parseAddress(formatAddress(address)), address),
    ),
    { seed: SEED, numRuns: 1000 },
  );
});

const refusedPrefixes: [text: string, why: string][] = [
  ["1.2.3.4", "it has no length"],
  ["1.2.3.4/", "its length is empty"],
  ["/24", "it has no address"],
  ["1.2.3.4/33", "an IPv4 address has 32 bits"],
  ["::/129", "an IPv6 address has 128 bits"],
  ["1.2.3.4/024", "its length has a leading zero"],
  ["1.2.3.4/-1", "its length is negative"],
  ["1.2.3.4/24/24", "it has two lengths"],
  ["", "it is empty"],
  ["/", "it is empty but for the slash"],
  ["1.2.3/24", "an octet is missing"],
  ["1.2.3.4/ 24", "its length begins with a blank"],
  ["1.2.3.4/24\n", "it ends with a line break"],
  ["1.2.3.4/255.255.255.0", "its length is a mask"],
  ["1.2.3.4/1000", "its length has four digits"],
  ["fe80::%eth0/64", "its address names a zone"],
  ["::/", "its length is empty"],
];

for (const [text, why] of refusedPrefixes) {
  Deno.test(`parsePrefix() refuses ${JSON.stringify(text)} because ${why}`, () => {
    assertThrows(() => parsePrefix(text), SyntaxError);
  });
}

const masked: [text: string, formatted: string][] = [
  ["10.3.7.9/16", "10.3.0.0/16"],
  ["255.255.255.255/0", "0.0.0.0/0"],
  ["255.255.255.255/1", "128.0.0.0/1"],
  ["1.2.3.4/32", "1.2.3.4/32"],
  ["ffff::1/0", "::/0"],
  ["fd00::1/64", "fd00::/64"],
  ["::1/128", "::1/128"],
];

for (const [text, formatted] of masked) {
  Deno.test(`parsePrefix() clears the host bits of ${text}`, () => {
    assertEquals(formatPrefix(parsePrefix(text)), formatted);
  });
}

Deno.test("maskAddress() keeps the first bits and clears the others", () => {
  fc.assert(
    fc.property(ipv6, fc.integer({ min: 0, max: 128 }), (address, length) => {
      const bits = (value: bigint) => value.toString(2).padStart(128, "0");
      assertEquals(
        bits(maskAddress(address, length) as bigint),
        bits(address).slice(0, length).padEnd(128, "0"),
      );
    }),
    { seed: SEED },
  );
});

Deno.test("maskAddress() treats IPv4 likewise", () => {
  fc.assert(
    fc.property(ipv4, fc.integer({ min: 0, max: 32 }), (address, length) => {
      const bits = (value: number) => value.toString(2).padStart(32, "0");
      assertEquals(
        bits(maskAddress(address, length) as number),
        bits(address).slice(0, length).padEnd(32, "0"),
      );
    }),
    { seed: SEED },
  );
});

const wholeLengths: [text: string, length: number, masked: string][] = [
  ["255.255.255.255", 0, "0.0.0.0"],
  ["255.255.255.255", 32, "255.255.255.255"],
  ["128.0.0.1", 32, "128.0.0.1"],
  ["ffff::1", 0, "::"],
  ["ffff::1", 128, "ffff::1"],
];

for (const [text, length, expected] of wholeLengths) {
  Deno.test(`maskAddress() leaves ${expected} of ${text} at length ${length}`, () => {
    assertEquals(formatAddress(maskAddress(parseAddress(text), length)), expected);
  });
}

const contained: [prefix: string, address: string, isContained: boolean][] = [
  ["10.244.0.0/16", "10.244.0.0", true],
  ["10.244.0.0/16", "10.244.255.255", true],
  ["10.244.0.0/16", "10.245.0.0", false],
  ["10.244.0.0/16", "10.243.255.255", false],
  ["0.0.0.0/0", "255.255.255.255", true],
  ["255.255.255.255/32", "255.255.255.255", true],
  ["255.255.255.255/32", "255.255.255.254", false],
  ["fd00::/63", "fd00:0:0:1:ffff::", true],
  ["fd00::/63", "fd00:0:0:2::", false],
  ["::1/128", "::1", true],
  ["::1/128", "::", false],
];

for (const [prefix, address, isContained] of contained) {
  Deno.test(`prefixContains() is ${isContained} of ${address} in ${prefix}`, () => {
    assertEquals(prefixContains(parsePrefix(prefix), parseAddress(address)), isContained);
  });
}

Deno.test("prefixEquals() compares address, length and family", () => {
  const [wide, narrow, ipv6Wide] = ["0.0.0.0/8", "0.0.0.0/9", "::/8"].map(parsePrefix);
  assertEquals(prefixEquals(wide!, parsePrefix("0.1.2.3/8")), true);
  assertEquals(prefixEquals(wide!, narrow!), false);
  assertEquals(prefixEquals(wide!, ipv6Wide!), false);
});

Deno.test("prefixContains() is false across families, even for everything", () => {
  assertEquals(prefixContains(parsePrefix("0.0.0.0/0"), parseAddress("::")), false);
  assertEquals(prefixContains(parsePrefix("::/0"), parseAddress("0.0.0.0")), false);
  assertEquals(prefixContains(parsePrefix("::/0"), parseAddress("::1")), true);
});

const macs: [text: string, isUnicast: boolean, why: string][] = [
  ["0e:2a:00:00:00:01", true, "it is one station's"],
  ["02:ff:ff:ff:ff:ff", true, "its last 32 bits are set"],
  ["01:00:5e:00:00:01", false, "it is multicast"],
  ["ff:ff:ff:ff:ff:ff", false, "it is broadcast"],
  ["00:00:00:00:00:00", false, "it is nobody's"],
  ["00:00:00:00:00:01", true, "one bit is enough"],
  ["fe:ff:ff:ff:ff:ff", true, "only the lowest bit of the first octet tells"],
  ["33:33:00:00:00:01", false, "it is multicast of IPv6"],
  ["01:00:00:00:00:00", false, "only the multicast bit is set"],
];

for (const [text, isUnicast, why] of macs) {
  Deno.test(`isUnicastMac() is ${isUnicast} of ${text}, as ${why}`, () => {
    assertEquals(isUnicastMac(parseMac(text)), isUnicast);
    assertEquals(formatMac(parseMac(text.toUpperCase())), text);
  });
}

const refusedMacs: [text: string, why: string][] = [
  ["", "it is empty"],
  ["0e:2a:00:00:00", "an octet is missing"],
  ["0e:2a:00:00:00:01:02", "there is one octet too many"],
  ["0e-2a-00-00-00-01", "its octets are not joined by colons"],
  ["0e2a00000001", "its octets are not joined"],
  ["0g:2a:00:00:00:01", "a digit is not hexadecimal"],
  ["e:2a:0:0:0:1", "an octet has one digit"],
  ["00e:2a:00:00:00:01", "an octet has three digits"],
  ["0e:2a:00:00:00:01\n", "it ends with a line break"],
  [" 0e:2a:00:00:00:01", "it begins with a blank"],
];

for (const [text, why] of refusedMacs) {
  Deno.test(`parseMac() refuses ${JSON.stringify(text)} because ${why}`, () => {
    assertThrows(() => parseMac(text), SyntaxError, "Cannot parse MAC address");
  });
}

Deno.test("parseMac() reads back what formatMac() writes", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 48 - 1 }),
      (mac) => assertEquals(parseMac(formatMac(mac as Mac)), mac as Mac),
    ),
    { seed: SEED },
  );
});
