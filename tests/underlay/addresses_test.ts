import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { familyOf, formatAddress, parseAddress } from "../../src/model/address.ts";
import type { ObservedAddress, ObservedLink } from "../../src/model/state.ts";
import { formatCandidates, usableAddresses } from "../../src/underlay/addresses.ts";

const TEMPORARY = 0x01;
const DADFAILED = 0x08;
const DEPRECATED = 0x20;
const PERMANENT = 0x80;

const ETH0: ObservedLink = {
  linkIndex: 2,
  name: "eth0",
  isUp: true,
  mtuBytes: 1500,
  mac: undefined,
  kind: undefined,
  vxlan: undefined,
};

function on(text: string, flags = PERMANENT, linkIndex = 2): ObservedAddress {
  const address = parseAddress(text);
  return { linkIndex, family: familyOf(address), address, length: 24, scope: 0, flags };
}

const cases: [name: string, addresses: ObservedAddress[], usable: string[], why: string][] = [
  ["the kernel's order", [on("10.0.0.2"), on("10.0.0.1")], ["10.0.0.2", "10.0.0.1"], "both are as good"],
  [
    "global first",
    [on("169.254.0.1"), on("10.0.0.1")],
    ["10.0.0.1", "169.254.0.1"],
    "link-local has no router",
  ],
  [
    "permanent first",
    [on("10.0.0.1", 0), on("10.0.0.2")],
    ["10.0.0.2", "10.0.0.1"],
    "a dynamic one goes away",
  ],
  [
    "temporary last",
    [on("2001:db8::1", TEMPORARY), on("2001:db8::2", 0)],
    ["2001:db8::2", "2001:db8::1"],
    "privacy",
  ],
  [
    "stability before permanence",
    [on("10.0.0.2", PERMANENT | TEMPORARY), on("10.0.0.1", 0)],
    ["10.0.0.1", "10.0.0.2"],
    "a virtual IP is a permanent secondary, what DHCP gave is dynamic",
  ],
  [
    "scope before permanence",
    [on("fe80::1"), on("2001:db8::1", TEMPORARY)],
    ["2001:db8::1", "fe80::1"],
    "each mark is worth more than those after it",
  ],
  ["no deprecated", [on("10.0.0.1", DEPRECATED), on("10.0.0.2")], ["10.0.0.2"], "nothing new may use it"],
  ["no duplicate", [on("fd00::1", DADFAILED), on("fd00::2")], ["fd00::2"], "another host has it"],
  ["no other link", [on("10.0.0.1", 0, 3), on("10.0.0.2")], ["10.0.0.2"], "it is on another"],
  ["private ones", [on("192.168.0.1"), on("10.0.0.1")], ["192.168.0.1", "10.0.0.1"], "Go calls them global"],
  [
    "no special ones",
    [
      on("127.0.0.1"),
      on("0.0.0.0"),
      on("224.0.0.1"),
      on("255.255.255.255"),
    ],
    [],
    "they are nobody's",
  ],
  ["no special ones of IPv6", [on("::1"), on("::"), on("ff02::1")], [], "they are nobody's"],
];

for (const [name, addresses, usable, why] of cases) {
  Deno.test(`usableAddresses() lists ${name}: ${why}`, () => {
    const found = usableAddresses(addresses, ETH0, addresses[0]!.family);
    assertEquals(found.map(({ entry }) => formatAddress(entry.address)), usable);
  });
}

Deno.test("usableAddresses() chooses the same address in whatever order the kernel lists them", () => {
  const addresses = [on("fe80::1"), on("2001:db8::1", TEMPORARY), on("2001:db8::2", 0), on("2001:db8::3")];
  const shuffled = fc.shuffledSubarray(addresses, { minLength: addresses.length });
  fc.assert(fc.property(shuffled, (listed) => {
    const found = usableAddresses(listed, ETH0, listed[0]!.family);
    assertEquals(found.map(({ entry }) => formatAddress(entry.address)), [
      "2001:db8::3",
      "2001:db8::2",
      "2001:db8::1",
      "fe80::1",
    ]);
  }));
});

Deno.test("formatCandidates() leaves out links without addresses, and ends", () => {
  const links = Array.from(
    { length: 40 },
    (_, index) => ({ ...ETH0, linkIndex: index, name: `veth${index}` }),
  );
  assertEquals(formatCandidates(links, []), "no link has an address");
  assertEquals(formatCandidates(links, [on("10.0.0.1", 0, 7)]), "the links are veth7: [10.0.0.1]");
  const all = links.map(({ linkIndex }) => on("10.0.0.1", 0, linkIndex));
  assertEquals(formatCandidates(links, all).endsWith("veth15: [10.0.0.1] and 24 more"), true);
});
