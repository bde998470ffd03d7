import { assertEquals, assertThrows } from "@std/assert";
import {
  parseAnyAddress,
  parseAnyPrefix,
  parseIpv4Text,
  parseIpv6Text,
} from "../../src/config/address_text.ts";
import { formatAddress, formatPrefix } from "../../src/model/address.ts";

Deno.test("parseAnyAddress() takes IPv4-mapped text for IPv4, as Go's net.ParseIP", () => {
  assertEquals(formatAddress(parseAnyAddress("::ffff:10.3.1.0")), "10.3.1.0");
  assertEquals(formatAddress(parseAnyAddress("::ffff:a03:100")), "10.3.1.0");
  assertEquals(formatAddress(parseAnyAddress("::fffe:a03:100")), "::fffe:a03:100");
});

Deno.test("parseIpv4Text() and parseIpv6Text() refuse the other family", () => {
  assertEquals(formatAddress(parseIpv4Text("::ffff:192.0.2.1")), "192.0.2.1");
  assertThrows(() => parseIpv4Text("2001:db8::1"), SyntaxError);
  assertThrows(() => parseIpv6Text("192.0.2.1"), SyntaxError);
  assertThrows(() => parseIpv6Text("::ffff:192.0.2.1"), SyntaxError);
});

const prefixes: [text: string, prefix: string, why: string][] = [
  ["10.3.7.9/16", "10.3.0.0/16", "host bits are cleared"],
  ["fd00:1:2:3::9/48", "fd00:1:2::/48", "in IPv6 too"],
  ["::ffff:10.3.7.9/112", "10.3.0.0/16", "IPv4-mapped text is IPv4"],
  ["::ffff:10.3.7.9/96", "0.0.0.0/0", "96 bits are what mapping takes"],
  ["::ffff:10.3.7.9/64", "::/64", "with fewer, it is a prefix of IPv6"],
];

for (const [text, prefix, why] of prefixes) {
  Deno.test(`parseAnyPrefix() reads ${text} as ${prefix}: ${why}`, () => {
    assertEquals(formatPrefix(parseAnyPrefix(text)), prefix);
  });
}
