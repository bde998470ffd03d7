import { assertEquals } from "@std/assert";
import { ifaceHint, patternHint } from "../../../src/overlay/underlay/iface_hint.ts";

const hints: [text: string, hint: string, why: string][] = [
  ["eth0", "", "a name like another"],
  ["enp0s3.100", "", "a dot is part of names"],
  ["eth0@if7", '; what is behind the @ that "ip link" prints is no part of a name: -iface=eth0', "a veth"],
  [
    "bond0.5@bond0",
    '; what is behind the @ that "ip link" prints is no part of a name: -iface=bond0.5',
    "a VLAN",
  ],
  ["eth0,eth1", "; it is one name or address: repeat -iface for each, first to last", "a list"],
  ["192.0.2.1,eth1", "; it is one name or address: repeat -iface for each, first to last", "a list"],
  [
    "192.0.2.7/24",
    "; write the address without its prefix length: -iface=192.0.2.7",
    'as "ip address" prints it',
  ],
  [
    "192.0.2.7/32",
    "; write the address without its prefix length: -iface=192.0.2.7",
    "an address all the same",
  ],
  [
    "2001:db8::7/64",
    "; write the address without its prefix length: -iface=2001:db8::7",
    "IPv6 as well",
  ],
  [
    "192.0.2.0/24",
    "; it is a prefix: name the link's own address, or a pattern with -iface-regex",
    "a network",
  ],
  ['"eth0"', "; write it without blanks and quotes: -iface=eth0", "a unit file keeps quotes"],
  ["'eth0'", "; write it without blanks and quotes: -iface=eth0", "YAML in a list keeps quotes"],
  [" eth0 ", "; write it without blanks and quotes: -iface=eth0", "a variable keeps blanks"],
  ['""', "; it is nothing but blanks or quotes", "nothing was meant"],
  ["[2001:db8::7]", "; write it without brackets: -iface=2001:db8::7", "as in a URL"],
  ["fe80::1%eth0", "; name the link alone: -iface=eth0", "a zone"],
  ["eth.*", "; patterns are for -iface-regex", "a pattern"],
  ["en*", "; patterns are for -iface-regex", "a pattern of shells"],
];

for (const [text, hint, why] of hints) {
  Deno.test(`ifaceHint() of ${JSON.stringify(text)} is ${hint || "nothing"}: ${why}`, () => {
    assertEquals(ifaceHint(text), hint);
  });
}

const patterns: [text: string, hint: string, why: string][] = [
  ["^eth", "", "it is a pattern like another"],
  ['"^eth"', "; the quotes are part of the pattern: -iface-regex=^eth", "a unit file keeps quotes"],
  ["eth0@if7", '; what is behind the @ that "ip link" prints is no part of a name', "a veth"],
];

for (const [text, hint, why] of patterns) {
  Deno.test(`patternHint() of ${text} is ${hint || "nothing"}: ${why}`, () => {
    assertEquals(patternHint(text), hint);
  });
}
