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
  ["2001:db8:0:0:1:0:0:1", 0x2001_0db8_0000_0000_0001_0000_0000_0001n, "2001:db8::1:0:0:1"],
];

for (const [text, value, formatted] of ipv6Texts) {
  Deno.test(`parseIpv6() reads ${text}, which formatAddress() writes as ${formatted}`, () => {
    assertEquals(parseIpv6(text), value as Ipv6);
    assertEquals(formatAddress(value as Ipv6), formatted);
  });
}

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
];

for (const [text, why] of refusedPrefixes) {
  Deno.test(`parsePrefix() refuses ${text} because ${why}`, () => {
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
];

for (const [text, isUnicast, why] of macs) {
  Deno.test(`isUnicastMac() is ${isUnicast} of ${text}, as ${why}`, () => {
    assertEquals(isUnicastMac(parseMac(text)), isUnicast);
    assertEquals(formatMac(parseMac(text.toUpperCase())), text);
  });
}

for (const text of ["0e:2a:00:00:00", "0e-2a-00-00-00-01", "0e:2a:00:00:00:01:02", "0g:2a:00:00:00:01", ""]) {
  Deno.test(`parseMac() refuses "${text}"`, () => {
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
